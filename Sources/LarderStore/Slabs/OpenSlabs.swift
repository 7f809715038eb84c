import CLarderArena

/// A session has a set of open slabs, one for each time bucket in use: new items are appended there.
///
/// Lock order: space, then open slabs, then bucket. A session locks its open slabs from reserving blocks until
/// the item is published, so while a thread holds the lock, no item in the slabs is half
/// written.
extension StoreState {
    /// 24 bits of order in an item's header, less a margin for those given out meanwhile.
    fileprivate static let orderSpan: UInt64 = 1 << 24
    fileprivate static let orderMargin: UInt64 = 1 << 20
}

extension Space {
    /// Items of this share of a slab or more cost less to move than to fault new memory in for.
    private static let largeItemDivisor = 64
    /// Memory is short while less than this share of the slabs is free.
    static let freeShareDivisor = 16
}

extension StoreState {
    /// Takes blocks for an item. On success the set of open slabs is locked (unless the item has a run
    /// of slabs to itself) until the reservation ends. Items found before are no longer valid.
    func reserve(_ shape: ItemShape, now: Int64, _ session: Shared<SessionSlot>) -> Reservation? {
        endViews(session)
        guard isLargerThanSlab(shape) else {
            return reserve(shape, kept: false, now: now, session) { bucket in
                withSpace(session) { $0.openSlab(for: bucket, kept: false, holding: shape, now: now, session) }
            }
        }
        guard let run = reserveRun(shape, now: now, session) else { return nil }
        if run.life == process.pointee.life { return run }
        // The store was emptied while the session was offline.
        run.forget()
        return nil
    }

    fileprivate func isLargerThanSlab(_ shape: ItemShape) -> Bool {
        blockCount(forBytes: shape.totalBytes(wideCas: shape.cas != nil)) > blocksPerSlab
    }

    /// - Parameter open: opens a slab for a time bucket; false when there is none.
    fileprivate func reserve(
        _ shape: ItemShape, kept: Bool, preferring preferred: TimeBucket? = nil, now: Int64,
        _ session: Shared<SessionSlot>, open: (TimeBucket) -> Bool
    ) -> Reservation? {
        let interval = process.pointee.configuration.bucketWidthMilliseconds
        let shift = process.pointee.configuration.bucketShift
        var bucket =
            preferred ?? TimeBucket(expiry: shape.expiryMilliseconds, now: now, interval: interval, shift: shift)
        while true {
            lockOpenSlabs(session)
            if let reservation = reserveUnderLock(shape, bucket, kept, session) { return reservation }
            // Half of the places are for coarse buckets, so that they are not all taken by fine ones.
            if session.pointee.openCount >= session.pointee.openLimit / 2, bucket.level >= 0 {
                let coarse = TimeBucket(
                    expiry: shape.expiryMilliseconds, now: now, interval: interval, shift: 1)
                let narrowest = narrowestOpen(shape.expiryMilliseconds, levels: 0...coarse.level + 1, kept, session)
                if let narrowest, let reservation = reserveUnderLock(shape, narrowest, kept, session) {
                    return reservation
                }
                bucket = preferred == nil ? narrowest ?? coarse : bucket
                if session.pointee.openCount >= session.pointee.openLimit, !isOpen(bucket, kept, session) {
                    bucket = bucket.wider(interval)
                }
                if let reservation = reserveUnderLock(shape, bucket, kept, session) { return reservation }
            }
            unlockOpenSlabs(session)
            guard !open(bucket) else { continue }
            return kept ? reserveAnywhere(shape, now: now, session) : nil
        }
    }

    /// Takes blocks for an item that is moved, where no slab can be opened: in a wider time bucket.
    private func reserveAnywhere(_ shape: ItemShape, now: Int64, _ session: Shared<SessionSlot>) -> Reservation? {
        let interval = process.pointee.configuration.bucketWidthMilliseconds
        let coarse = TimeBucket(expiry: shape.expiryMilliseconds, now: now, interval: interval, shift: 1)
        lockOpenSlabs(session)
        var level: Int32 = 0
        while level <= coarse.level + 1 {
            if let bucket = narrowestOpen(shape.expiryMilliseconds, levels: level...coarse.level + 1, true, session) {
                if let reservation = reserveUnderLock(shape, bucket, true, session) { return reservation }
                level = bucket.level + 1
            } else {
                break
            }
        }
        unlockOpenSlabs(session)
        return nil
    }

    private func isOpen(_ bucket: TimeBucket, _ kept: Bool, _ session: Shared<SessionSlot>) -> Bool {
        (0..<session.pointee.openCount).contains {
            session.pointee.open[$0].bucket == bucket && session.pointee.open[$0].isKept == kept
        }
    }

    /// The narrowest time bucket open in a session that an expiry belongs to: better than to seal a slab
    /// that is almost empty for one more bucket.
    private func narrowestOpen(
        _ expiry: Int64, levels: ClosedRange<Int32>, _ kept: Bool, _ session: Shared<SessionSlot>
    ) -> TimeBucket? {
        var best: TimeBucket?
        for place in 0..<session.pointee.openCount {
            let bucket = session.pointee.open[place].bucket
            guard session.pointee.open[place].isKept == kept, levels.contains(bucket.level),
                bucket.start < expiry, expiry <= bucket.end, bucket.level < best?.level ?? Int32.max
            else { continue }
            best = bucket
        }
        return best
    }

    /// Takes blocks of a slab that the session has open for this time bucket, if there are enough. The set is
    /// locked.
    @inline(__always)
    private func reserveUnderLock(
        _ shape: ItemShape, _ bucket: TimeBucket, _ kept: Bool, _ session: Shared<SessionSlot>
    ) -> Reservation? {
        var place = session.pointee.openCount &- 1
        while place >= 0 {
            let open = session.pointee.open[place]
            if open.bucket == bucket, open.isKept == kept { break }
            place &-= 1
        }
        guard place >= 0 else { return nil }
        let number = Int(session.pointee.open[place].slab)
        let slab = slabs.record(number)

        var order = slab.pointee.cas_base
        if let kept = shape.order {
            // An older write is raised to the slab's first: every later one has a higher number still.
            if kept > order { order = kept }
            guard order &- slab.pointee.cas_base < Self.orderSpan else { return nil }
        } else {
            let given = atomicLoad(&superblock.pointee.cas_last) &- order
            guard given < Self.orderSpan &- Self.orderMargin else { return nil }
        }
        // A new write takes its number last, and then its cas is one that was asked for, or that number.
        let wideCas = shape.cas.map { $0 != order || shape.order == nil } ?? false
        let form = shape.form(wideCas: wideCas)
        let bytes = form.headerLength &+ shape.keyLength &+ shape.valueLength
        let count = blockCount(forBytes: bytes)
        assert(slabs.state(number) == .open && atomicLoad(&session.pointee.openSlabsLock) != 0)
        let cursor = Int(slab.pointee.cursor_blocks)
        guard cursor &+ count <= blocksPerSlab else { return nil }
        slab.pointee.cursor_blocks = UInt32(truncatingIfNeeded: cursor &+ count)
        let block = firstBlock(ofSlab: number) &+ UInt32(truncatingIfNeeded: cursor)
        slabs.addLiveBlocks(number, count)
        changeCount(&session.pointee.counters.liveBlocks, Int64(count))
        if shape.order == nil { order = atomicAdd(&superblock.pointee.cas_last, 1) &+ 1 }
        session.pointee.useCount &+= 1
        session.pointee.open[place].lastUse = session.pointee.useCount
        return Reservation(
            session: session, block: block, blockCount: count, cas: shape.cas ?? order, order: order,
            form: form, locksOpenSlabs: true, life: 0)
    }

    /// Takes blocks of a slab that the session has open for items of a time bucket, and locks the set; nil, and the set
    /// is not locked, when no such slab has room.
    /// - Parameter kept: whether it is for items that are moved, rather than fresh ones.
    @inline(__always)
    func reserveInOpenSlab(
        _ shape: ItemShape, _ bucket: TimeBucket, kept: Bool = false, _ session: Shared<SessionSlot>
    ) -> Reservation? {
        lockOpenSlabs(session)
        if let reservation = reserveUnderLock(shape, bucket, kept, session) { return reservation }
        unlockOpenSlabs(session)
        return nil
    }
}

extension Space {
    // MARK: Under the space lock

    /// Takes blocks for an item that is moved. On success the mover's set of open slabs is locked.
    func reserveKept(
        _ shape: ItemShape, preferring bucket: TimeBucket?, sparesLastSlab: Bool, now: Int64
    ) -> Reservation? {
        // Most items follow others of their slab.
        if let bucket, let reservation = state.reserveInOpenSlab(shape, bucket, kept: true, mover) {
            return reservation
        }
        // Kept runs stay where they are.
        guard !state.isLargerThanSlab(shape) else { return nil }
        return state.reserve(shape, kept: true, preferring: bucket, now: now, mover) {
            guard owned.freeSlabs.count > (sparesLastSlab ? 1 : 0) else { return false }
            return openSlab(for: $0, kept: true, holding: shape, now: now, mover)
        }
    }

    /// Opens a slab for a time bucket for the session, and seals the one that it replaces.
    /// - Parameter first: the item that is to be put there first.
    fileprivate func openSlab(
        for bucket: TimeBucket, kept: Bool, holding first: ItemShape, now: Int64,
        _ session: Shared<SessionSlot>
    ) -> Bool {
        let areItemsLarge = first.valueLength >= 1 << Int(slabShift) / Self.largeItemDivisor
        guard let number = takeFreeSlab(forKept: kept, areItemsLarge: areItemsLarge, session, now: now) else {
            return false
        }
        state.lockOpenSlabs(session)
        defer { state.unlockOpenSlabs(session) }
        var replaced: Int?
        for place in 0..<session.pointee.openCount
        where session.pointee.open[place].bucket == bucket && session.pointee.open[place].isKept == kept {
            replaced = place
        }
        if let replaced { sealOpenSlab(at: replaced, isFull: true, session) }
        session.pointee.openLimit = openLimit(of: session)
        while session.pointee.openCount >= session.pointee.openLimit, let place = leastUsed(session) {
            sealOpenSlab(at: place, session)
        }
        let slab = slabs.record(number)
        superblock.pointee.slab_sequence += 1
        state.crashPoint()
        slab.pointee.sequence = superblock.pointee.slab_sequence
        state.crashPoint()
        if kept { beginAgeOfOld(number) } else { beginAge(number) }
        slab.pointee.expiry_base_ms = bucket.start
        slab.pointee.expiry_end_ms = bucket.end
        let given = atomicLoad(&superblock.pointee.cas_last)
        // Kept items are of older writes on both sides of the first one's.
        slab.pointee.cas_base = kept ? given - min(given, StoreState.orderSpan - StoreState.orderMargin) : given
        slab.pointee.opened_seconds = UInt32(truncatingIfNeeded: now / 1000)
        slab.pointee.cursor_blocks = 0
        slab.pointee.run_slabs = kept ? 1 : 0
        slab.pointee.level = UInt32(bitPattern: bucket.level)
        state.crashPoint()
        slabs.transition(number, to: .open)
        // Whoever reads a byte of the new life in place finds the new sequence afterwards.
        larder_full_fence()
        state.crashPoint()
        session.pointee.open[session.pointee.openCount] = OpenSlab(
            slab: UInt32(number), bucket: bucket, isKept: kept, lastUse: session.pointee.useCount)
        session.pointee.openCount += 1
        assert(session.pointee.openCount <= session.pointee.openLimit)
        owned.attentions[number] = Int64.max
        if bucket != .never {
            let interval = process.pointee.configuration.bucketWidthMilliseconds
            awaitAttention(of: number, at: bucket.attention(now: now, interval: interval))
        }
        return true
    }

    /// The place of the open slab that was not written to for the longest.
    func leastUsed(_ session: Shared<SessionSlot>) -> Int? {
        (0..<session.pointee.openCount).min {
            session.pointee.open[$0].lastUse < session.pointee.open[$1].lastUse
        }
    }

    /// Seals the open slab at `place`. Under the space lock and that of the open slabs.
    /// - Parameter isFull: whether an item that was to be put there did not fit.
    func sealOpenSlab(at place: Int, isFull: Bool = false, _ session: Shared<SessionSlot>) {
        assert(place < session.pointee.openCount && atomicLoad(&session.pointee.openSlabsLock) != 0)
        let open = session.pointee.open[place]
        for following in place + 1..<max(place + 1, session.pointee.openCount) {
            session.pointee.open[following - 1] = session.pointee.open[following]
        }
        session.pointee.openCount -= 1
        owned.sealedEarly[Int(open.slab)] = !isFull
        slabs.transition(Int(open.slab), to: .sealed)
        appendSealed(Int(open.slab))
    }

    func appendSealed(_ slab: Int) {
        assert(slabs.state(slab) == .sealed || slabs.state(slab) == .runHead)
        if isKept(slab) {
            owned.keptSlabs.append(slab, owned.links)
        } else {
            owned.freshSlabs.append(slab, owned.links)
        }
    }
    func removeSealed(_ slab: Int) {
        assert(slabs.state(slab) == .sealed)
        if isKept(slab) {
            owned.keptSlabs.remove(slab, owned.links)
        } else {
            owned.freshSlabs.remove(slab, owned.links)
        }
    }
    /// Whether a sealed slab holds items that eviction passed over. `run_slabs` says so, which
    /// slabs that are no runs have no other use for.
    private func isKept(_ slab: Int) -> Bool {
        slabs.state(slab) == .sealed && slabs[slab].run_slabs == 1
    }

    /// Seals an open slab, whichever session has it.
    func sealWherever(_ slab: Int) {
        for place in 0..<SessionSlot.placesMax {
            guard let session = state.sessionSlot(place) else { return }
            state.lockOpenSlabs(session)
            defer { state.unlockOpenSlabs(session) }
            for open in 0..<session.pointee.openCount where Int(session.pointee.open[open].slab) == slab {
                sealOpenSlab(at: open, session)
                return
            }
        }
    }

    /// Seals every open slab of a session.
    func sealOpenSlabs(_ session: Shared<SessionSlot>) {
        state.lockOpenSlabs(session)
        while session.pointee.openCount > 0 { sealOpenSlab(at: 0, session) }
        state.unlockOpenSlabs(session)
    }
}
