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

    /// Stores a value, and lets its key depend on a master key.
    /// - Parameter masterKey: nil, for a value that depends on nothing.
    /// - Returns: false when the cache did not take the value.
    @discardableResult
    public func set<Value: Codable & Sendable>(
        _ key: String, _ value: Value, dependsOn masterKey: String?
    ) async throws(CacheError) -> Bool {
        let isStored = try await cache.set(key, value, expiration: expiration, namespace: namespace)
        if isStored { try await depend(key, masterKey) }
        return isStored
    }

    /// Stores a value where there is none, and lets its key depend on a master key then.
    /// - Parameter masterKey: nil, for a value that depends on nothing.
    /// - Returns: false where there is a value already.
    @discardableResult
    public func add<Value: Codable & Sendable>(
        _ key: String, _ value: Value, dependsOn masterKey: String?
    ) async throws(CacheError) -> Bool {
        let isStored = try await cache.add(key, value, expiration: expiration, namespace: namespace)
        if isStored { try await depend(key, masterKey) }
        return isStored
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
