import LarderClient

/// What a user's own cache has to have, and no more: leases are the protocol's, by `add`.
struct MinimalCache: Cache {
    private let cache: any Cache
    private let canCount: Bool
    private let hold: ReadHold?

    /// - Parameter hold: holds back what reads have found.
    init(_ cache: any Cache, canCount: Bool = true, hold: ReadHold? = nil) {
        self.cache = cache
        self.canCount = canCount
        self.hold = hold
    }

    func values(of keys: [String], namespace: String?) async throws(CacheError) -> [String: EncodedValue] {
        let values = try await cache.values(of: keys, namespace: namespace)
        await hold?.waitUntilReleased()
        return values
    }

    func store(
        _ mode: StoreMode, _ values: [String: EncodedValue], expiration: Expiration, namespace: String?
    ) async throws(CacheError) -> [String] {
        try await cache.store(mode, values, expiration: expiration, namespace: namespace)
    }

    func remove(_ keys: [String], namespace: String?) async throws(CacheError) -> Set<String> {
        try await cache.remove(keys, namespace: namespace)
    }

    func count(
        _ delta: Int64, key: String, initial: UInt64?, expiration: Expiration, namespace: String?
    ) async throws(CacheError) -> UInt64? {
        guard canCount else { throw CacheError(.unavailable, "it cannot count") }
        return try await cache.count(delta, key: key, initial: initial, expiration: expiration, namespace: namespace)
    }

    func touch(_ key: String, expiration: Expiration, namespace: String?) async throws(CacheError) -> Bool {
        try await cache.touch(key, expiration: expiration, namespace: namespace)
    }

    func flushAll() async throws(CacheError) -> Bool { try await cache.flushAll() }
}
