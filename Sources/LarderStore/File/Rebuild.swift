import CLarderArena

// SAFETY: an index within the batch; an item's key, while nobody else uses the arena.

/// Makes a store of what a file holds: the slab table and the items are the truth, all else is made anew.
///
/// First each slab is gone through and its items are judged: what is not to be served is marked dead, so
/// that the slab is whole afterwards. Then the index is made, at the size that the number of items asks
/// for. Both may be interrupted and begun again at any instant: nothing is undone that was not dead.
///
/// Under the space lock, with no session in a turn; the file's owner is this process.
struct Rebuild {
    let state: StoreState
    let geometry: Geometry
    let scan: ArenaScan
    private(set) var report = RecoveryReport()

    /// Records of the slab table that had a wrong bit.
    var mendedRecords = 0
    /// Bytes that may still be read in order to mend records.
    var repairBytesLeft = 1 << 32
    /// Blocks of live items, by slab.
    private var liveBlocks: [Int]
    private var roles: [ArenaScan.Role]
    /// For what has to go for the index's sake.
    private var freeSlabs: [Int] = []
    private var overflowSlabs: [Int] = []
    private var casLast: UInt64 = 0
    private var sequenceLast: UInt64

    /// Numbers beyond this are damage.
    static let numberMax: UInt64 = 1 << 62
    /// Of sequences as well: so many slabs are never opened, and ages can be computed with less.
    static let sequenceMax: UInt64 = 1 << 48
    /// A cas is not given out twice, even if the superblock has lost count.
    static let orderMargin: UInt64 = 1 << 20

    init(_ state: StoreState, _ geometry: Geometry, now: Int64) {
        self.state = state
        self.geometry = geometry
        sequenceLast = state.process.pointee.flushedSequence
        scan = ArenaScan(state: state, flushedSequence: sequenceLast, now: now)
        liveBlocks = Array(repeating: 0, count: state.slabCount)
        roles = Array(repeating: .nothing, count: state.slabCount)
    }

    /// - Parameter isStopped: asked between slabs; what is left then is no store yet.
    /// - Returns: false when it was stopped.
    mutating func run(_ space: borrowing Space, isStopped: (_ slabsDone: Int) -> Bool) -> Bool {
        let superblock = state.superblock
        atomicStore(&superblock.pointee.index_epoch, superblock.pointee.index_epoch | 1)
        // Readers must see it before any change of what they read.
        larder_full_fence()
        var slab = geometry.metadataSlabCount
        while slab < state.slabCount {
            if isStopped(slab - geometry.metadataSlabCount) { return false }
            slab += judge(slab)
        }
        takeIndexSlabs()
        resetRecords()
        makeIndex()
        for slab in geometry.metadataSlabCount..<state.slabCount {
            if isStopped(state.slabCount) { return false }
            addToIndex(slab)
        }
        makeLists(space)
        let bySuperblock = superblock.pointee.cas_last
        superblock.pointee.cas_last =
            bySuperblock >= casLast && bySuperblock < Self.numberMax ? bySuperblock : casLast + Self.orderMargin
        superblock.pointee.slab_sequence = sequenceLast
        atomicStore(&superblock.pointee.index_epoch, superblock.pointee.index_epoch &+ 1)
        return true
    }

    // MARK: Judging

    /// Goes through one slab, or one run of slabs, and returns how many that were.
    private mutating func judge(_ slab: Int) -> Int {
        let role = soundRole(of: slab)
        let sequence = state.slabs[slab].sequence
        if sequence < Self.sequenceMax { sequenceLast = max(sequenceLast, sequence) }
        roles[slab] = role
        switch role {
        case .index, .nothing: return 1
        case .items:
            judgeItems(slab)
            return 1
        case .run(let count): return judgeRun(slab, count)
        }
    }

    private mutating func judgeItems(_ slab: Int) {
        let record = state.slabs.record(slab)
        let first = Int(state.firstBlock(ofSlab: slab))
        let end = first + min(Int(record.pointee.cursor_blocks), state.blocksPerSlab)
        var live = 0
        var reach = first
        scan.forEachItem(in: slab) { kind, block, count in
            if kind == .live { live += count }
            if kind == .damaged, block + count == end {
                // The end of what was being written: the slab ends before it.
                report.droppedItems += 1
            } else {
                note(kind, block, count)
                reach = block + count
            }
        }
        if reach > end { mendedRecords += 1 }
        record.pointee.cursor_blocks = UInt32(reach - first)
        liveBlocks[slab] = live
        if live == 0 { roles[slab] = .nothing }
    }

    private mutating func judgeRun(_ head: Int, _ given: Int) -> Int {
        var count = given
        var found = scan.run(at: head, slabs: count)
        if found == nil, case .run(let mended) = mendedRole(of: head) {
            count = mended
            found = scan.run(at: head, slabs: count)
        }
        roles[head] = .nothing
        guard let (kind, blocks) = found else {
            report.droppedItems += 1
            return 1
        }
        guard kind == .live else {
            note(kind, Int(state.firstBlock(ofSlab: head)), blocks)
            return 1
        }
        roles[head] = .run(count)
        note(.live, Int(state.firstBlock(ofSlab: head)), blocks)
        liveBlocks[head] = blocks
        for tail in head + 1..<head + count { roles[tail] = .run(0) }
        return count
    }

    private mutating func note(_ kind: ItemImage.Verdict, _ block: Int, _ count: Int) {
        switch kind {
        case .live:
            report.items += 1
            let order = state.order(of: state.item(ofBlock: UInt32(block)))
            if order < Self.numberMax { casLast = max(casLast, order) }
        case .dead, .hole: break
        case .expired:
            report.expiredItems += 1
            markDead(block)
        case .pending: markDead(block)
        case .damaged:
            report.droppedItems += 1
            state.writeDeadItem(block: UInt32(block), blockCount: count)
        }
    }

    private func markDead(_ block: Int) { state.markDead(UInt32(block)) }

    // MARK: Slabs

    private func lines(inSlabs count: Int) -> Int { count * geometry.bucketsPerSlab }

    private var bucketCount: Int { max(geometry.bucketsPerSlab, report.items / Int(StoreState.itemsPerBucket)) }

    /// Decides which slabs are the index's: the same as before, if they are what it needs. Then it gets
    /// the same shape, and nothing is in want of a line that had one.
    private mutating func takeIndexSlabs() {
        let superblock = state.superblock.pointee
        let before = roles.indices.filter { roles[$0] == .index }.sorted(by: >)
        if superblock.index_slab_count <= UInt64(before.count),
            superblock.bucket_count <= UInt64(lines(inSlabs: Int(superblock.index_slab_count))),
            superblock.bucket_count > UInt64(lines(inSlabs: max(0, Int(superblock.index_slab_count) - 1))),
            (bucketCount / 2...bucketCount * 4).contains(Int(superblock.bucket_count))
        {
            buckets = Int(superblock.bucket_count)
            indexSlabs = Array(before.prefix(Int(superblock.index_slab_count)))
            overflowSlabs = Array(before.dropFirst(indexSlabs.count))
            return
        }
        let directory = (bucketCount + geometry.bucketsPerSlab - 1) / geometry.bucketsPerSlab
        // A fifth of the buckets overflow when the index is as dense as it should be.
        let overflow = (bucketCount / 4 + Int(state.overflowReserve)) / geometry.bucketsPerSlab + 1
        let wanted = directory + (report.items == 0 ? 0 : overflow)
        var taken = before
        for surplus in taken.dropFirst(wanted) { roles[surplus] = .nothing }
        taken = Array(taken.prefix(wanted))
        var candidate = state.slabCount - 1
        while taken.count < wanted, candidate >= geometry.metadataSlabCount {
            if roles[candidate] == .nothing {
                roles[candidate] = .index
                taken.append(candidate)
            }
            candidate -= 1
        }
        // A damaged slab table: every slab is taken for one of items.
        if taken.count < directory { sacrifice(directory - taken.count, &taken) }
        buckets = min(bucketCount, lines(inSlabs: min(directory, taken.count)))
        indexSlabs = Array(taken.prefix(directory))
        overflowSlabs = Array(taken.dropFirst(directory))
    }
    private var indexSlabs: [Int] = []
    private var buckets = 0

    /// Gives the last slabs of items to the index.
    private mutating func sacrifice(_ count: Int, _ taken: inout [Int]) {
        var candidate = state.slabCount - 1
        while taken.count < count, candidate >= geometry.metadataSlabCount {
            defer { candidate -= 1 }
            switch roles[candidate] {
            case .index: continue
            case .run(0):
                // The whole run goes with its last slab.
                var head = candidate
                while roles[head] == .run(0) {
                    roles[head] = .nothing
                    head -= 1
                }
                roles[head] = .nothing
                liveBlocks[head] = 0
            default: liveBlocks[candidate] = 0
            }
            roles[candidate] = .index
            taken.append(candidate)
        }
    }

    /// Makes every slab's record what its role asks for.
    private func resetRecords() {
        for slab in 0..<state.slabCount {
            let record = state.slabs.record(slab)
            if slab < geometry.metadataSlabCount {
                state.slabs.setLiveBlocks(slab, 0)
                record.pointee.cursor_blocks = 0
                record.pointee.run_slabs = 0
                state.slabs.make(slab, .metadata)
                continue
            }
            switch roles[slab] {
            case .items:
                record.pointee.run_slabs = record.pointee.run_slabs == 1 ? 1 : 0
                state.slabs.setLiveBlocks(slab, liveBlocks[slab])
                state.slabs.make(slab, .sealed)
            case .run(0):
                state.slabs.setLiveBlocks(slab, 0)
                record.pointee.cursor_blocks = 0
                state.slabs.make(slab, .runTail)
            case .run:
                record.pointee.cursor_blocks = 0
                state.slabs.setLiveBlocks(slab, liveBlocks[slab])
                state.slabs.make(slab, .runHead)
            case .index, .nothing: makeFree(slab)
            }
        }
    }

    private func makeFree(_ slab: Int) {
        let record = state.slabs.record(slab)
        state.slabs.setLiveBlocks(slab, 0)
        record.pointee.cursor_blocks = 0
        record.pointee.run_slabs = 0
        state.slabs.make(slab, roles[slab] == .index ? .index : .free)
        if roles[slab] == .index { state.clear(slab: slab) }
    }

    // MARK: Index

    private mutating func makeIndex() {
        for (entry, slab) in indexSlabs.enumerated() { state.directory[entry] = UInt32(slab) }
        state.superblock.pointee.index_slab_count = UInt64(indexSlabs.count)
        atomicStore(&state.superblock.pointee.bucket_count, UInt64(buckets))
        for slab in overflowSlabs { giveLines(of: slab) }
        freeSlabs = roles.indices.filter { $0 >= geometry.metadataSlabCount && roles[$0] == .nothing }
        report.items = 0
    }

    private func giveLines(of slab: Int) {
        let first = slab << Int(state.slabShift - 6)
        for number in first..<first + geometry.bucketsPerSlab {
            state.giveBackOverflowLine(UInt32(truncatingIfNeeded: number))
        }
    }

    /// Items whose buckets are fetched together.
    private static let batch = 16

    private mutating func addToIndex(_ slab: Int) {
        guard liveBlocks[slab] > 0 else { return }
        // Judged before: the lengths are right.
        var items = SlabItems(state, of: slab)
        withUnsafeTemporaryAllocation(of: Candidate.self, capacity: Self.batch) { batch in
            var count = 0
            while let item = items.next() {
                if !item.form.contains(.dead) {
                    let hash = state.hash(of: item)
                    state.prefetchBucket(hash)
                    batch.initializeElement(
                        at: count, to: Candidate(block: items.block, blocks: items.blockCount, hash: hash))
                    count += 1
                }
                if count == Self.batch || items.isAtEnd {
                    for place in 0..<count { add(batch[place]) }
                    count = 0
                }
            }
        }
    }

    private struct Candidate {
        var block: Int
        var blocks: Int
        var hash: UInt64
    }

    private mutating func add(_ candidate: Candidate) {
        let item = state.item(ofBlock: UInt32(candidate.block))
        let key = HashedKey(bytes: item.key, length: item.keyLength, hash: candidate.hash)
        let count = atomicLoad(&state.superblock.pointee.bucket_count)
        // Nobody reads the index before it is complete.
        let bucket = LockedBucket(unreachable: state.bucketAddress(state.bucketNumber(candidate.hash, count: count)))
        if let slot = state.slot(of: key, in: bucket) {
            // A kill between two stores left both: neither answer is wrong, the later is the better.
            let other = state.item(ofBlock: slot.block)
            guard state.order(of: other) <= state.order(of: item) else {
                return drop(candidate.block, candidate.blocks)
            }
            slot.line.publish(slot.number, UInt32(candidate.block))
            return drop(Int(slot.block), state.blockCount(forBytes: other.totalBytes))
        }
        if !state.insert(block: UInt32(candidate.block), tag: key.tag, into: bucket) {
            guard let slab = freeSlabs.popLast() else {
                report.droppedItems += 1
                return drop(candidate.block, candidate.blocks)
            }
            roles[slab] = .index
            makeFree(slab)
            giveLines(of: slab)
            bucket.unlock()
            return add(candidate)
        }
        report.items += 1
    }

    private mutating func drop(_ block: Int, _ blocks: Int) {
        markDead(block)
        let slab = state.slabIndex(ofBlock: UInt32(block))
        liveBlocks[slab] -= blocks
        state.slabs.setLiveBlocks(slab, liveBlocks[slab])
    }

    // MARK: Lists, heap and counters

    private func makeLists(_ space: borrowing Space) {
        let process = state.process
        space.owned.indexSlabs = roles.count { $0 == .index }
        for slab in geometry.metadataSlabCount..<state.slabCount where roles[slab] == .nothing {
            space.owned.freeSlabs.append(slab, space.owned.links)
        }
        let used = roles.indices.filter { slab in
            if case .run(let count) = roles[slab] { return count > 0 }
            return roles[slab] == .items
        }
        for slab in used.sorted(by: { state.slabs[$0].sequence < state.slabs[$1].sequence }) {
            space.enlist(slab, now: scan.now)
        }
        space.restoreAges()
        process.pointee.endedCounters.items = Int64(report.items)
        process.pointee.endedCounters.liveBlocks = Int64(liveBlocks.reduce(0, +))
    }
}
