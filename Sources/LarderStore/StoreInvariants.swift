import CLarderArena

extension Store {
    /// Recounts everything from the index and the slab table, and compares; what is wrong is said
    /// in words, so that an empty answer means that every invariant holds. It costs a walk over
    /// the whole arena: for tests and for the repair of a damaged one.
    ///
    /// Call it only while no session is in a turn: it reads what turns change.
    package func checkInvariants() -> [String] {
        let space = Space(locking: state)
        var check = InvariantCheck(state, geometry)
        check.checkIndex()
        check.checkLists(space)
        check.checkOpenSlabs()
        check.checkSlabs(space)
        check.checkOverflowLines()
        check.checkHeap(space)
        check.checkCounters()
        check.checkAccount()
        return check.failures
    }
}

/// One recount of a store. Under the space lock, with all sessions between turns.
///
/// Invariants:
/// - every slot leads to a whole item inside a slab that may hold items, whose key hashes to that
///   slot's bucket and tag; no key and no block has two slots;
/// - the items of a slab follow each other up to its cursor, and one is marked dead exactly when no
///   slot leads to it; no block belongs to two; a slab's live count is that of its items;
/// - an item expires within its slab's time bucket, and its slab waits in the heap for that time;
/// - a flushed item is in a slab that the flush was for, and in a bucket that is not swept yet;
/// - a slab is in exactly one place: a list, a set of open slabs, a run, the index, the metadata or an incoming value;
/// - an overflow line is free or in one chain.
///
/// SAFETY: no number is used as an offset before it was compared with the arena's bounds.
struct InvariantCheck {
    let state: StoreState
    let geometry: Geometry
    private(set) var failures: [String] = []

    /// Bits of the first blocks of items reached through the index.
    private var starts: [UInt64]
    /// How many of them are in each slab.
    private var itemsReached: [Int]
    /// Blocks of those items, by slab.
    private(set) var liveBlocks: [Int]
    /// The earliest expiry among a slab's items.
    private(set) var firstExpiry: [Int64]
    /// Where each slab was found.
    private var places: [SlabPlace]
    private(set) var itemCount = 0
    /// Slots that lead to flushed items.
    private(set) var flushedItemCount = 0
    /// Keys of the chain that is looked at. One key has one hash, so nowhere else can it be twice.
    private var chainKeys: [(hash: UInt64, item: Item)] = []
    /// Lines of overflow slabs that were met in a chain or in the free list.
    var linesMet: Set<UInt32> = []
    private(set) var directorySlabs: Set<Int> = []

    init(_ state: StoreState, _ geometry: Geometry) {
        self.state = state
        self.geometry = geometry
        starts = Array(repeating: 0, count: (state.slabCount * state.blocksPerSlab + 63) / 64)
        itemsReached = Array(repeating: 0, count: state.slabCount)
        liveBlocks = Array(repeating: 0, count: state.slabCount)
        firstExpiry = Array(repeating: Int64.max, count: state.slabCount)
        places = Array(repeating: .nowhere, count: state.slabCount)
    }

    /// Beyond some dozens, more of the same helps nobody.
    mutating func fail(_ text: String) {
        if failures.count < 40 { failures.append(text) }
    }

    func slabState(_ slab: Int) -> SlabState { state.slabs.state(slab) }

    /// Calls `body` with each item that the index leads to.
    func forEachItem(_ body: (Item) -> Void) {
        for (place, word) in starts.enumerated() {
            var left = word
            while left != 0 {
                body(state.item(ofBlock: UInt32(truncatingIfNeeded: place * 64 + left.trailingZeroBitCount)))
                left &= left - 1
            }
        }
    }

    // MARK: Index

    mutating func checkIndex() {
        let count = Int(atomicLoad(&state.superblock.pointee.bucket_count))
        let slabsNeeded = (count + geometry.bucketsPerSlab - 1) / geometry.bucketsPerSlab
        let directoryCount = Int(state.superblock.pointee.index_slab_count)
        if slabsNeeded > directoryCount || directoryCount > state.slabCount {
            return fail("\(count) buckets do not fit \(directoryCount) index slabs")
        }
        for entry in 0..<directoryCount {
            let slab = Int(state.directory[entry])
            guard slab < state.slabCount, slabState(slab) == .index else {
                return fail("directory entry \(entry) names slab \(slab), which is not the index's")
            }
            if !directorySlabs.insert(slab).inserted { fail("slab \(slab) is twice in the directory") }
        }
        for number in 0..<count { checkChain(number, count: UInt64(count)) }
    }

    private mutating func checkChain(_ number: Int, count: UInt64) {
        let bucket = state.bucketAddress(number)
        if bucket.version & 1 == 1 { fail("bucket \(number) is locked") }
        let last = UInt32(LARDER_BUCKET_SLOTS) - 1
        var line = bucket
        chainKeys.removeAll(keepingCapacity: true)
        while true {
            for slot in 0..<UInt32(LARDER_BUCKET_SLOTS) {
                let tag = line.tag(slot)
                let block = line.block(slot)
                if tag == UInt8(LARDER_TAG_EMPTY) {
                    if block != 0 { fail("bucket \(number): empty slot \(slot) has block \(block)") }
                } else if tag != UInt8(LARDER_TAG_LINK) {
                    checkItem(block, tag: tag, bucket: number, count: count)
                } else if slot != last {
                    fail("bucket \(number): a link in slot \(slot)")
                }
            }
            guard line.tag(last) == UInt8(LARDER_TAG_LINK) else { return }
            let next = line.block(last)
            guard isOverflowLine(next) else {
                return fail("bucket \(number): link to \(next), no overflow line")
            }
            guard linesMet.insert(next).inserted else {
                return fail("overflow line \(next) is in two chains")
            }
            line = state.line(next)
        }
    }

    func isOverflowLine(_ line: UInt32) -> Bool {
        let slab = Int(line) >> Int(state.slabShift - 6)
        return slab < state.slabCount && slabState(slab) == .index
            && !directorySlabs.contains(slab)
    }

    private mutating func checkItem(_ block: UInt32, tag: UInt8, bucket: Int, count: UInt64) {
        let slab = state.slabIndex(ofBlock: block)
        guard slab < state.slabCount else {
            return fail("bucket \(bucket): block \(block) is beyond the arena")
        }
        let record = state.slabs.record(slab)
        let isRun = slabState(slab) == .runHead
        let isOpen = slabState(slab) == .open
        guard isRun || isOpen || slabState(slab) == .sealed else {
            return fail("bucket \(bucket): block \(block) is in slab \(slab) of state \(slabState(slab).rawValue)")
        }
        guard !state.isFlushed(slab: slab) else {
            flushedItemCount += 1
            if bucket < state.process.pointee.flushSweep.bucket {
                fail("bucket \(bucket) is swept and leads to slab \(slab)")
            }
            return
        }
        let item = state.item(ofBlock: block)
        let blocks = state.blockCount(forBytes: item.totalBytes)
        let start = Int(block) - Int(state.firstBlock(ofSlab: slab))
        let end =
            isRun ? Int(record.pointee.run_slabs) * state.blocksPerSlab : Int(record.pointee.cursor_blocks)
        guard start + blocks <= end, slab + Int(record.pointee.run_slabs) <= state.slabCount else {
            return fail(
                "block \(block): \(blocks) blocks of an item go beyond the \(end) in use of slab \(slab)")
        }
        if isRun, start != 0 { fail("run \(slab): its item starts at \(start)") }
        let hash = state.hash(of: item)
        if state.bucketNumber(hash, count: count) != bucket {
            fail("block \(block) is not of bucket \(bucket)")
        }
        if KeyHash.tag(hash) != tag { fail("block \(block) is not of tag \(tag)") }
        for other in chainKeys where other.hash == hash {
            if state.haveSameKey(item, other.item) { fail("two slots for the key of block \(block)") }
        }
        chainKeys.append((hash, item))
        let startBit: UInt64 = 1 << UInt64(block & 63)
        if starts[Int(block) >> 6] & startBit != 0 { fail("two slots for block \(block)") }
        starts[Int(block) >> 6] |= startBit
        itemsReached[slab] += 1
        liveBlocks[slab] += blocks
        itemCount += 1
        checkExpiry(item, slab, isRun: isRun)
    }

    private mutating func checkExpiry(_ item: Item, _ slab: Int, isRun: Bool) {
        let expiry = state.expiry(of: item)
        firstExpiry[slab] = min(firstExpiry[slab], expiry)
        let start = state.slabs[slab].expiry_base_ms
        let end = state.slabs[slab].expiry_end_ms
        // A run's item may have been touched to a later time in place.
        let isWithin = end == Int64.max ? expiry == end : start < expiry && (expiry <= end || isRun)
        if !isWithin { fail("slab \(slab): an item expires at \(expiry), outside \(start)...\(end)") }
    }

    // MARK: Slabs

    /// Notes where a slab was found: in one place, and no other.
    private mutating func put(_ slab: Int, _ place: SlabPlace) {
        if places[slab] != .nowhere {
            fail("slab \(slab) of state \(slabState(slab).rawValue) is in \(places[slab]) and in \(place)")
        }
        places[slab] = place
    }

    mutating func checkLists(_ space: borrowing Space) {
        let links = space.owned.links
        checkList(links, space.owned.freeSlabs, .free, .free)
        checkList(links, space.owned.limboSlabs, .limbo, .limbo)
        checkList(links, space.owned.freshSlabs, .fresh, .sealed, or: .runHead)
        checkList(links, space.owned.keptSlabs, .kept, .sealed)
    }

    private mutating func checkList(
        _ links: SharedArray<SlabLinks>, _ list: SlabList, _ name: SlabPlace, _ wanted: SlabState,
        or other: SlabState? = nil
    ) {
        var count = 0
        var previous = SlabList.none
        var next = list.head
        while next != SlabList.none {
            guard Int(next) < state.slabCount, count < state.slabCount else {
                return fail("the \(name) list leads out of the slab table")
            }
            let slab = Int(next)
            if links[slab].previous != previous {
                fail("the \(name) list is torn before slab \(slab)")
            }
            if slabState(slab) != wanted, slabState(slab) != other {
                fail("slab \(slab) of state \(slabState(slab).rawValue) is on the \(name) list")
            }
            if slabState(slab) == .sealed,
                (state.slabs[slab].run_slabs == 1) != (name == .kept)
            {
                fail("slab \(slab) is on the \(name) list by mistake")
            }
            put(slab, name)
            count += 1
            previous = next
            next = links[slab].next
        }
        if previous != list.tail { fail("the \(name) list ends before its tail") }
        if count != list.count { fail("the \(name) list counts \(list.count) and has \(count)") }
    }

    mutating func checkOpenSlabs() {
        for place in 0..<SessionSlot.placesMax {
            guard let session = state.sessionSlot(place) else { return }
            if atomicLoad(&session.pointee.openSlabsLock) != 0 { fail("open slabs \(place) are locked") }
            if session.pointee.openCount > session.pointee.openLimit {
                fail("session \(place) has too many slabs open")
            }
            for index in 0..<session.pointee.openCount {
                let open = session.pointee.open[index]
                let slab = state.slabs.record(Int(open.slab))
                put(Int(open.slab), .openSlabs)
                if slabState(Int(open.slab)) != .open {
                    fail("slab \(open.slab) of session \(place) is not open")
                }
                if slab.pointee.expiry_base_ms != open.bucket.start
                    || slab.pointee.expiry_end_ms != open.bucket.end
                    || slab.pointee.level != UInt32(bitPattern: open.bucket.level)
                    || (slab.pointee.run_slabs == 1) != open.isKept
                {
                    fail("slab \(open.slab) is not what session \(place) takes it for")
                }
            }
        }
    }

    mutating func checkSlabs(_ space: borrowing Space) {
        var withheld = 0
        for slab in 0..<state.slabCount {
            if space.owned.isWithheld[slab] {
                put(slab, .withheld)
                withheld += 1
                if slabState(slab) != .free { fail("withheld slab \(slab) has state \(slabState(slab).rawValue)") }
            }
            switch slabState(slab) {
            case .runHead: checkRun(slab)
            case .index: put(slab, .index)
            case .metadata: put(slab, .metadata)
            case .claimed: put(slab, .incoming)
            default: break
            }
        }
        if withheld != state.withheldCount { fail("\(withheld) slabs are withheld, not \(state.withheldCount)") }
        let incoming = places.count { $0 == .incoming }
        if incoming != space.owned.incomingSlabs {
            fail("\(incoming) slabs are claimed for values that arrive, not \(space.owned.incomingSlabs)")
        }
        for slab in 0..<state.slabCount {
            if places[slab] == .nowhere { fail("slab \(slab) of state \(slabState(slab).rawValue) is nowhere") }
            if slabState(slab) != .limbo, !state.isFlushed(slab: slab) { checkBlocks(slab) }
        }
    }

    private mutating func checkRun(_ head: Int) {
        let count = Int(state.slabs[head].run_slabs)
        guard count > 1, head + count <= state.slabCount else {
            return fail("run \(head) has \(count) slabs")
        }
        for slab in head + 1..<head + count {
            guard slabState(slab) == .runTail,
                Int(state.slabs[slab].run_slabs) == slab - head
            else { return fail("slab \(slab) is not the tail of run \(head)") }
            put(slab, .run)
        }
    }

    private mutating func checkBlocks(_ slab: Int) {
        let counted = Int(state.slabs.liveBlocks(slab))
        if counted != liveBlocks[slab] {
            fail("slab \(slab) counts \(counted) live blocks and has \(liveBlocks[slab])")
        }
        if Int(state.slabs[slab].cursor_blocks) > state.blocksPerSlab {
            fail("slab \(slab): cursor beyond its end")
        }
        var items = SlabItems(state, of: slab)
        var reached = 0
        while Int(state.slabs[slab].cursor_blocks) <= state.blocksPerSlab, let item = items.next() {
            let block = items.block
            let isReached = starts[block >> 6] >> UInt64(block & 63) & 1 == 1
            if item.form.contains(.dead) == isReached {
                return fail("slab \(slab): the item at \(block) is dead and in the index, or neither")
            }
            if isReached { reached += 1 }
        }
        if reached != itemsReached[slab] { fail("slab \(slab): slots lead into the middle of its items") }
        if !items.endsAtCursor { fail("slab \(slab): its items end at \(items.position), not at its cursor") }
    }
}

/// Where a slab can be.
private enum SlabPlace: UInt8 {
    case nowhere, free, limbo, fresh, kept, openSlabs, run, index, metadata, incoming, withheld
}
