import Synchronization

/// A level on servers, which other programs may share: Larder's, or memcached.
///
///     let server = MemcacheConnection(to: .host("127.0.0.1", port: 11211))
///     let cache = try await LayeredCache(name: "near", levels: [RemoteLevel(server)])
///
/// An item's key there is the level's prefix and its own key. A value without an end is stored as it is; one with
/// an end has that before it, in milliseconds since 1970, eight bytes, the highest first, and a flag that says so:
/// servers count whole seconds.
///
/// Which keys there are only the servers know, some of which may have had to go for want of memory: lookups and
/// removals with wildcards, `expunge` and dumps ask for a list of all keys, and so cost as much as there are items
/// on the servers, the items of others included. They need servers that give such a list (`lru_crawler metadump`,
/// off with `-X`). Nothing else does.
///
/// What was written or read here is taken from the server when it ends, and reported; what other programs wrote,
/// the server drops by itself ten seconds later. What a server evicts is not reported: it tells nobody. How much
/// there may be is the server's concern.
public final class RemoteLevel: CacheLevel {
    private struct State {
        var context = LevelContext()
        var ends = EndSchedule()
    }

    /// What it is called in dumps and removals.
    public let name: String
    private let servers: any ItemServers & KeyListing
    private let prefix: String
    private let state = Mutex(State())

    /// How many keys one request names.
    private static let batchCount = 100
    /// How much longer than the item the server keeps it, so that it is there to be reported when it ends.
    private static let graceMilliseconds: Int64 = 10_000

    /// A level on servers.
    /// - Parameters:
    ///   - servers: a connection, a pool of them in `Pooled`, or a group of servers.
    ///   - prefix: what keys on the servers begin with; no other program's, and no other level's, should.
    public init(
        _ servers: any ItemServers & KeyListing, prefix: String = "level:", name: String = "servers"
    ) {
        self.servers = servers
        self.prefix = prefix
        self.name = name
    }

    public func create(_ context: LevelContext) { state.withLock { $0.context = context } }

    /// Everything stays on the servers.
    public func destroy() { state.withLock { $0.ends.removeAll() } }

    /// Removes what has the level's prefix.
    public func expunge() async throws(CacheError) {
        try await remove(try await listedKeys(.everything), .expunged)
    }

    public func write(_ item: LevelItem) async throws(CacheError) {
        let now = state.withLock { $0.context.clock.now() }
        let lifetime = item.endMilliseconds.map {
            (max($0, now) - now).addingReportingOverflow(Self.graceMilliseconds)
        }
        let expiration: Expiration =
            lifetime.map { $0.overflow ? .never : .after(.milliseconds($0.partialValue)) } ?? .never
        let encoded = RemoteItem.encode(item)
        let new = NewItem(key: prefix + item.key, bytes: encoded.bytes, flags: encoded.flags)
        let failed = try await asking { try await servers.store(.set, [new], expiration: expiration) }
        guard failed.isEmpty else {
            throw CacheError(
                .unavailable,
                "the servers did not store \(item.key.debugDescription): they are down, or it is too large for them"
            )
        }
        state.withLock { $0.ends.set(item.key, item.endMilliseconds) }
    }

    /// By key.
    public func lookup(_ pattern: KeyPattern) async throws(CacheError) -> [LevelEntry] {
        var keys: [String] = []
        if let key = pattern.key { keys = [key] } else { keys = try await listedKeys(pattern).sorted() }
        var entries: [LevelEntry] = []
        for batch in batches(keys) {
            let items = try await items(batch)
            entries += batch.compactMap { items[$0].map { LevelEntry($0.item) } }
        }
        return entries
    }

    public func invalidate(_ pattern: KeyPattern, reason: RemovalReason) async throws(CacheError) {
        if let key = pattern.key {
            try await remove([key], reason)
        } else {
            try await remove(try await listedKeys(pattern), reason)
        }
    }

    public func get(_ key: String) async throws(CacheError) -> LevelItem? {
        let item = try await items([key])[key]?.item
        if let item { state.withLock { $0.ends.set(key, item.endMilliseconds) } }
        return item
    }

    /// Of those that were written or read here.
    public func expire(now: Int64) async throws(CacheError) -> Int64? {
        let (ended, context) = state.withLock { state in
            var ended: [String] = []
            while let key = state.ends.popEnded(at: now) { ended.append(key) }
            return (ended, state.context)
        }
        do {
            for batch in batches(ended) {
                for (key, found) in try await items(batch) {
                    guard found.item.hasEnded(at: now) else {
                        // Somebody else has written it.
                        state.withLock { $0.ends.set(key, found.item.endMilliseconds) }
                        continue
                    }
                    // What has ended takes the place of this very item, and of no newer one.
                    let stub = NewItem(key: prefix + key, bytes: [])
                    let isRemoved = try await asking {
                        try await servers.replace(stub, cas: found.cas, expiration: .after(.zero))
                    }
                    if isRemoved { context.removed(found.item, .expired) }
                }
            }
        } catch {
            // Once more, then: what is gone already is not found.
            state.withLock { state in for key in ended { state.ends.set(key, now) } }
            throw error
        }
        return state.withLock { $0.ends.next() }
    }

    private func remove(_ keys: [String], _ reason: RemovalReason) async throws(CacheError) {
        let context = state.withLock { $0.context }
        for batch in batches(keys) {
            // Afterwards it is too late to read what is to be reported.
            let items = context.isObserved ? try await items(batch) : [:]
            let deleted = try await asking { try await servers.delete(batch.map { prefix + $0 }) }
            state.withLock { state in for key in batch { state.ends.set(key, nil) } }
            for key in batch where deleted.contains(prefix + key) {
                if let found = items[key] { context.removed(found.item, reason) }
            }
        }
    }

    private func items(_ keys: [String]) async throws(CacheError) -> [String: RemoteItem] {
        let names = keys.map { prefix + $0 }
        let stored = try await asking { try await servers.items(for: names) }
        var items: [String: RemoteItem] = [:]
        for key in keys { items[key] = stored[prefix + key].flatMap { RemoteItem(key, $0) } }
        return items
    }

    private func listedKeys(_ pattern: KeyPattern) async throws(CacheError) -> [String] {
        let names = try await asking { try await servers.keys(withPrefix: prefix) }
        return Set(names.map { String(decoding: $0.utf8.dropFirst(prefix.utf8.count), as: UTF8.self) }).filter {
            pattern.matches($0)
        }
    }

    private func batches(_ keys: [String]) -> [[String]] {
        stride(from: 0, to: keys.count, by: Self.batchCount).map {
            Array(keys[$0..<min($0 + Self.batchCount, keys.count)])
        }
    }

    private func asking<Answer>(_ body: () async throws -> Answer) async throws(CacheError) -> Answer {
        do {
            return try await body()
        } catch {
            throw .servers(error)
        }
    }
}

/// An item as servers have it.
private struct RemoteItem {
    /// Says that the end stands before the payload: a bit that other clients pass over.
    private static let hasEnd: UInt32 = 1 << 10

    let item: LevelItem
    let cas: UInt64

    /// Nil for what is no level's.
    init?(_ key: String, _ stored: StoredItem) {
        cas = stored.cas
        guard stored.flags & Self.hasEnd != 0 else {
            item = LevelItem(key: key, payload: stored.bytes)
            return
        }
        guard stored.bytes.count >= 8 else { return nil }
        let end = stored.bytes[..<8].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        item = LevelItem(
            key: key, payload: Array(stored.bytes[8...]), endMilliseconds: Int64(bitPattern: end))
    }

    static func encode(_ item: LevelItem) -> (bytes: [UInt8], flags: UInt32) {
        guard let end = item.endMilliseconds else { return (item.payload, 0) }
        var bytes: [UInt8] = []
        bytes.appendBigEndian(end)
        return (bytes + item.payload, hasEnd)
    }
}
