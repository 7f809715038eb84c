import CLarderArena

/// Which slab to empty when room is needed. Under the space lock.
///
/// First those whose time is over, then those that are mostly holes, then the oldest. Fresh items
/// have a queue of slabs of their own: what is not asked for while it passes through is dropped
/// there, so that a scan does not push out what is in use (S3-FIFO, SOSP '23, by slabs).
extension StoreState {
    /// Slabs looked at to find one with holes.
    private static let samples = 16
    /// Share of the slabs that fresh items may hold before they are the ones to make room.
    private static let freshShareDivisor = 4

    /// Empties one slab into limbo; false when there is none that may be.
    func reclaimSlab(_ session: UnsafeMutablePointer<SessionSlot>, now: Int64) -> Bool {
        if reclaimDue(session, now: now, slabsMax: 1) > 0 { return true }
        let evicts = process.pointee.configuration.evicts
        if let holey = emptiestSample() {
            let live = Int(larder_load_u32(&slabs[holey].live_blocks))
            // While a good part of the arena is holes, closing them costs nobody an item.
            let dataBlocks = Int64(slabCount) * Int64(blocksPerSlab)
            let isRoomy = liveBlockCount() < dataBlocks / 100 * 85
            let worthwhile = live <= blocksPerSlab / 2 || ((isRoomy || !evicts) && live <= blocksPerSlab / 100 * 90)
            if worthwhile, closeHoles(holey, session, now: now) { return true }
        }
        guard evicts else { return false }
        for _ in 0..<slabCount {
            guard let victim = evictionVictim() else { return false }
            if larder_load_u32(&slabs[victim].state) == LARDER_SLAB_RUN_HEAD.rawValue {
                if passOverRun(victim, session) { continue }
                dropRun(victim, session, now: now)
                return true
            }
            removeSealed(victim)
            _ = evacuate(victim, .evict, session, now: now)
            sendToLimbo(victim, session)
            return true
        }
        return false
    }

    /// Moves a slab's live items together elsewhere.
    private func closeHoles(_ slab: Int, _ session: UnsafeMutablePointer<SessionSlot>, now: Int64) -> Bool {
        if larder_load_u32(&slabs[slab].state) == LARDER_SLAB_RUN_HEAD.rawValue {
            retireRun(slab, session)
            return true
        }
        removeSealed(slab)
        guard evacuate(slab, .move, session, now: now) else {
            appendSealed(slab)
            return false
        }
        sendToLimbo(slab, session)
        return true
    }

    /// The sealed slab with the fewest live blocks among a few taken in turn; nil if none is sealed.
    private func emptiestSample() -> Int? {
        var best: (live: UInt32, slab: Int)?
        let sealed = LARDER_SLAB_SEALED.rawValue
        for _ in 0..<min(Self.samples, slabCount) {
            process.pointee.sampleHand = (process.pointee.sampleHand + 1) % slabCount
            let slab = process.pointee.sampleHand
            let state = larder_load_u32(&slabs[slab].state)
            let live = larder_load_u32(&slabs[slab].live_blocks)
            let isEmptyRun = state == LARDER_SLAB_RUN_HEAD.rawValue && live == 0
            guard state == sealed || isEmptyRun else { continue }
            if best.map({ live < $0.live }) ?? true { best = (live, slab) }
        }
        return best?.slab
    }

    private func evictionVictim() -> Int? {
        let fresh = process.pointee.freshSlabs
        let kept = process.pointee.keptSlabs
        if kept.count == 0 { return fresh.first }
        if fresh.count * Self.freshShareDivisor > fresh.count + kept.count { return fresh.first }
        return kept.first
    }

    /// A large item that was asked for goes to the end of the queue, once for each time.
    private func passOverRun(_ head: Int, _ session: UnsafeMutablePointer<SessionSlot>) -> Bool {
        guard larder_load_u32(&slabs[head].live_blocks) > 0 else { return false }
        let item = Item(address(ofBlock: firstBlock(ofSlab: head)))
        let state = larder_load_u8(item.stateField)
        guard state & ItemState.frequencyMask > 0 else { return false }
        larder_store_u8(item.stateField, state - 1)
        process.pointee.freshSlabs.remove(head, process.pointee.links)
        process.pointee.freshSlabs.append(head, process.pointee.links)
        return true
    }

    // MARK: Time

    /// Looks after slabs whose time bucket is due: gives those back that are all dead, sorts coarse
    /// ones into finer buckets. Returns how many were emptied.
    func reclaimDue(_ session: UnsafeMutablePointer<SessionSlot>, now: Int64, slabsMax: Int) -> Int {
        var emptied = 0
        while emptied < slabsMax, let due = process.pointee.expiryHeap.first, due.time <= now {
            process.pointee.expiryHeap.pop()
            let slab = Int(due.slab)
            guard slabs[slab].sequence == due.sequence else { continue }
            if larder_load_u32(&slabs[slab].state) == LARDER_SLAB_OPEN.rawValue { sealWherever(slab) }
            switch larder_load_u32(&slabs[slab].state) {
            case LARDER_SLAB_RUN_HEAD.rawValue:
                guard isRunDue(slab, now: now) else { continue }
                dropRun(slab, session, now: now)
                emptied += 1
            case LARDER_SLAB_SEALED.rawValue:
                removeSealed(slab)
                if evacuate(slab, .move, session, now: now) {
                    sendToLimbo(slab, session)
                    emptied += 1
                } else {
                    // No room to sort it: its dead are found when read, and its time comes again.
                    appendSealed(slab)
                    let interval = process.pointee.configuration.bucketIntervalMilliseconds
                    process.pointee.expiryHeap.push(
                        ExpiryHeap.Entry(time: now + interval, slab: due.slab, sequence: due.sequence))
                }
            default: continue
            }
        }
        return emptied
    }

    /// A touch may have changed a run's expiry in place.
    private func isRunDue(_ head: Int, now: Int64) -> Bool {
        guard larder_load_u32(&slabs[head].live_blocks) > 0 else { return true }
        let expiry = expiry(of: Item(address(ofBlock: firstBlock(ofSlab: head))))
        if expiry > now {
            process.pointee.expiryHeap.push(
                ExpiryHeap.Entry(time: expiry, slab: UInt32(head), sequence: slabs[head].sequence))
            return false
        }
        return true
    }

    // MARK: Flush

    /// Drops every item. Its cost is that of walking the index and the slab table, not the items.
    func flush(_ session: UnsafeMutablePointer<SessionSlot>) {
        for place in 0..<SessionSlot.sessionsMax {
            guard let slot = sessionSlot(place) else { break }
            sealLane(slot)
        }
        let count = Int(larder_load_u64(&superblock.pointee.bucket_count))
        for number in 0..<count { clearBucket(bucketAddress(number), session) }
        for list in [process.pointee.freshSlabs, process.pointee.keptSlabs] {
            var next = list.head
            while next != SlabList.none {
                let slab = Int(next)
                next = process.pointee.links[slab].next
                if larder_load_u32(&slabs[slab].state) == LARDER_SLAB_RUN_HEAD.rawValue {
                    retireRun(slab, session)
                } else {
                    removeSealed(slab)
                    sendToLimbo(slab, session)
                }
            }
        }
        recycleLimbo(session)
    }

    private func clearBucket(
        _ bucket: UnsafeMutablePointer<larder_bucket>, _ session: UnsafeMutablePointer<SessionSlot>
    ) {
        let all = UInt32(1) << UInt32(LARDER_BUCKET_SLOTS) - 1
        if larder_bucket_match(bucket, UInt8(LARDER_TAG_EMPTY)) == all { return }
        var step: UInt32 = 0
        while !larder_bucket_try_lock(bucket) {
            larder_wait_step(step)
            step &+= 1
        }
        var removed: Int64 = 0
        var lines: [UInt32] = []
        var current: UnsafeMutablePointer<larder_bucket>? = bucket
        while let lineOfChain = current {
            current = overflow(of: lineOfChain)
            for number in 0..<UInt32(LARDER_BUCKET_SLOTS) {
                let tag = larder_bucket_tag(lineOfChain, number)
                guard tag != UInt8(LARDER_TAG_EMPTY) else { continue }
                if tag == UInt8(LARDER_TAG_LINK) {
                    lines.append(larder_bucket_block(lineOfChain, number))
                } else {
                    removed += 1
                }
                larder_bucket_set_tag(lineOfChain, number, UInt8(LARDER_TAG_EMPTY))
                larder_bucket_publish(lineOfChain, number, 0)
            }
        }
        larder_bucket_unlock(bucket)
        for number in lines { giveBackOverflowLine(number) }
        larder_count(&session.pointee.counters.items, -removed)
    }
}
