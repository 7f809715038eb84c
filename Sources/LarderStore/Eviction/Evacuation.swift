import CLarderArena

/// Emptying a slab: each live item is moved to another, or dropped. Under the space lock.
///
/// The slab is sealed and its items are still in the index; afterwards none is, and the slab can go
/// to limbo. Readers that found an item before keep reading the old bytes until their turn ends.
extension Space {
    enum Evacuation {
        /// Make room: keep what was asked for of late. With a surcharge it must have been oftener: what is
        /// kept takes room elsewhere, so that to keep all may be in vain.
        case evict(surcharge: Int)
        /// Keep every live item, or stop: for slabs with many holes, and for coarse time buckets.
        case move
        /// Keep nothing.
        case drop
        /// Keep what lives where it is.
        case dropDead
    }

    /// - Returns: false when `.move` found no place for an item: what is left stays where it is.
    func evacuate(
        _ slab: Int, _ purpose: Evacuation, _ session: Shared<SessionSlot>, now: Int64
    ) -> Bool {
        guard !state.isFlushed(slab: slab) else {
            takeFromIndex(flushed: slab)
            return true
        }
        assert(slabs.state(slab) == .sealed || slabs.state(slab) == .runHead, "an open slab is not walked over")
        // Before the walk: the mover opens slabs of its own.
        let isKept = slabs[slab].run_slabs == 1
        // Items that stay together take one other slab at most.
        let bucket = if case .move = purpose { timeBucket(of: slab) } else { TimeBucket?.none }
        // What was stored of late and found at all never pays more: it is no more than half of the arena.
        let isYoung = isYoung(slab)
        var items = SlabItems(state, of: slab)
        while slabs.liveBlocks(slab) != 0, let item = items.next() {
            if item.form.contains(.dead) { continue }
            items.prefetchNext()
            let count = items.blockCount
            let hash = hash(of: item)
            let keeps: Bool
            var price = 0
            switch purpose {
            case .drop: keeps = false
            case .dropDead:
                guard state.isDead(item, now: now) else { continue }
                keeps = false
            case .move: keeps = !state.isDead(item, now: now)
            case .evict(let surcharge):
                let hits = hits(of: item, hash, isKept: isKept)
                price = retentionPrice(
                    blockCount: count, hits: hits, isKept: isKept, surcharge: isYoung ? 0 : surcharge)
                keeps = hits >= price && !state.isDead(item, now: now)
                if !keeps { owned.droppedKeys?.note(hash) }
            }
            if keeps {
                if move(item, hash, price: price, into: bucket, session, now: now) { continue }
                if case .move = purpose { return false }
            }
            state.dropFromIndex(item, hash, session, now: now)
        }
        if case .evict = purpose { adaptRetention(isKept: isKept) }
        return true
    }
}

extension StoreState {
    func dropFromIndex(
        _ item: Item, _ hash: UInt64, _ session: Shared<SessionSlot>, now: Int64
    ) {
        let block = block(of: item)
        let bucket = lockBucket(hash)
        // Without a slot, another thread has just deleted or replaced the item, and gives the blocks back.
        guard let slot = slot(ofBlock: block, KeyHash.tag(hash), in: bucket) else { return }
        countDropped(item, hash, isDead: isDead(item, now: now), now: now, session)
        remove(slot, from: bucket, session)
    }

    func countDropped(
        _ item: Item, _ hash: UInt64, isDead: Bool, now: Int64, _ session: Shared<SessionSlot>
    ) {
        if let account { account.removed(item, hash) }
        let fetched = item.state & ItemState.fetched != 0
        changeCount(&session.pointee.counters.items, -1)
        if isDead {
            changeCount(&session.pointee.counters.expired, 1)
            if !fetched { changeCount(&session.pointee.counters.expiredUnfetched, 1) }
        } else {
            changeCount(&session.pointee.counters.evictions, 1)
            let idle = secondsSinceAccess(item, now: now)
            atomicStore(&process.pointee.lastEvictionIdleSeconds, UInt32(clamping: idle))
            if !fetched { changeCount(&session.pointee.counters.evictionsUnfetched, 1) }
            if item.form.contains(.expires) {
                changeCount(&session.pointee.counters.evictionsWithExpiry, 1)
            }
            if let log = session.pointee.evictionLog { record(item, in: log, now: now) }
        }
    }
}

extension Space {
    /// The time bucket of a slab of items.
    private func timeBucket(of slab: Int) -> TimeBucket {
        let record = slabs[slab]
        return TimeBucket(
            start: record.expiry_base_ms, end: record.expiry_end_ms, level: Int32(bitPattern: record.level))
    }

    /// Notes that a slab got an item of another. If its time bucket has begun, it has to be looked at as early: its own
    /// time counts from when it was opened.
    private func inheritAttention(_ slab: Int, from other: Int, now: Int64) {
        let time = owned.attentions[other]
        guard time < owned.attentions[slab], slabs[slab].expiry_base_ms <= now else { return }
        awaitAttention(of: slab, at: time)
    }

    /// Copies an item to the mover's slabs and points its slot there. It pays for it in hits.
    /// - Parameters:
    ///   - preferred: the time bucket that it is to be in if possible; nil: that of its expiry.
    ///   - sparesLastSlab: whether a free slab is to be left, for holes to be closed.
    func move(
        _ item: Item, _ hash: UInt64, price: Int, into preferred: TimeBucket? = nil, sparesLastSlab: Bool = false,
        _ session: Shared<SessionSlot>, now: Int64
    ) -> Bool {
        let old = state.block(of: item)
        while true {
            let expiry = state.expiry(of: item)
            var shape = ItemShape(
                keyLength: item.keyLength, valueLength: item.valueLength, clientFlags: item.clientFlags,
                expiryMilliseconds: expiry, cas: state.cas(of: item), order: state.order(of: item),
                keyIsBinary: item.keyIsBinary, fixedBits: state.formBits(keyLength: item.keyLength))
            guard let place = reserveKept(shape, preferring: preferred, sparesLastSlab: sparesLastSlab, now: now) else {
                return false
            }
            let bucket = state.lockBucket(hash)
            guard let slot = state.slot(ofBlock: old, KeyHash.tag(hash), in: bucket) else {
                bucket.unlock()
                place.giveUp(state)
                return true
            }
            guard state.expiry(of: item) == expiry else {
                // Touched in place meanwhile.
                bucket.unlock()
                place.giveUp(state)
                continue
            }
            // Under the lock, since marks are set under it.
            shape.state = item.state
            shape.accessed = item.accessed
            assert(price >= 0 && hash == state.hash(of: item))
            if price > 0 { shape.state = stateAfterPaying(price, shape.state) }
            place.write(shape, copying: item, state)
            let from = state.slabIndex(ofBlock: old)
            let to = state.slabIndex(ofBlock: place.block)
            inheritAge(to, from: from)
            if let preferred, preferred.level > 0 { inheritAttention(to, from: from, now: now) }
            place.publish(replacing: slot, in: bucket, hash: nil, session, state)
            changeCount(&session.pointee.counters.itemsMoved, 1)
            return true
        }
    }
}
