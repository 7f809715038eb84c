import CLarderArena

extension Session {
    /// What adopting an item needs of the arena that it comes from.
    struct ImportedItem {
        let item: Item
        let cas: UInt64
        let order: UInt64
        let expiry: Int64
    }

    /// The outcome for an item of another arena.
    enum Adoption {
        case adopted, noRoom
        /// A kill has left an item and its successor, and the other one was adopted before.
        case keyTaken
    }

    /// Stores an item of another arena as it is there: value, flags, cas, expiry, marks.
    func adopt(_ imported: ImportedItem, now: Int64) -> Adoption {
        if slot.pointee.mayBeDense { growIndexIfDense(now: now) }
        let item = imported.item
        let key = state.key(of: item)
        let shape = ItemShape(
            keyLength: item.keyLength, valueLength: item.valueLength, clientFlags: item.clientFlags,
            expiryMilliseconds: imported.expiry, cas: imported.cas, order: imported.order,
            state: item.state & ~ItemState.pending, keyIsBinary: item.keyIsBinary,
            accessed: item.accessed, fixedBits: state.formBits(keyLength: item.keyLength))
        for _ in 0..<8 {
            if !state.hasOverflowReserve, !refillOverflow(now: now) { return .noRoom }
            guard let place = state.reserve(shape, now: now, slot) else {
                return .noRoom
            }
            place.write(shape, copying: item, state)
            let bucket = state.lockBucket(key.hash)
            if state.slot(of: key, in: bucket) != nil {
                bucket.unlock()
                place.giveUp(state)
                return .keyTaken
            }
            // What is counted against limits is counted when all is there.
            guard place.publish(key.tag, into: bucket, hash: nil, state) else { continue }
            if counted(&slot.pointee.counters.items) & 63 == 0 { slot.pointee.mayBeDense = true }
            return .adopted
        }
        return .noRoom
    }
}
