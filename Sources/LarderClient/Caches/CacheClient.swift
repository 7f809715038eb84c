/// One way in to many caches: a namespace says which.
///
///     let cache = try CacheClient(
///         ["default": defaultCache, "membership": membershipCache, "funds": NullCache()],
///         defaultNamespace: "default")
///     try await cache.add("x1", 1, namespace: "membership")
///
/// Which namespaces share a cache is decided here, and changes no caller. Calls of a namespace that there is not
/// throw `CacheError` with the code `unknownNamespace`, which names it.
public struct CacheClient: Cache {
    private let caches: [String: any Cache]
    private let defaultNamespace: String

    /// A cache of caches.
    /// - Parameter defaultNamespace: which is meant by a call without a namespace.
    /// - Throws: `CacheError` with the code `unknownNamespace` when there is no cache for the default.
    public init(_ caches: [String: any Cache], defaultNamespace: String) throws(CacheError) {
        self.caches = caches
        self.defaultNamespace = defaultNamespace
        _ = try cache(nil)
    }

    private func cache(_ namespace: String?) throws(CacheError) -> any Cache {
        let namespace = namespace ?? defaultNamespace
        if let cache = caches[namespace] { return cache }
        let known = caches.keys.sorted().joined(separator: ", ")
        throw CacheError(
            .unknownNamespace, "there is no namespace \(namespace.debugDescription); there are: \(known)")
    }

    public func values(of keys: [String], namespace: String?) async throws(CacheError) -> [String:
        EncodedValue]
    {
        try await cache(namespace).values(of: keys, namespace: namespace)
    }

    public func valuesResult(of keys: [String], namespace: String?) async -> MultiResult<EncodedValue> {
        do {
            return try await cache(namespace).valuesResult(of: keys, namespace: namespace)
        } catch {
            return MultiResult(failures: Dictionary(keys.map { ($0, error) }) { first, _ in first })
        }
    }

    public func timedValue(of key: String, namespace: String?) async throws(CacheError) -> Timed<EncodedValue>? {
        try await cache(namespace).timedValue(of: key, namespace: namespace)
    }

    public func store(
        _ mode: StoreMode, _ values: [String: EncodedValue], expiration: Expiration, namespace: String?
    ) async throws(CacheError) -> [String] {
        try await cache(namespace).store(mode, values, expiration: expiration, namespace: namespace)
    }

    public func remove(_ keys: [String], namespace: String?) async throws(CacheError) -> Set<String> {
        try await cache(namespace).remove(keys, namespace: namespace)
    }

    public func count(
        _ delta: Int64, key: String, initial: UInt64?, expiration: Expiration, namespace: String?
    ) async throws(CacheError) -> UInt64? {
        try await cache(namespace).count(
            delta, key: key, initial: initial, expiration: expiration, namespace: namespace)
    }

    public func touch(_ key: String, expiration: Expiration, namespace: String?) async throws(CacheError)
        -> Bool
    {
        try await cache(namespace).touch(key, expiration: expiration, namespace: namespace)
    }

    /// Flushes every namespace's cache, also when one before it could not be flushed.
    /// - Returns: whether all of them are empty.
    public func flushAll() async throws(CacheError) -> Bool {
        var isFlushed = true
        var failure: CacheError?
        for cache in caches.values {
            do {
                isFlushed = try await cache.flushAll() && isFlushed
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return isFlushed
    }

    public func lease(_ key: String, duration: Duration, namespace: String?) async throws(CacheError)
        -> Lease<EncodedValue>
    {
        try await cache(namespace).lease(key, duration: duration, namespace: namespace)
    }

    public func fulfil(
        _ ticket: LeaseTicket, _ key: String, _ value: EncodedValue, expiration: Expiration,
        namespace: String?
    ) async throws(CacheError) -> Bool {
        try await cache(namespace).fulfil(ticket, key, value, expiration: expiration, namespace: namespace)
    }

    public func abandon(_ ticket: LeaseTicket, _ key: String, namespace: String?) async throws(CacheError) {
        try await cache(namespace).abandon(ticket, key, namespace: namespace)
    }
}
