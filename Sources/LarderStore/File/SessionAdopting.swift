import CLarderArena

extension Session {
    /// What adopting an item needs of the arena that it comes from.
    struct Foreign {
        let item: Item
        let cas: UInt64
        let order: UInt64
        let expiry: Int64
    }

    /// Stores an item of another arena as it is there: value, flags, cas, expiry, marks.
    /// - Returns: false when there is no room for it, or its key is taken.
    func adopt(_ foreign: Foreign, now: Int64) -> Bool {
        if slot.pointee.mayBeDense { growIndexIfDense(now: now) }
        let item = foreign.item
        let key = hashed(item.key, length: item.keyLength)
        let shape = ItemShape(
            keyLength: item.keyLength, valueLength: item.valueLength, clientFlags: item.clientFlags,
            expiryMilliseconds: foreign.expiry, cas: foreign.cas, order: foreign.order,
            state: larder_load_u8(item.stateField) & ~ItemState.pending, keyIsBinary: item.keyIsBinary,
            accessed: larder_load_u16(item.accessedField), checked: state.checked)
        for _ in 0..<8 {
            if !state.hasOverflowReserve, !refillOverflow(now: now) { return false }
            guard let place = state.reserve(shape, kept: false, now: now, spaceIsLocked: false, slot) else {
                return false
            }
            let target = state.writeHeader(place, shape, key: key.bytes)
            target.copyMemory(from: item.value, byteCount: shape.valueLength)
            state.sign(place)
            let tag = KeyHash.tag(key.hash)
            let bucket = state.lockBucket(key.hash)
            // A kill may have left an item and its successor; one of them was here first.
            let isTaken = state.slot(of: key.bytes, key.length, tag, in: bucket) != nil
            if !isTaken { state.settle(place) }
            let isIn = !isTaken && state.insert(block: place.block, tag: tag, into: bucket)
            state.unlockBucket(bucket)
            guard isIn else {
                state.giveUp(place, slot)
                if isTaken { return false }
                continue
            }
            larder_count(&slot.pointee.counters.items, 1)
            state.finish(place, slot)
            if larder_counted(&slot.pointee.counters.items) & 63 == 0 { slot.pointee.mayBeDense = true }
            return true
        }
        return false
    }
}
