import CLarderArena

/// Emptying a slab: each live item is moved to another, or dropped. Under the space lock.
///
/// The slab is sealed and its items are still in the index; afterwards none is, and the slab can go
/// to limbo. Readers that found an item before keep reading the old bytes until their turn ends.
extension StoreState {
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
        guard !isFlushed(slab: slab) else {
            takeFromIndex(flushed: slab)
            return true
        }
        // Before the walk: the mover opens slabs of its own.
        let isKept = slabs[slab].run_slabs == 1
        // What was stored of late and found at all never pays more: it is no more than half of the arena.
        let isYoung = isYoung(slab)
        var items = SlabItems(self, of: slab)
        while slabs.liveBlocks(slab) != 0, let item = items.next() {
            if item.form.contains(.dead) { continue }
            items.prefetchNext()
            let count = items.blockCount
            let hash = KeyHash.hash(item.key, count: item.keyLength, seed: hashSeed)
            let keeps: Bool
            var price = 0
            switch purpose {
            case .drop: keeps = false
            case .dropDead:
                guard isDead(item, now: now) else { continue }
                keeps = false
            case .move: keeps = !isDead(item, now: now)
            case .evict(let surcharge):
                let hits = hits(of: item, hash, isKept: isKept)
                price = retentionPrice(
                    blockCount: count, hits: hits, isKept: isKept, surcharge: isYoung ? 0 : surcharge)
                keeps = hits >= price && !isDead(item, now: now)
                if !keeps { process.pointee.droppedKeys?.note(hash) }
            }
            if keeps {
                if move(item, hash, price: price, session, now: now) { continue }
                if case .move = purpose { return false }
            }
            dropFromIndex(item, hash, count, session, now: now)
        }
        if case .evict = purpose { adaptRetention(isKept: isKept) }
        return true
    }

    func dropFromIndex(
        _ item: Item, _ hash: UInt64, _ count: Int, _ session: Shared<SessionSlot>, now: Int64
    ) {
        let block = block(ofItem: item.base)
        let bucket = lockBucket(hash)
        guard let slot = slot(ofBlock: block, KeyHash.tag(hash), in: bucket) else {
            // Deleted or replaced a moment ago: whoever did it gives the blocks back.
            unlockBucket(bucket)
            return
        }
        removeSlot(slot, from: bucket)
        crashPoint()
        countDropped(item, hash, isDead: isDead(item, now: now), now: now, session)
        release(block: block, blockCount: count, session)
        unlockBucket(bucket)
    }

    func countDropped(
        _ item: Item, _ hash: UInt64, isDead: Bool, now: Int64, _ session: Shared<SessionSlot>
    ) {
        if let bounds { bounds.removed(item, hash) }
        let fetched = larder_load_u8(item.stateField) & ItemState.fetched != 0
        larder_count(&session.pointee.counters.items, -1)
        if isDead {
            larder_count(&session.pointee.counters.expired, 1)
            if !fetched { larder_count(&session.pointee.counters.expiredUnfetched, 1) }
        } else {
            larder_count(&session.pointee.counters.evictions, 1)
            let idle = secondsSinceAccess(item, now: now)
            larder_store_u32(&process.pointee.lastEvictionIdleSeconds, UInt32(clamping: idle))
            if !fetched { larder_count(&session.pointee.counters.evictionsUnfetched, 1) }
            if item.form.contains(.expires) {
                larder_count(&session.pointee.counters.evictionsWithExpiry, 1)
            }
            if let log = session.pointee.evictionLog { record(item, in: log, now: now) }
        }
    }

    /// Copies an item to the mover's slabs and points its slot there. It pays for it in hits.
    func move(
        _ item: Item, _ hash: UInt64, price: Int, _ session: Shared<SessionSlot>, now: Int64
    ) -> Bool {
        let old = block(ofItem: item.base)
        while true {
            let expiry = expiry(of: item)
            var shape = ItemShape(
                keyLength: item.keyLength, valueLength: item.valueLength, clientFlags: item.clientFlags,
                expiryMilliseconds: expiry, cas: cas(of: item), order: order(of: item),
                keyIsBinary: item.keyIsBinary, checked: checked)
            guard let place = reserve(shape, kept: true, now: now, spaceIsLocked: true, mover) else {
                return false
            }
            let bucket = lockBucket(hash)
            guard let slot = slot(ofBlock: old, KeyHash.tag(hash), in: bucket) else {
                unlockBucket(bucket)
                giveUp(place, mover)
                return true
            }
            guard self.expiry(of: item) == expiry else {
                // Touched in place meanwhile.
                unlockBucket(bucket)
                giveUp(place, mover)
                continue
            }
            // Under the lock, since marks are set under it.
            shape.state = larder_load_u8(item.stateField)
            shape.accessed = larder_load_u16(item.accessedField)
            if price > 0 { shape.state = stateAfterPaying(price, shape.state) }
            let value = writeHeader(place, shape, key: item.key)
            value.copyMemory(from: item.value, byteCount: shape.valueLength)
            crashPoint()
            sign(place)
            settle(place)
            crashPoint()
            slot.line.publish(slot.number, place.block)
            inheritAge(slabIndex(ofBlock: place.block), from: slabIndex(ofBlock: old))
            release(block: old, blockCount: blockCount(forBytes: item.totalBytes), session)
            unlockBucket(bucket)
            finish(place, mover)
            larder_count(&session.pointee.counters.itemsMoved, 1)
            return true
        }
    }
}
