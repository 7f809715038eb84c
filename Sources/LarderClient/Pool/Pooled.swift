/// What a pool lends, used through the pool: each call borrows one and gives it back.
///
/// ```swift
/// try await Pooled(pool) { connection in try await connection.ping() }
/// ```
public struct Pooled<Pool: ResourcePool>: Sendable {
    /// Where it is borrowed from.
    public let pool: Pool

    /// Uses what the pool lends.
    public init(_ pool: Pool) {
        self.pool = pool
    }

    /// Lends one to `body`, and takes it back when `body` returns, throws or is cancelled.
    nonisolated(nonsending) public func callAsFunction<Result>(
        _ body: nonisolated(nonsending) (Pool.Resource) async throws -> Result
    ) async throws -> Result {
        try await pool.withConnection(body)
    }

    /// Lends one to `body`, and takes it back when `body` returns, throws or is cancelled.
    nonisolated(nonsending) public func withConnection<Result>(
        _ body: nonisolated(nonsending) (Pool.Resource) async throws -> Result
    ) async throws -> Result {
        try await pool.withConnection(body)
    }
}

extension Pooled: Poolable {
    /// Never: a pool replaces what is broken.
    public var isBroken: Bool { false }

    /// Closes the pool.
    public func close() async { await pool.close() }
}

extension Pooled: ItemServers where Pool.Resource: ItemServers {
    public func items(for keys: [String]) async throws -> [String: StoredItem] {
        try await withConnection { try await $0.items(for: keys) }
    }

    public func timedItem(for key: String) async throws -> Timed<StoredItem>? {
        try await withConnection { try await $0.timedItem(for: key) }
    }

    public func store(_ mode: StoreMode, _ items: [NewItem], expiration: Expiration) async throws -> [String] {
        try await withConnection { try await $0.store(mode, items, expiration: expiration) }
    }

    public func replace(_ item: NewItem, cas: UInt64, expiration: Expiration) async throws -> Bool {
        try await withConnection { try await $0.replace(item, cas: cas, expiration: expiration) }
    }

    public func delete(_ keys: [String]) async throws -> Set<String> {
        try await withConnection { try await $0.delete(keys) }
    }

    public func add(
        _ delta: Int64, to key: String, initial: UInt64?, expiration: Expiration
    ) async throws -> UInt64? {
        try await withConnection {
            try await $0.add(delta, to: key, initial: initial, expiration: expiration)
        }
    }

    public func extend(_ key: String, at end: ValueEnd, with bytes: [UInt8]) async throws -> Bool {
        try await withConnection { try await $0.extend(key, at: end, with: bytes) }
    }

    public func touch(_ key: String, expiration: Expiration) async throws -> Bool {
        try await withConnection { try await $0.touch(key, expiration: expiration) }
    }

    public func lease(_ key: String, seconds: Int) async throws -> Lease<StoredItem> {
        try await withConnection { try await $0.lease(key, seconds: seconds) }
    }

    public func flushAll() async throws {
        try await withConnection { try await $0.flushAll() }
    }
}
