/// The keys that clients change while another server's items are loaded. A client's change is newer than a loaded item.
struct ChangesDuringLoad {
    /// More changed keys end the load.
    private let keysMax: Int
    /// Hashes of keys.
    private(set) var changed: Set<UInt64> = []
    /// Everything was dropped, or too much was changed: nothing more is loaded.
    private(set) var isOver = false

    init(itemsMax: Int) {
        keysMax = max(10_000, min(4 * itemsMax, 2_000_000))
        // No writer waits while the set grows.
        changed.reserveCapacity(keysMax + 1)
    }

    mutating func note(_ hash: UInt64) {
        guard !isOver else { return }
        changed.insert(hash)
        if changed.count > keysMax { end() }
    }

    /// The set stays until `Store.endLoad`, because to free it takes long, and this is under a lock.
    mutating func end() { isOver = true }
}

/// What `Session.load` did with an item.
package enum LoadOutcome: Sendable {
    case loaded
    /// A client has changed the key since `Store.beginLoad`.
    case changed
    /// It does not fit beside what there is.
    case noRoom
    /// Everything was dropped, or too much was changed, so nothing more is loaded.
    case over
}

extension Store {
    /// Begins to note what clients change. Only a limited store can be loaded.
    package func beginLoad() {
        guard let account = state.account else { return }
        let changes = ChangesDuringLoad(itemsMax: account.pointee.limits.itemsMax)
        state.lockWriting(account)
        account.pointee.load = changes
        state.unlockWriting(account)
    }

    /// Ends what `beginLoad` began.
    package func endLoad() {
        guard let account = state.account else { return }
        state.lockWriting(account)
        let ended = account.pointee.load
        account.pointee.load = nil
        state.unlockWriting(account)
        // Freed here, where no writer waits for it.
        withExtendedLifetime(ended) {}
    }
}

extension Session {
    /// Stores an item of another server, unless a client has changed its key since `Store.beginLoad`. No other item has
    /// to go for it, and it is no change that other servers are told.
    /// - Parameters:
    ///   - key: at least 1 byte.
    ///   - expiry: absolute milliseconds after `now`; `Int64.max`: never.
    ///   - uses: how often it was asked for.
    package func load(
        _ key: HashedKey, value: UnsafeRawPointer, valueLength: Int, clientFlags: UInt32, expiry: Int64, uses: Int,
        now: Int64
    ) -> LoadOutcome {
        guard let account = state.account else { return .over }
        lockWriting(account)
        defer { unlockWriting(account) }
        guard let isOver = account.pointee.load?.isOver, !isOver else { return .over }
        guard account.pointee.load?.changed.contains(key.hash) == false else { return .changed }
        let limits = account.pointee.limits
        guard key.length <= limits.keyBytesMax, valueLength <= limits.valueBytesMax else { return .noRoom }
        let present = findEvenDead(key)
        let oldBlocks = present.map { limits.blocks(forValueBytes: $0.valueLength) } ?? 0
        let blocks = limits.blocks(forValueBytes: valueLength)
        guard account.haveRoom(items: present == nil ? 1 : 0, blocks: blocks - oldBlocks) else { return .noRoom }
        let result = storeInArena(
            .set, key, value: value, valueLength: valueLength, clientFlags: clientFlags, expiry: expiry,
            WriteOptions(), now: now)
        guard result.outcome == .stored else { return .noRoom }
        guard uses > 0, let item = findEvenDead(key) else { return .loaded }
        for _ in 0..<min(uses, Int(ItemState.frequencyMask)) { countUse(item, now) }
        return .loaded
    }

    /// Steps over one bucket of the index, and removes the items in it that were neither loaded nor changed by a
    /// client: those that a file held, and the other server does not have.
    /// - Parameter loaded: hashes of keys.
    /// - Returns: the number of items removed.
    package func removeUnloaded(_ walk: inout ItemWalk, loaded: Set<UInt64>) -> Int {
        guard let account = state.account else { return 0 }
        lockWriting(account)
        defer { unlockWriting(account) }
        guard let load = account.pointee.load, !load.isOver else {
            walk.isComplete = true
            return 0
        }
        return withUnsafeTemporaryAllocation(of: Item.self, capacity: ItemWalk.itemsMax) { items in
            guard let items = items.baseAddress else { return 0 }
            var removed = 0
            for place in 0..<nextItems(&walk, into: items) {
                let key = state.key(of: items[place])
                guard !loaded.contains(key.hash), !load.changed.contains(key.hash) else { continue }
                if remove(key) == .stored { removed += 1 }
            }
            return removed
        }
    }
}
