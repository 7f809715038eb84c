/// Servers that are asked again when a request came to nothing, where to ask twice does no harm: to get, to touch and to
/// set. What counts, adds, replaces or deletes is left to the caller, who alone knows what a second time would mean.
///
///     let cache = RemoteCache(RetryingServers(group))
///
/// So that servers in trouble do not get all their requests twice, there is a budget. The servers have to throw when
/// they fail: where failures are misses, there is nothing to be tried again.
public struct RetryingServers: ItemServers {
    private let servers: any ItemServers
    private let attempts: Int
    private let backoff: Backoff
    private let budget: RetryBudget
    private let clock: CacheClock

    /// - Parameters:
    ///   - attempts: how often a request is made at most, the first time included.
    ///   - backoff: how long is waited before each further time.
    ///   - budget: others that ask the same servers may share it.
    ///   - clock: how that is waited for.
    public init(
        _ servers: any ItemServers, attempts: Int = 2,
        backoff: Backoff = Backoff(initial: .milliseconds(10), longest: .seconds(1)),
        budget: RetryBudget = RetryBudget(), clock: CacheClock = .system
    ) {
        self.servers = servers
        self.attempts = attempts
        self.backoff = backoff
        self.budget = budget
        self.clock = clock
    }

    public func items(for keys: [String]) async throws -> [String: StoredItem] {
        try await retrying { try await servers.items(for: keys) }
    }

    /// Asks again for all keys whose servers failed, in one request.
    public func partialItems(for keys: [String]) async -> PartialItems {
        var answer = await servers.partialItems(for: keys)
        guard !answer.failures.isEmpty else { return answer }
        let again = Array(answer.failures.keys)
        guard let items = try? await items(for: again) else { return answer }
        answer.failures = [:]
        answer.items.merge(items) { _, new in new }
        return answer
    }

    public func timedItem(for key: String) async throws -> Timed<StoredItem>? {
        try await retrying { try await servers.timedItem(for: key) }
    }

    public func store(_ mode: StoreMode, _ items: [NewItem], expiration: Expiration) async throws -> [String] {
        guard mode == .set else { return try await servers.store(mode, items, expiration: expiration) }
        return try await retrying { try await servers.store(mode, items, expiration: expiration) }
    }

    public func replace(_ item: NewItem, cas: UInt64, expiration: Expiration) async throws -> Bool {
        try await servers.replace(item, cas: cas, expiration: expiration)
    }

    public func delete(_ keys: [String]) async throws -> Set<String> { try await servers.delete(keys) }

    public func add(
        _ delta: Int64, to key: String, initial: UInt64?, expiration: Expiration
    ) async throws -> UInt64? {
        try await servers.add(delta, to: key, initial: initial, expiration: expiration)
    }

    public func extend(_ key: String, at end: ValueEnd, with bytes: [UInt8]) async throws -> Bool {
        try await servers.extend(key, at: end, with: bytes)
    }

    public func touch(_ key: String, expiration: Expiration) async throws -> Bool {
        try await retrying { try await servers.touch(key, expiration: expiration) }
    }

    public func lease(_ key: String, seconds: Int) async throws -> Lease<StoredItem> {
        try await servers.lease(key, seconds: seconds)
    }

    public func flushAll() async throws { try await servers.flushAll() }

    private func retrying<Result: Sendable>(
        _ body: () async throws -> Result
    ) async throws -> Result {
        budget.noteRequest()
        var failureCount = 0
        while true {
            do {
                return try await body()
            } catch let error as MemcacheError where error.mayPass {
                failureCount += 1
                guard failureCount < attempts, budget.takeRetry() else { throw error }
            }
            var random = SystemRandomNumberGenerator()
            try await clock.sleep(backoff.span(afterFailures: failureCount, using: &random))
        }
    }
}

extension RetryingServers: Poolable {
    /// Whether the servers can be broken, and are.
    public var isBroken: Bool { (servers as? any Poolable)?.isBroken ?? false }

    /// Closes the servers, if they can be closed.
    public func close() async { await (servers as? any Poolable)?.close() }
}

extension RetryingServers: KeyListing {
    /// To list keys twice does no harm, either.
    public func keys(withPrefix prefix: String) async throws -> [String] {
        guard let listing = servers as? any KeyListing else {
            throw MemcacheError(.clientError, "these servers cannot list keys")
        }
        return try await retrying { try await listing.keys(withPrefix: prefix) }
    }
}

extension MemcacheError {
    /// Whether the next attempt may fare better.
    fileprivate var mayPass: Bool {
        switch code {
        case .cannotConnect, .backingOff, .connectionLost, .timedOut: true
        default: false
        }
    }
}
