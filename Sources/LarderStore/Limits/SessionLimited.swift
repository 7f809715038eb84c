import CLarderArena
import Glibc

// SAFETY: the value's address is handed on; its length comes with it.

/// What a session does in a limited store: the same as in any other, one writer at a time, and after
/// room was made within the limits.
extension Session {
    /// Waits between turns, so that whoever holds the lock may wait for this turn's end. Items found
    /// before are no longer valid.
    func lockWriting(_ account: Shared<LimitAccount>) {
        state.endViews(slot)
        guard !state.tryLockWriting(account) else { return }
        state.goOffline(slot)
        state.lockWriting(account)
        state.goOnline(slot)
    }

    func unlockWriting(_ account: Shared<LimitAccount>) { state.unlockWriting(account) }

    /// - Parameter now: absolute milliseconds.
    private func noteChange(_ account: Shared<LimitAccount>, _ key: HashedKey, now: Int64) {
        noteWrite(account, key)
        guard account.pointee.limits.notesLastModified else { return }
        changeCount(&account.pointee.lastModifiedMilliseconds, now - account.pointee.lastModifiedMilliseconds)
    }

    /// Notes for others that what there is under a key has changed.
    private func noteWrite(_ account: Shared<LimitAccount>, _ key: HashedKey) {
        record(key)
        if account.pointee.load != nil { account.pointee.load?.note(key.hash) }
    }

    @inline(never)
    func storeWithin(
        _ account: Shared<LimitAccount>, _ mode: WriteMode, _ key: HashedKey, value: UnsafeRawPointer,
        valueLength: Int, clientFlags: UInt32, expiry: Int64, _ options: WriteOptions, now: Int64
    ) -> StoreResult {
        lockWriting(account)
        defer { unlockWriting(account) }
        let result = storeLocked(
            account, mode, key, value: value, valueLength: valueLength, clientFlags: clientFlags, expiry: expiry,
            options, now: now)
        switch result.outcome {
        case .stored: noteChange(account, key, now: now)
        // A set that was refused has dropped the old value.
        case .tooLarge, .noMemory: if mode == .set { noteWrite(account, key) }
        default: break
        }
        return result
    }

    /// Under `writing`.
    private func storeLocked(
        _ account: Shared<LimitAccount>, _ mode: WriteMode, _ key: HashedKey, value: UnsafeRawPointer,
        valueLength: Int, clientFlags: UInt32, expiry: Int64, _ options: WriteOptions, now: Int64
    ) -> StoreResult {
        let limits = account.pointee.limits
        guard key.length <= limits.keyBytesMax else { return StoreResult(.tooLarge) }
        var search = RoomSearch()
        while true {
            let present = findEvenDead(key)
            let live = present.flatMap { isDead($0, now: now) ? nil : $0 }
            if mode != .set, let outcome = refusal(mode, live, options) { return StoreResult(outcome) }
            let isJoined = mode == .append || mode == .prepend
            let length = valueLength + (isJoined ? live?.valueLength ?? 0 : 0)
            let blocks = limits.blocks(forValueBytes: length)
            guard length <= limits.valueBytesMax, blocks <= Int64(limits.blocksMax) || !limits.isBitmap else {
                return refused(mode, key, .tooLarge)
            }
            // The blocks of what is replaced count as free: the item being written is never in its own way.
            let oldBlocks = present.map { limits.blocks(forValueBytes: $0.valueLength) } ?? 0
            let isShortLived = !isJoined && options.setsExpiry && expiry <= now
            if isShortLived || account.haveRoom(items: present == nil ? 1 : 0, blocks: blocks - oldBlocks) {
                let result = storeInArena(
                    mode, key, value: value, valueLength: valueLength, clientFlags: clientFlags, expiry: expiry,
                    options, now: now)
                guard result.outcome == .noMemory else { return result }
            }
            guard makeRoom(account, &search, sparing: key.hash, now: now) else { return refused(mode, key, .noMemory) }
        }
    }

    func deleteWithin(
        _ account: Shared<LimitAccount>, _ key: HashedKey, cas: UInt64?, now: Int64
    ) -> StoreOutcome {
        lockWriting(account)
        defer { unlockWriting(account) }
        let outcome = deleteInArena(key, cas: cas, now: now)
        switch outcome {
        case .stored: noteChange(account, key, now: now)
        // What is loaded later must not bring back what a client has deleted.
        case .notFound: if account.pointee.load != nil { account.pointee.load?.note(key.hash) }
        default: break
        }
        return outcome
    }

    func touchWithin(
        _ account: Shared<LimitAccount>, _ key: HashedKey, expiry: Int64, now: Int64
    ) -> StoreOutcome {
        lockWriting(account)
        defer { unlockWriting(account) }
        let outcome = touchInArena(key, expiry: expiry, now: now)
        if outcome == .stored {
            account.withRecency { $0.touch(key.hash) }
            noteChange(account, key, now: now)
        }
        return outcome
    }

    /// What was found counts as used, where that decides who goes.
    @inline(never)
    func noteOrder(_ item: Item, _ account: Shared<LimitAccount>) {
        guard account.pointee.limits.purgesLeastRecentlyUsed else { return }
        let hash = state.hash(of: item)
        account.withRecency { $0.touch(hash) }
    }

    // MARK: Room

    /// What was tried for one item that found no room.
    private struct RoomSearch {
        var isCounted = false
        var hasReclaimed = false
        var hasSwept = false
        var hasCleared = false
    }

    /// Takes the next step to make room; false when there is none left.
    private func makeRoom(
        _ account: Shared<LimitAccount>, _ search: inout RoomSearch, sparing spared: UInt64, now: Int64
    ) -> Bool {
        let limits = account.pointee.limits
        if !search.isCounted {
            search.isCounted = true
            changeCount(&account.pointee.full, 1)
        }
        if !search.hasReclaimed {
            search.hasReclaimed = true
            if reclaimWhatIsDue(now: now) { return true }
        }
        if limits.purgesLeastRecentlyUsed, let victim = account.leastRecent(except: spared) {
            if !state.dropItems(hash: victim, slot, now: now) { account.withRecency { $0.remove(victim) } }
            return true
        }
        if limits.sweepOnFullMilliseconds > 0, !search.hasSwept, now >= account.pointee.sweepAtMilliseconds {
            search.hasSwept = true
            account.pointee.sweepAtMilliseconds = now + limits.sweepOnFullMilliseconds
            if sweepExpired(now: now) { return true }
        }
        if limits.clearsOnFull, !search.hasCleared {
            search.hasCleared = true
            state.withSpace(slot) { $0.flush(slot) }
            return true
        }
        return false
    }

    /// Gives back what whole time buckets have left behind.
    private func reclaimWhatIsDue(now: Int64) -> Bool {
        var budget = WorkBudget.unlimited
        return state.withSpace(slot) { $0.reclaimDue(slot, now: now, slabsMax: 1, &budget) } > 0
    }

    /// Drops every expired item, wherever it lies.
    private func sweepExpired(now: Int64) -> Bool {
        var dropped = false
        state.withSpace(slot) { space in
            for slab in 0..<state.slabCount where space.dropDead(in: slab, slot, now: now) { dropped = true }
        }
        return dropped
    }
}
