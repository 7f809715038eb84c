import CLarderArena

/// A lane is a session's open slabs, one for each time bucket in use: new items are appended there.
///
/// Lock order: space, then lane, then bucket. A session holds its lane from reserving blocks until
/// the item is published, so whoever holds the lane's lock knows that nothing in its slabs is half
/// written.
extension StoreState {
    /// 24 bits of order in an item's header, less a margin for those given out meanwhile.
    private static let orderSpan: UInt64 = 1 << 24
    private static let orderMargin: UInt64 = 1 << 20
    /// Items of this share of a slab or more cost less to move than to fault new memory in for.
    private static let largeItemDivisor = 64

    /// Takes blocks for an item. On success the session's lane is locked (unless the item has a run
    /// of slabs to itself) until `publish` or `giveUp`. Items found before are no longer valid.
    func reserve(
        _ shape: ItemShape, kept: Bool, now: Int64, spaceIsLocked: Bool,
        _ session: Shared<SessionSlot>
    ) -> Reservation? {
        if !spaceIsLocked { endViews(session) }
        if blockCount(forBytes: shape.totalBytes(wideCas: shape.cas != nil)) > blocksPerSlab {
            // Kept runs stay where they are, so only a session that stores comes here.
            guard !spaceIsLocked, let run = reserveRun(shape, now: now, session) else { return nil }
            // The store may have been emptied while the session was offline.
            return run.life == process.pointee.life ? run : nil
        }
        let interval = process.pointee.configuration.bucketWidthMilliseconds
        let shift = process.pointee.configuration.bucketShift
        var bucket = TimeBucket(expiry: shape.expiryMilliseconds, now: now, interval: interval, shift: shift)
        while true {
            lock(.lane, &session.pointee.laneLock)
            if let reservation = reserveInLane(shape, bucket, kept, session) { return reservation }
            // Half of the places are for coarse buckets, so that they are not all taken by fine ones.
            if session.pointee.openCount >= session.pointee.openLimit / 2, bucket.level >= 0 {
                let coarse = TimeBucket(
                    expiry: shape.expiryMilliseconds, now: now, interval: interval, shift: 1)
                bucket =
                    narrowestOpen(shape.expiryMilliseconds, levelMax: coarse.level + 1, kept, session)
                    ?? coarse
                if let reservation = reserveInLane(shape, bucket, kept, session) { return reservation }
            }
            unlock(.lane, &session.pointee.laneLock)
            let opened: Bool
            if spaceIsLocked {
                opened = openSlab(for: bucket, kept: kept, holding: shape, now: now, session)
            } else {
                goOffline(session)
                lockSpace()
                opened = openSlab(for: bucket, kept: kept, holding: shape, now: now, session)
                unlockSpace()
                goOnline(session)
            }
            guard opened else { return nil }
        }
    }

    /// The narrowest time bucket open in a lane that an expiry belongs to: better than to seal a slab
    /// that is almost empty for one more bucket.
    private func narrowestOpen(
        _ expiry: Int64, levelMax: Int32, _ kept: Bool, _ session: Shared<SessionSlot>
    ) -> TimeBucket? {
        var best: TimeBucket?
        for place in 0..<session.pointee.openCount {
            let bucket = session.pointee.open[place].bucket
            guard session.pointee.open[place].isKept == kept, bucket.level >= 0, bucket.level <= levelMax,
                bucket.start < expiry, expiry <= bucket.end, bucket.level < best?.level ?? Int32.max
            else { continue }
            best = bucket
        }
        return best
    }

    /// Takes blocks of a slab that the lane has open for this time bucket, if there are enough. The lane is
    /// locked.
    @inline(__always)
    func reserveInLane(
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
            let given = larder_load_u64(&superblock.pointee.cas_last) &- order
            guard given < Self.orderSpan &- Self.orderMargin else { return nil }
        }
        // A new write takes its number last, and then its cas is one that was asked for, or that number.
        let wideCas = shape.cas.map { $0 != order || shape.order == nil } ?? false
        let form = shape.form(wideCas: wideCas)
        let bytes = form.headerBytes &+ shape.keyLength &+ shape.valueLength
        let count = blockCount(forBytes: bytes)
        let cursor = Int(slab.pointee.cursor_blocks)
        guard cursor &+ count <= blocksPerSlab else { return nil }
        slab.pointee.cursor_blocks = UInt32(truncatingIfNeeded: cursor &+ count)
        let block = firstBlock(ofSlab: number) &+ UInt32(truncatingIfNeeded: cursor)
        slabs.addLiveBlocks(number, count)
        larder_count(&session.pointee.counters.liveBlocks, Int64(count))
        if shape.order == nil { order = larder_add_u64(&superblock.pointee.cas_last, 1) &+ 1 }
        session.pointee.useCount &+= 1
        session.pointee.open[place].lastUse = session.pointee.useCount
        return Reservation(
            block: block, blockCount: count, cas: shape.cas ?? order, order: order, form: form,
            holdsLane: true)
    }

    /// Writes an item's header, key and flags into its place, and returns where its value goes.
    @inline(__always)
    func writeHeader(
        _ reservation: Reservation, _ shape: ItemShape, key: UnsafeRawPointer
    ) -> UnsafeMutableRawPointer {
        let item = address(ofBlock: reservation.block)
        let slab = slabs.record(slabIndex(ofBlock: reservation.block))
        let form = reservation.form
        let wide = form.rawValue & ItemForm.wideCas.rawValue != 0
        let delta = (reservation.order &- slab.pointee.cas_base) & 0xff_ffff
        // Built piece by piece: one long expression takes the type checker seconds.
        var head = UInt64(form.rawValue)
        head |= UInt64(checked == 0 ? shape.state : shape.state | ItemState.pending) << 8
        head |= UInt64(UInt8(truncatingIfNeeded: shape.keyLength)) << 16
        head |= delta << 24
        head |= UInt64(UInt16(truncatingIfNeeded: shape.valueLength)) << 48
        item.storeBytes(of: head, as: UInt64.self)
        if wide { item.storeBytes(of: reservation.cas, toByteOffset: 8, as: UInt64.self) }
        if form.rawValue & ItemForm.expires.rawValue != 0 {
            let left = shape.expiryMilliseconds &- slab.pointee.expiry_base_ms
            item.storeBytes(
                of: UInt32(clamping: left), toByteOffset: form.expiryOffset, as: UInt32.self)
        }
        if form.rawValue & ItemForm.clientFlags.rawValue != 0 {
            item.storeBytes(of: shape.clientFlags, toByteOffset: form.clientFlagsOffset, as: UInt32.self)
        }
        if form.rawValue & ItemForm.longValue.rawValue != 0 {
            item.storeBytes(
                of: UInt32(truncatingIfNeeded: shape.valueLength >> 16), toByteOffset: form.longValueOffset,
                as: UInt32.self)
        }
        item.storeBytes(of: shape.accessed, toByteOffset: form.accessedOffset, as: UInt16.self)
        let target = item + form.headerBytes
        target.copyMemory(from: key, byteCount: shape.keyLength)
        return target + shape.keyLength
    }

    /// Unlocks the lane after the item was published, or given up. A run of slabs joins the lists.
    @inline(__always)
    func finish(
        _ reservation: Reservation, _ session: Shared<SessionSlot>
    ) {
        if reservation.holdsLane {
            unlock(.lane, &session.pointee.laneLock)
        } else {
            finishRun(reservation, session)
        }
    }

    /// Gives a reservation back: the item will not be stored after all.
    func giveUp(_ reservation: Reservation, _ session: Shared<SessionSlot>) {
        if !reservation.holdsLane, giveUpLanding(reservation, session) { return }
        writeDeadItem(block: reservation.block, blockCount: reservation.blockCount)
        release(block: reservation.block, blockCount: reservation.blockCount, session)
        finish(reservation, session)
    }

    // MARK: Under the space lock

    /// Opens a slab for a time bucket in the session's lane, and seals the one that it replaces.
    /// - Parameter first: the item that is to be put there first.
    private func openSlab(
        for bucket: TimeBucket, kept: Bool, holding first: ItemShape, now: Int64,
        _ session: Shared<SessionSlot>
    ) -> Bool {
        let areItemsLarge = first.valueLength >= 1 << Int(slabShift) / Self.largeItemDivisor
        guard let number = takeFreeSlab(forKept: kept, areItemsLarge: areItemsLarge, session, now: now) else {
            return false
        }
        lock(.lane, &session.pointee.laneLock)
        defer { unlock(.lane, &session.pointee.laneLock) }
        var replaced: Int?
        for place in 0..<session.pointee.openCount
        where session.pointee.open[place].bucket == bucket && session.pointee.open[place].isKept == kept {
            replaced = place
        }
        if replaced == nil, session.pointee.openCount >= session.pointee.openLimit {
            replaced = leastUsed(session)
        }
        if let replaced { sealOpenSlab(at: replaced, session) }
        let slab = slabs.record(number)
        superblock.pointee.slab_sequence += 1
        crashPoint()
        slab.pointee.sequence = superblock.pointee.slab_sequence
        crashPoint()
        if kept { beginAgeOfOld(number) } else { beginAge(number) }
        slab.pointee.expiry_base_ms = bucket.start
        slab.pointee.expiry_end_ms = bucket.end
        let given = larder_load_u64(&superblock.pointee.cas_last)
        // Kept items are of older writes on both sides of the first one's.
        slab.pointee.cas_base = kept ? given - min(given, Self.orderSpan - Self.orderMargin) : given
        slab.pointee.opened_seconds = UInt32(truncatingIfNeeded: now / 1000)
        slab.pointee.cursor_blocks = 0
        slab.pointee.run_slabs = kept ? 1 : 0
        slab.pointee.level = UInt32(bitPattern: bucket.level)
        crashPoint()
        slabs.transition(number, to: .open)
        // Whoever reads a byte of the new life in place finds the new sequence afterwards.
        larder_full_fence()
        crashPoint()
        session.pointee.open[session.pointee.openCount] = OpenSlab(
            slab: UInt32(number), bucket: bucket, isKept: kept, lastUse: session.pointee.useCount)
        session.pointee.openCount += 1
        if bucket != .never {
            let interval = process.pointee.configuration.bucketWidthMilliseconds
            awaitAttention(of: number, at: bucket.attention(now: now, interval: interval))
        }
        return true
    }

    /// The place of the lane's slab that was not written to for the longest.
    private func leastUsed(_ session: Shared<SessionSlot>) -> Int? {
        (0..<session.pointee.openCount).min {
            session.pointee.open[$0].lastUse < session.pointee.open[$1].lastUse
        }
    }

    /// Seals the lane's slab at `place`. Under the space lock and the lane's lock.
    func sealOpenSlab(at place: Int, _ session: Shared<SessionSlot>) {
        let open = session.pointee.open[place]
        for following in place + 1..<max(place + 1, session.pointee.openCount) {
            session.pointee.open[following - 1] = session.pointee.open[following]
        }
        session.pointee.openCount -= 1
        slabs.transition(Int(open.slab), to: .sealed)
        appendSealed(Int(open.slab))
    }

    func appendSealed(_ slab: Int) {
        if isKept(slab) {
            process.pointee.keptSlabs.append(slab, process.pointee.links)
        } else {
            process.pointee.freshSlabs.append(slab, process.pointee.links)
        }
    }
    func removeSealed(_ slab: Int) {
        if isKept(slab) {
            process.pointee.keptSlabs.remove(slab, process.pointee.links)
        } else {
            process.pointee.freshSlabs.remove(slab, process.pointee.links)
        }
    }
    /// Whether a sealed slab holds items that eviction passed over. `run_slabs` says so, which
    /// slabs that are no runs have no other use for.
    private func isKept(_ slab: Int) -> Bool {
        slabs.state(slab) == .sealed && slabs[slab].run_slabs == 1
    }

    /// Seals an open slab, whichever lane it is in.
    func sealWherever(_ slab: Int) {
        for place in 0..<SessionSlot.placesMax {
            guard let session = sessionSlot(place) else { return }
            lock(.lane, &session.pointee.laneLock)
            defer { unlock(.lane, &session.pointee.laneLock) }
            for open in 0..<session.pointee.openCount where Int(session.pointee.open[open].slab) == slab {
                sealOpenSlab(at: open, session)
                return
            }
        }
    }

    /// Seals every open slab of a lane.
    func sealLane(_ session: Shared<SessionSlot>) {
        lock(.lane, &session.pointee.laneLock)
        while session.pointee.openCount > 0 { sealOpenSlab(at: 0, session) }
        unlock(.lane, &session.pointee.laneLock)
    }
}
