/// A wire between values in a cache, so that all of them can be invalidated at once.
///
///     // In one place,
///     let dependency = CacheDependency(cache, "master-key")
///     try await dependency.addMulti(["k1", "k2", "k3"])
///     // in another,
///     try await CacheDependency(cache, "master-key").add("k4")
///     // and where what they depend on changes:
///     try await CacheDependency(cache, "master-key").delete()
///
/// Those who use it share nothing but the name of the master key: what depends on it is kept in the cache. A
/// dependency is within one namespace; `delete` is called once for each.
///
/// The cache has a number under the master key, which counts what depends on it, and the keys that do under the
/// master key followed by 1, 2, 3 and so on, as wheezy.caching has them. A master key that ends in a digit, or in a digit
/// and colons, gets one colon more in front of the number and for itself, so that `k1` never meets the first entry of `k`.
///
/// A key whose `add` comes at the same time as a `delete` is either deleted or depends on what comes next. Only two deletes at
/// the same time as an `add` may leave a key that depends on nothing.
public struct CacheDependency: Sendable {
    private let cache: any Cache
    private let name: String
    private let expiration: Expiration

    /// What depends on a master key.
    /// - Parameter expiration: when an entry ends: not before what depends on it. The number does not end.
    public init(_ cache: any Cache, _ masterKey: String, expiration: Expiration = .never) {
        self.cache = cache
        self.expiration = expiration
        name = Self.name(masterKey)
    }

    /// Names end in no digit, and no two master keys have the same.
    private static func name(_ masterKey: String) -> String {
        let colon: UInt8 = 0x3a
        let digits: ClosedRange<UInt8> = 0x30...0x39
        let last = masterKey.utf8.reversed().first { $0 != colon }
        return last.map { digits.contains($0) } ?? false ? masterKey + ":" : masterKey
    }

    /// Lets a key depend on the master key.
    /// - Returns: false when the cache did not take it; the value should not be relied upon then.
    @discardableResult
    public func add(_ key: String, namespace: String? = nil) async throws(CacheError) -> Bool {
        try await addMulti([key], namespace: namespace).isEmpty
    }

    /// Lets keys depend on the master key.
    /// - Returns: the keys that the cache did not take; their values should not be relied upon.
    @discardableResult
    public func addMulti(_ keys: [String], namespace: String? = nil) async throws(CacheError) -> [String] {
        var pending = keys
        var skipped: Int64 = 0
        var wasMissing = false
        for _ in 0..<Self.attemptsMax {
            if pending.isEmpty { break }
            let count = Int64(pending.count)
            guard let last = try await cache.incr(name, by: count + skipped, initial: 0, namespace: namespace)
            else {
                // A cache that keeps nothing takes everything, and has nothing to invalidate. One whose server is down
                // takes nothing.
                let untaken = try await cache.addMulti([name: UInt64(0)], namespace: namespace)
                guard untaken.isEmpty else { return pending }
                if wasMissing { return [] }
                wasMissing = true
                continue
            }
            var entries: [String: String] = [:]
            // The last key gets the last number, and so they are in order.
            for (place, key) in pending.reversed().enumerated() {
                entries[entry(last &- UInt64(place))] = key
            }
            let taken = try await cache.addMulti(entries, expiration: expiration, namespace: namespace)
            // Whoever deletes takes the number away first: what was added before is then found and deleted, and what was
            // added later sees it here, and is added once more. The first entry stays: it may be another's by now.
            let present = try await cache.get(name, as: UInt64.self, namespace: namespace)
            if let present, present >= last { pending = taken.compactMap { entries[$0] } }
            // Entries of a number that was evicted: they are stepped over, and so are part of this one again.
            if !taken.isEmpty { skipped = skipped * 2 + 1 }
        }
        return pending
    }

    /// Steps double: 65,535 entries are stepped over.
    private static let attemptsMax = 17

    /// What depends on the master key, and the keys that are kept for it, ready to be deleted; empty when nothing does.
    public func keys(namespace: String? = nil) async throws(CacheError) -> [String] {
        guard let count = try await cache.get(name, as: UInt64.self, namespace: namespace) else { return [] }
        let entries = try await entries(upTo: count, namespace)
        return (Set(entries.values).union(entries.keys)).sorted() + [name]
    }

    /// Removes all that depends on the master key, and what is kept for it.
    /// - Returns: whether anything did.
    @discardableResult
    public func delete(namespace: String? = nil) async throws(CacheError) -> Bool {
        guard let count = try await cache.get(name, as: UInt64.self, namespace: namespace) else {
            return false
        }
        // Values first: who comes when the number is gone already may rely on it that they are, too.
        let present = try await entries(upTo: count, namespace)
        try await cache.deleteMulti(Array(Set(present.values)), namespace: namespace)
        // Then the number, so that nobody adds to what is being deleted without noticing. Of two at once one has
        // the entries to remove.
        let isOwner = try await cache.delete(name, namespace: namespace)
        let late = try await entries(upTo: count, namespace)
        try await cache.deleteMulti(
            Array(Set(late.values).union(isOwner ? Set(late.keys) : [])), namespace: namespace)
        return true
    }

    /// The entries of a number, and those that others were adding beyond it.
    private func entries(upTo count: UInt64, _ namespace: String?) async throws(CacheError) -> [String:
        String]
    {
        var found: [String: String] = [:]
        var first: UInt64 = 1
        // Somebody else may have stored any number.
        let count = min(count, Self.entriesMax)
        while true {
            let isBeyond = first > count
            let length = isBeyond ? Self.entriesBeyond : min(Self.entriesAtOnce, count - first + 1)
            let next = first + length
            let piece = try await cache.getMulti(
                (first..<next).map(entry), as: String.self, namespace: namespace)
            if isBeyond, piece.isEmpty { return found }
            found.merge(piece) { _, later in later }
            first = next
        }
    }

    private static let entriesAtOnce: UInt64 = 1000
    private static let entriesBeyond: UInt64 = 16
    private static let entriesMax: UInt64 = 1 << 24

    private func entry(_ number: UInt64) -> String { name + String(number) }
}
