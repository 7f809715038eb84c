/// What applications do with a cache again and again: look, and make what is missing.
///
///     let cached = Cached(cache, expiration: .after(.seconds(60)))
///     let team = try await cached.getOrCreate("team:5") { try await loadTeam(5) }
///
/// What is made as nil is given back and not stored. A value may depend on a master key: see `CacheDependency`.
public struct Cached: Sendable {
    /// The cache.
    public let cache: any Cache
    /// When what is stored ends.
    public let expiration: Expiration
    /// The part of the cache.
    public let namespace: String?
    /// How long `getOrCreate` waits for another one who is making the value, and so how long one who crashed while
    /// making it is waited for.
    public let timeout: Duration
    let clock: CacheClock

    /// Patterns over a cache.
    /// - Parameters:
    ///   - expiration: when what is stored ends.
    ///   - namespace: the part of the cache.
    ///   - timeout: how long another one who is making a value is waited for; at least a second.
    ///   - clock: how to wait.
    public init(
        _ cache: any Cache, expiration: Expiration = .never, namespace: String? = nil,
        timeout: Duration = .seconds(10), clock: CacheClock = .system
    ) {
        self.cache = cache
        self.expiration = expiration
        self.namespace = namespace
        self.timeout = max(timeout, .seconds(1))
        self.clock = clock
    }

    /// What depends on a master key, here.
    public func dependency(_ masterKey: String) -> CacheDependency {
        CacheDependency(cache, masterKey, expiration: expiration)
    }

    /// `Cache.get`.
    public func get<Value: Codable & Sendable>(
        _ key: String, as type: Value.Type = Value.self
    ) async throws(CacheError) -> Value? {
        try await cache.get(key, as: type, namespace: namespace)
    }

    /// `Cache.getMulti`.
    public func getMulti<Value: Codable & Sendable>(
        _ keys: [String], as type: Value.Type = Value.self
    ) async throws(CacheError) -> [String: Value] {
        try await cache.getMulti(keys, as: type, namespace: namespace)
    }

    /// `Cache.set`, and lets the key depend on a master key.
    @discardableResult
    public func set<Value: Codable & Sendable>(
        _ key: String, _ value: Value, dependsOn masterKey: String? = nil
    ) async throws(CacheError) -> Bool {
        let isStored = try await cache.set(key, value, expiration: expiration, namespace: namespace)
        if isStored { try await depend(key, masterKey) }
        return isStored
    }

    /// `Cache.setMulti`.
    @discardableResult
    public func setMulti<Value: Codable & Sendable>(_ values: [String: Value]) async throws(CacheError)
        -> [String]
    {
        try await cache.setMulti(values, expiration: expiration, namespace: namespace)
    }

    /// `Cache.add`, and, where the value was stored, lets the key depend on a master key.
    @discardableResult
    public func add<Value: Codable & Sendable>(
        _ key: String, _ value: Value, dependsOn masterKey: String? = nil
    ) async throws(CacheError) -> Bool {
        let isStored = try await cache.add(key, value, expiration: expiration, namespace: namespace)
        if isStored { try await depend(key, masterKey) }
        return isStored
    }

    /// `Cache.addMulti`.
    @discardableResult
    public func addMulti<Value: Codable & Sendable>(_ values: [String: Value]) async throws(CacheError)
        -> [String]
    {
        try await cache.addMulti(values, expiration: expiration, namespace: namespace)
    }

    /// `Cache.replace`.
    @discardableResult
    public func replace<Value: Codable & Sendable>(_ key: String, _ value: Value) async throws(CacheError)
        -> Bool
    {
        try await cache.replace(key, value, expiration: expiration, namespace: namespace)
    }

    /// `Cache.replaceMulti`.
    @discardableResult
    public func replaceMulti<Value: Codable & Sendable>(
        _ values: [String: Value]
    ) async throws(CacheError) -> [String] {
        try await cache.replaceMulti(values, expiration: expiration, namespace: namespace)
    }

    /// `Cache.delete`.
    @discardableResult
    public func delete(_ key: String) async throws(CacheError) -> Bool {
        try await cache.delete(key, namespace: namespace)
    }

    /// `Cache.deleteMulti`.
    @discardableResult
    public func deleteMulti(_ keys: [String]) async throws(CacheError) -> Bool {
        try await cache.deleteMulti(keys, namespace: namespace)
    }

    /// `Cache.incr`; a number that begins so ends as values do.
    @discardableResult
    public func incr(_ key: String, by delta: Int64 = 1, initial: UInt64? = nil) async throws(CacheError)
        -> UInt64?
    {
        try await cache.incr(key, by: delta, initial: initial, expiration: expiration, namespace: namespace)
    }

    /// `Cache.decr`; a number that begins so ends as values do.
    @discardableResult
    public func decr(_ key: String, by delta: Int64 = 1, initial: UInt64? = nil) async throws(CacheError)
        -> UInt64?
    {
        try await cache.decr(key, by: delta, initial: initial, expiration: expiration, namespace: namespace)
    }

    /// A value whose key could not be made to depend on what it depends on must not stay.
    func depend(_ key: String, _ masterKey: String?) async throws(CacheError) {
        guard let masterKey else { return }
        do {
            if try await dependency(masterKey).add(key, namespace: namespace) { return }
        } catch {
            _ = try? await cache.delete(key, namespace: namespace)
            throw error
        }
        try await cache.delete(key, namespace: namespace)
    }
}
