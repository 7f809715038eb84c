/// Storage for a level of a `LayeredCache`.
///
/// A level only stores. When items end, in which order levels are asked, and what comes of it is the cache's
/// concern; it calls a level about the same key, and about all keys, from one task at a time. A level must not call
/// the cache that it belongs to: it would wait for itself. It belongs to one cache.
///
/// What is kept in memory answers at once, and what is far suspends: the requirements are async, so that functions of
/// both kinds meet them.
public protocol CacheLevel: Sendable {
    /// What it is called in dumps and removals.
    var name: String { get }

    /// Gets ready; called once, before anything else.
    func create(_ context: LevelContext) async throws(CacheError)

    /// Closes. What is kept elsewhere than in memory stays there; the rest is reported as `destroyed`.
    func destroy() async throws(CacheError)

    /// Removes everything, and what it was kept in.
    func expunge() async throws(CacheError)

    /// An item as this level would keep it: it may have another key and another end, where the payload says so
    /// itself. Nothing is changed yet.
    /// - Throws: `CacheError` with the code `tooLarge`, or another, when the level would not take it.
    func admit(_ item: LevelItem) throws(CacheError) -> LevelItem

    /// Stores an item that was admitted. What was under its key has been removed before.
    func write(_ item: LevelItem) async throws(CacheError)

    /// Whether a lookup with the pattern lists the key.
    func tagMatch(_ pattern: KeyPattern, _ key: String) -> Bool

    /// The items whose keys match, in an order of the level's own. Those that have ended may be among them, and
    /// nothing becomes recently used by this.
    func lookup(_ pattern: KeyPattern) async throws(CacheError) -> [LevelEntry]

    /// Removes the items whose keys match the pattern itself, and reports each to the context. None is no error.
    func invalidate(_ pattern: KeyPattern, reason: RemovalReason) async throws(CacheError)

    /// The item under a key, which may have ended.
    func get(_ key: String) async throws(CacheError) -> LevelItem?

    /// Removes what has ended.
    /// - Parameter now: milliseconds since 1970.
    /// - Returns: when the next item ends; nil when none does.
    func expire(now: Int64) async throws(CacheError) -> Int64?

    /// Name, count, earliest end, and a line for each item.
    func debugDump() async throws(CacheError) -> String
}

/// What levels have that say nothing else.
extension CacheLevel {
    /// Takes everything, as it is.
    public func admit(_ item: LevelItem) throws(CacheError) -> LevelItem { item }

    /// Whether the key matches the pattern itself.
    public func tagMatch(_ pattern: KeyPattern, _ key: String) -> Bool { pattern.matches(key) }

    /// Looks everything up to find what has ended.
    public func expire(now: Int64) async throws(CacheError) -> Int64? {
        var next: Int64?
        for entry in try await lookup(.everything) {
            guard let end = entry.endMilliseconds else { continue }
            if end <= now {
                try await invalidate(.exactly(entry.key), reason: .expired)
            } else {
                next = min(next ?? end, end)
            }
        }
        return next
    }

    /// All that a lookup tells.
    public func debugDump() async throws(CacheError) -> String {
        let entries = try await lookup(.everything)
        let earliest = entries.compactMap(\.endMilliseconds).min()
        let head = "\(name): \(entries.count) items, earliest end \(earliest.map { String($0) } ?? "never")"
        let lines = entries.map { entry in
            let end = entry.endMilliseconds.map { String($0) } ?? "never"
            return "  \(entry.key): \(entry.payloadBytes) bytes, ends \(end)"
        }
        return ([head] + lines).joined(separator: "\n")
    }
}
