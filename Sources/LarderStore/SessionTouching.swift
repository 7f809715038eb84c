import CLarderArena

/// Giving items another expiry.
extension Session {
    /// Gives an item a new expiry; its cas stays.
    /// - Parameter isUse: whether this is an access like a retrieval: `markUsed`.
    /// - Returns: `.stored`, `.notFound`, or `.noMemory` when it had to move and could not.
    package func touch(_ key: HashedKey, expiry: Int64, isUse: Bool = false, now: Int64) -> StoreOutcome {
        if isUse, let item = find(key, now: now) { markUsed(item, now: now) }
        if let account = state.account { return touchWithin(account, key, expiry: expiry, now: now) }
        return touchInArena(key, expiry: expiry, now: now)
    }

    @inline(__always)
    func touchInArena(_ key: HashedKey, expiry: Int64, now: Int64) -> StoreOutcome {
        for _ in 0..<Self.attemptsMax {
            guard let item = find(key, now: now) else { return .notFound }
            guard expiry > now else {
                if remove(key, order: state.order(of: item)) == .exists { continue }
                return .stored
            }
            if state.expiry(of: item) == expiry { return .stored }
            if fitsInPlace(item, expiry) {
                if touchInPlace(item, key, expiry) { return .stored }
                continue
            }
            let shape = ItemShape(
                keyLength: key.length, valueLength: item.valueLength, clientFlags: item.clientFlags,
                expiryMilliseconds: expiry, cas: state.cas(of: item), order: state.order(of: item),
                keyIsBinary: item.keyIsBinary, fixedBits: state.formBits(keyLength: key.length))
            guard let place = state.reserve(shape, now: now, slot) else {
                return .noMemory
            }
            if moveTouched(key, place, shape, now: now) { return .stored }
        }
        return .noMemory
    }

    /// Whether the item's slab is of the right time bucket for a new expiry.
    private func fitsInPlace(_ item: Item, _ expiry: Int64) -> Bool {
        guard item.form.contains(.expires), expiry != Int64.max else { return false }
        let slab = state.slabs.record(state.slabIndex(ofBlock: state.block(of: item)))
        if slab.pointee.run_slabs > 1 {
            // A run waits for its own item only: later is well, and found when its time comes.
            return expiry > state.expiry(of: item)
                && expiry - slab.pointee.expiry_base_ms <= Int64(UInt32.max)
        }
        return expiry > slab.pointee.expiry_base_ms && expiry <= slab.pointee.expiry_end_ms
    }

    private func touchInPlace(_ item: Item, _ key: HashedKey, _ expiry: Int64) -> Bool {
        let bucket = state.lockBucket(key.hash)
        let block = state.block(of: item)
        guard state.slot(ofBlock: block, KeyHash.tag(key.hash), in: bucket) != nil else { return false }
        let base = state.slabs[state.slabIndex(ofBlock: block)].expiry_base_ms
        item.setExpiry(UInt32(truncatingIfNeeded: expiry - base))
        return true
    }

    /// Copies the item to its new place; false when it changed meanwhile.
    private func moveTouched(
        _ key: HashedKey, _ place: consuming Reservation, _ shape: ItemShape, now: Int64
    ) -> Bool {
        var shape = shape
        let bucket = state.lockBucket(key.hash)
        guard let slot = state.slot(of: key, in: bucket),
            case let item = state.item(ofBlock: slot.block),
            state.order(of: item) == shape.order, item.valueLength == shape.valueLength,
            !state.isDead(item, now: now)
        else {
            bucket.unlock()
            place.giveUp(state)
            return false
        }
        // Under the lock, since marks are set under it.
        shape.state = item.state
        shape.accessed = item.accessed
        place.write(shape, copying: item, state)
        place.publish(replacing: slot, in: bucket, hash: nil, self.slot, state)
        return true
    }
}
