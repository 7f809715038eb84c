/// Terms of use that are enforced: who fails too often, or uses too much, is locked out for a while.
///
///     let signIn: Lockout<SignIn> = locker.define("sign in", [
///         LockoutCounter(key: { "user:" + $0.user }, count: 3, period: .seconds(60), duration: .seconds(600)),
///         LockoutCounter(key: { "ip:" + $0.address }, count: 100, period: .seconds(60), duration: .seconds(60)),
///     ])
///     let isIn = try await signIn.forbidLocked(request) {
///         try await signIn.guarded(request) { try await checkPassword(request) }
///     }
///
/// The keys are wheezy.caching's: `c:sign_in:user:…` counts, `lock:c:sign_in:user:…` locks.
public struct Lockout<Context: Sendable>: Sendable {
    /// What is locked.
    public let name: String
    /// Its terms.
    public let counters: [LockoutCounter<Context>]
    private let cache: (any Cache)?
    private let namespace: String?
    private let keyPrefix: String

    init(
        name: String, counters: [LockoutCounter<Context>], cache: (any Cache)?, namespace: String?,
        keyPrefix: String
    ) {
        self.name = name
        self.counters = counters
        self.cache = cache
        self.namespace = namespace
        self.keyPrefix = keyPrefix
    }

    /// Does something that may fail: a failure counts, and a success forgets what counted.
    /// - Returns: what `body` returned: whether it succeeded.
    public func guarded(_ context: Context, _ body: () async throws -> Bool) async throws -> Bool {
        let isDone = try await body()
        if isDone { try await reset(context) } else { try await incr(context) }
        return isDone
    }

    /// Does something of which there may not be too much: a success counts.
    /// - Returns: what `body` returned: whether it succeeded.
    public func quota(_ context: Context, _ body: () async throws -> Bool) async throws -> Bool {
        let isDone = try await body()
        if isDone { try await incr(context) }
        return isDone
    }

    /// Does something unless one of the terms has locked it.
    /// - Throws: `LockedOut`, naming this, when it is locked.
    public func forbidLocked<Result>(_ context: Context, _ body: () async throws -> Result) async throws
        -> Result
    {
        guard try await !isLocked(context) else { throw LockedOut(name: name) }
        return try await body()
    }

    /// Does something, or something else if one of the terms has locked it.
    public func forbidLocked<Result>(
        _ context: Context, otherwise: () async throws -> Result, _ body: () async throws -> Result
    ) async throws -> Result {
        try await isLocked(context) ? try await otherwise() : try await body()
    }

    /// Whether one of the terms has locked it.
    public func isLocked(_ context: Context) async throws(CacheError) -> Bool {
        guard let cache, !counters.isEmpty else { return false }
        let locks = counters.map { Self.lock(key($0, context)) }
        return try await !cache.values(of: locks, namespace: namespace).isEmpty
    }

    /// Forgets what a success forgets, locks included.
    public func reset(_ context: Context) async throws(CacheError) {
        try await forget(counters.filter(\.resets), context)
    }

    /// Forgets everything, locks included.
    public func forceReset(_ context: Context) async throws(CacheError) {
        try await forget(counters, context)
    }

    /// Counts once, and locks where that was once too often.
    public func incr(_ context: Context) async throws(CacheError) {
        guard let cache else { return }
        for counter in counters {
            let key = key(counter, context)
            let period = Expiration.after(counter.period)
            // In one step: the first one starts the period.
            let count = try await cache.incr(key, initial: 0, expiration: period, namespace: namespace)
            guard let count, count >= counter.count else { continue }
            try await cache.delete(key, namespace: namespace)
            try await cache.add(
                Self.lock(key), 1, expiration: .after(counter.duration), namespace: namespace)
            await counter.alert?(context, name, counter)
        }
    }

    private func forget(_ counters: [LockoutCounter<Context>], _ context: Context) async throws(CacheError) {
        guard let cache, !counters.isEmpty else { return }
        let keys = counters.map { key($0, context) }
        try await cache.deleteMulti(keys + keys.map(Self.lock), namespace: namespace)
    }

    private func key(_ counter: LockoutCounter<Context>, _ context: Context) -> String {
        keyPrefix + counter.key(context)
    }

    private static func lock(_ key: String) -> String { "lock:" + key }
}

/// What was asked for is locked for a while.
public struct LockedOut: Error, CustomStringConvertible {
    /// The name of the lockout.
    public let name: String
    /// What is locked.
    public var description: String { "\(name) is locked for a while: it was tried or used too often" }
}
