import CLarderArena

/// Taking items out of a store.
extension Session {
    /// Deletes the item under a key.
    /// - Parameter cas: if not 0, only when the item has this cas; otherwise `.exists`.
    /// - Returns: `.stored` when it was deleted.
    @inlinable
    package func delete(_ key: HashedKey, cas: UInt64 = 0, now: Int64) -> StoreOutcome {
        delete(key, ifCas: cas == 0 ? nil : cas, now: now)
    }

    /// - Parameter cas: only when the item has this cas; nil: whatever it has.
    @usableFromInline
    package func delete(_ key: HashedKey, ifCas cas: UInt64?, now: Int64) -> StoreOutcome {
        if let account = state.account { return deleteWithin(account, key, cas: cas, now: now) }
        return deleteInArena(key, cas: cas, now: now)
    }

    @inline(__always)
    func deleteInArena(_ key: HashedKey, cas: UInt64?, now: Int64) -> StoreOutcome {
        guard let existing = state.find(key) else { return .notFound }
        let isDead = state.isDead(existing, now: now)
        let outcome = remove(key, cas: cas, onlyDeadAt: isDead ? now : nil)
        return isDead ? .notFound : outcome
    }

    /// Gives an expired item's memory back before its time bucket's turn.
    /// - Returns: whether it was there still.
    @discardableResult
    package func removeDead(_ key: HashedKey, now: Int64) -> Bool {
        if let account = state.account { lockWriting(account) }
        let outcome = remove(key, onlyDeadAt: now)
        if let account = state.account { unlockWriting(account) }
        return outcome == .stored
    }

    /// - Parameters:
    ///   - cas: what clients must see.
    ///   - order: the write that it must be.
    func remove(
        _ key: HashedKey, cas: UInt64? = nil, order: UInt64? = nil, onlyDeadAt: Int64? = nil
    ) -> StoreOutcome {
        let bucket = state.lockBucket(key.hash)
        guard let slot = state.slot(of: key, in: bucket) else {
            return .notFound
        }
        let item = state.item(ofBlock: slot.block)
        var isKept = false
        if let now = onlyDeadAt { isKept = !state.isDead(item, now: now) }
        if let cas, state.cas(of: item) != cas { isKept = true }
        if let order, state.order(of: item) != order { isKept = true }
        guard !isKept else { return .exists }
        if let now = onlyDeadAt {
            state.countDropped(item, key.hash, isDead: true, now: now, self.slot)
            changeCount(&self.slot.pointee.counters.expiredFound, 1)
        } else {
            changeCount(&self.slot.pointee.counters.items, -1)
            if let account = state.account { account.removed(item, key.hash) }
        }
        state.remove(slot, from: bucket, self.slot)
        return .stored
    }
}
