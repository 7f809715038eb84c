/// What lookups found, kept beside L1's items until something makes it wrong.
///
/// The lists are no items: no limit on items counts them, no lookup lists them and nobody is told when they go.
struct CachedLookups: Sendable {
    private struct List {
        var results: LookupResults
        var keys: Set<String>
        var end: Int64?
        var lastUse: Int
    }

    /// How many lists are kept; the one that was used longest ago goes.
    private static let listsMax = 64

    /// How many bytes the lists may have together: as many as L1's items.
    private let bytesMax: Int
    private var lists: [KeyPattern: List] = [:]
    private var bytes = 0
    private var uses = 0

    init(bytesMax: Int) { self.bytesMax = bytesMax }

    /// What a lookup found, unless one of the items that it lists has ended since.
    mutating func find(_ pattern: KeyPattern, now: Int64) -> LookupResults? {
        guard let list = lists[pattern], list.end.map({ $0 > now }) ?? true else { return nil }
        uses += 1
        lists[pattern]?.lastUse = uses
        return list.results
    }

    mutating func keep(_ pattern: KeyPattern, _ entries: [LevelEntry], _ results: LookupResults) {
        drop(pattern)
        guard results.bytes.count <= bytesMax else { return }
        uses += 1
        lists[pattern] = List(
            results: results, keys: Set(entries.map(\.key)),
            end: entries.compactMap(\.endMilliseconds).min(), lastUse: uses)
        bytes += results.bytes.count
        while lists.count > Self.listsMax || bytes > bytesMax,
            let oldest = lists.min(by: { $0.value.lastUse < $1.value.lastUse })?.key
        {
            drop(oldest)
        }
    }

    /// Drops the lists that a key belongs on, by the rules of a level.
    mutating func drop(matching key: String, _ level: any CacheLevel) {
        for pattern in lists.keys where level.tagMatch(pattern, key) { drop(pattern) }
    }

    /// Drops the lists on which there is a key that matches.
    mutating func drop(containing removed: KeyPattern) {
        for (pattern, list) in lists {
            let isListed =
                removed.key.map { list.keys.contains($0) } ?? list.keys.contains { removed.matches($0) }
            if isListed { drop(pattern) }
        }
    }

    /// Drops the lists of which an item has ended.
    mutating func expire(now: Int64) {
        for (pattern, list) in lists where list.end.map({ $0 <= now }) ?? false { drop(pattern) }
    }

    mutating func dropAll() { self = CachedLookups(bytesMax: bytesMax) }

    private mutating func drop(_ pattern: KeyPattern) {
        if let list = lists.removeValue(forKey: pattern) { bytes -= list.results.bytes.count }
    }
}
