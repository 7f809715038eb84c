/// The values that a dump has counted and not sent yet. Such a value is copied before it is replaced or removed, so
/// that the dump sends what it has announced.
struct Snapshot {
    /// Bytes of copies. More of them end the dump.
    static let keptBytesMax = 64 << 20
    /// The numbers of values, by the hashes of their keys, as long as the store has them.
    var numbers: [UInt64: UInt32] = [:]
    /// Copies, by the numbers of values.
    var kept: [UInt32: [UInt8]] = [:]
    private var keptBytes = 0
    /// A value is gone, so the dump cannot be completed.
    private(set) var isBroken = false

    /// - Parameter items: how many the store has.
    init(items: Int) {
        // With room for those that clients store meanwhile, because a writer would wait while a table grows.
        let countMax = items + items / 4 + 1024
        numbers.reserveCapacity(countMax)
        kept.reserveCapacity(countMax)
    }

    /// Whether one more value can be counted.
    var hasRoom: Bool { numbers.count < numbers.capacity }

    /// Copies a value that is about to go.
    mutating func keep(_ item: Item, _ hash: UInt64) {
        guard !isBroken, let number = numbers.removeValue(forKey: hash) else { return }
        keptBytes += item.valueLength
        guard keptBytes <= Self.keptBytesMax, kept.count < kept.capacity else { return breakOff() }
        kept[number] = item.valueBytes
    }

    /// The value was sent.
    mutating func drop(_ number: UInt32, _ hash: UInt64) {
        if let copy = kept.removeValue(forKey: number) {
            keptBytes -= copy.count
        } else {
            numbers.removeValue(forKey: hash)
        }
    }

    /// The copies stay until `endSnapshot`, because to free them takes long, and this is under a lock.
    mutating func breakOff() { isBroken = true }
}

/// A snapshot is taken and read by one session, between `beginSnapshot` and `endSnapshot`. A store has one at a time.
extension Session {
    /// Begins to keep the values that `takeSnapshot` counts. Only a limited store can.
    package func beginSnapshot() {
        guard let account = state.account else { return }
        let snapshot = Snapshot(items: Int(account.use.items))
        state.lockWriting(account)
        account.pointee.snapshot = snapshot
        state.unlockWriting(account)
    }

    /// Ends what `beginSnapshot` began. Between turns, as that.
    package func endSnapshot() {
        guard let account = state.account else { return }
        state.lockWriting(account)
        let ended = account.pointee.snapshot
        account.pointee.snapshot = nil
        state.unlockWriting(account)
        // Freed here, where no writer waits for it.
        withExtendedLifetime(ended) {}
    }

    /// Steps over one bucket of the index, and calls `body` with each live item in it.
    /// - Parameter body: the number of the item's value, which is kept from now on; nil: it is left out.
    package func takeSnapshot(_ walk: inout ItemWalk, now: Int64, _ body: (Item) -> UInt32?) {
        guard let account = state.account else { return walk.isComplete = true }
        lockWriting(account)
        defer { unlockWriting(account) }
        guard account.pointee.snapshot?.isBroken == false else { return walk.isComplete = true }
        withUnsafeTemporaryAllocation(of: Item.self, capacity: ItemWalk.itemsMax) { items in
            guard let items = items.baseAddress else { return }
            for place in 0..<nextItems(&walk, into: items) where !isDead(items[place], now: now) {
                guard account.pointee.snapshot?.hasRoom == true else {
                    account.pointee.snapshot?.breakOff()
                    return
                }
                let hash = state.hash(of: items[place])
                guard account.pointee.snapshot?.numbers[hash] == nil, let number = body(items[place]) else { continue }
                account.pointee.snapshot?.numbers[hash] = number
            }
        }
    }

    /// Copies a part of a value as it was when the snapshot was taken.
    /// - Parameters:
    ///   - offset: where in the value the part begins.
    ///   - isLast: whether the value is not asked for again.
    /// - Returns: whether the part is there; otherwise the store was cleared, or too much was changed.
    package func readSnapshot(
        _ number: UInt32, _ key: HashedKey, offset: Int, into part: UnsafeMutableRawBufferPointer, isLast: Bool
    ) -> Bool {
        guard let account = state.account else { return false }
        lockWriting(account)
        guard account.pointee.snapshot?.isBroken == false, !state.isCondemned else {
            unlockWriting(account)
            return false
        }
        let copy = account.pointee.snapshot?.kept[number]
        // Found under the lock, so that it is the counted one: a later one would have left a copy.
        let item = copy == nil ? findEvenDead(key) : nil
        if isLast { account.pointee.snapshot?.drop(number, key.hash) }
        unlockWriting(account)
        if let copy {
            guard offset + part.count <= copy.count else { return false }
            part.copyBytes(from: copy[offset..<offset + part.count])
            return true
        }
        // It stays where it is until the turn ends.
        guard let item, offset + part.count <= item.valueLength else { return false }
        part.copyMemory(from: UnsafeRawBufferPointer(start: item.value + offset, count: part.count))
        return !state.isCondemned
    }
}

extension Item {
    /// How often it was asked for of late, as far as that is counted.
    package var uses: Int { max(Int(frequency), wasFetched ? 1 : 0) }
}
