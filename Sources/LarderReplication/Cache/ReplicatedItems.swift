/// A walk over a replicated cache in the order of its keys, byte by byte.
///
/// `next` returns an item, and looks up the item after it. So a key that is set during the walk is visited if it comes
/// after that following item, and is not visited if it comes before it.
///
/// After an update, a cache of up to 1,000 keys is listed again at once. A larger one is listed again at the earliest
/// after ten times the duration of its last listing. Until then the walk does not visit new keys.
public struct ReplicatedItems {
    /// A key and its value.
    public struct Item: Hashable, Sendable {
        /// The key.
        public var key: [UInt8]
        /// Its value.
        public var value: [UInt8]
    }

    private let cache: ReplicatedCache
    private var keys: [[UInt8]] = []
    /// Where in `keys` to go on.
    private var place = 0
    private var listedAt: UpdatePoint?
    private var listedMilliseconds: Int64 = 0
    private var listingMilliseconds: Int64 = 0
    private var following: Item?
    private var isBegun = false

    private static let keysListedAlways = 1_000

    init(_ cache: ReplicatedCache) { self.cache = cache }

    /// The next item; nil at the end.
    /// - Throws: `.unavailable` if the state file cannot be read within `readMillisecondsMax`.
    public mutating func next() throws(ReplicationError) -> Item? {
        if !isBegun {
            following = try find(behind: nil)
            isBegun = true
        }
        guard let item = following else { return nil }
        following = try find(behind: item.key)
        return item
    }

    /// The items that `next` has not returned yet.
    /// - Throws: as `next`.
    public mutating func rest() throws(ReplicationError) -> [Item] {
        var items: [Item] = []
        while let item = try next() { items.append(item) }
        return items
    }

    private mutating func find(behind key: [UInt8]?) throws(ReplicationError) -> Item? {
        try listIfChanged(behind: key)
        while place < keys.count {
            let next = keys[place]
            place += 1
            if let value = try cache.get(next) { return Item(key: next, value: value) }
        }
        return nil
    }

    private mutating func listIfChanged(behind key: [UInt8]?) throws(ReplicationError) {
        guard let applied = cache.patiently({ cache.readers.state() })?.applied else { throw .unavailable }
        guard applied != listedAt else { return }
        let now = monotonicMilliseconds()
        let isDue =
            listedAt == nil || keys.count <= Self.keysListedAlways
            || now - listedMilliseconds >= 10 * listingMilliseconds
        guard isDue else { return }
        guard let listed = cache.patiently({ cache.readers.sortedKeys() }) else { throw .unavailable }
        keys = listed
        listedAt = applied
        listedMilliseconds = monotonicMilliseconds()
        listingMilliseconds = listedMilliseconds - now
        place = key.map { key in firstPlace(behind: key) } ?? 0
    }

    /// A binary search, because the keys are sorted.
    private func firstPlace(behind key: [UInt8]) -> Int {
        var low = 0
        var high = keys.count
        while low < high {
            let middle = low + (high - low) / 2
            if key.lexicographicallyPrecedes(keys[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}

extension ReplicatedCache {
    /// A walk over keys and values, in the order of the keys.
    public func items() -> ReplicatedItems { ReplicatedItems(self) }

    /// All keys, in order.
    /// - Throws: `.unavailable` if the state file cannot be read within `readMillisecondsMax`.
    public func keys() throws(ReplicationError) -> [[UInt8]] {
        guard let keys = patiently({ readers.sortedKeys() }) else { throw .unavailable }
        return keys
    }

    /// All values, in the order of their keys.
    /// - Throws: `.unavailable` if the state file cannot be read within `readMillisecondsMax`.
    public func values() throws(ReplicationError) -> [[UInt8]] {
        var items = items()
        return try items.rest().map(\.value)
    }
}
