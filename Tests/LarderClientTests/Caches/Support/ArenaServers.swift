import LarderStore

@testable import LarderClient

/// A server of one process: a store in a file, without a network. For what reads the file beside it.
struct ArenaServers: ItemServers {
    struct Refused: Error {}
    private let cache: MemoryCache

    init(path: String, clock: TestClock) throws {
        var configuration = StoreConfiguration(memoryBytes: 4 << 20, filePath: path)
        configuration.openedAtMilliseconds = clock.now
        cache = try MemoryCache(configuration, clock: clock.cacheClock)
    }

    func items(for keys: [String]) async throws -> [String: StoredItem] {
        try cache.values(of: keys, namespace: nil).mapValues { StoredItem(bytes: $0.bytes, flags: $0.flags) }
    }

    func timedItem(for key: String) async throws -> Timed<StoredItem>? {
        try await cache.timedValue(of: key, namespace: nil).map {
            Timed(StoredItem(bytes: $0.value.bytes, flags: $0.value.flags), left: $0.left)
        }
    }

    func store(_ mode: StoreMode, _ items: [NewItem], expiration: Expiration) async throws -> [String] {
        let values = items.map { ($0.key, EncodedValue(bytes: $0.bytes, flags: $0.flags)) }
        return try cache.store(
            mode, Dictionary(uniqueKeysWithValues: values), expiration: expiration, namespace: nil)
    }

    func replace(_ item: NewItem, cas: UInt64, expiration: Expiration) async throws -> Bool {
        try await cache.fulfil(
            LeaseTicket(cas), item.key, EncodedValue(bytes: item.bytes, flags: item.flags),
            expiration: expiration,
            namespace: nil)
    }

    func delete(_ keys: [String]) async throws -> Set<String> { try cache.remove(keys, namespace: nil) }

    func add(_ delta: Int64, to key: String, initial: UInt64?, expiration: Expiration) async throws -> UInt64? {
        try cache.count(delta, key: key, initial: initial, expiration: expiration, namespace: nil)
    }

    func touch(_ key: String, expiration: Expiration) async throws -> Bool {
        try cache.touch(key, expiration: expiration, namespace: nil)
    }

    func lease(_ key: String, seconds: Int) async throws -> Lease<StoredItem> {
        switch try await cache.lease(key, duration: .seconds(seconds), namespace: nil) {
        case .found(let value): .found(StoredItem(bytes: value.bytes, flags: value.flags))
        case .won(let ticket): .won(ticket)
        case .lost: .lost
        }
    }

    func flushAll() async throws { _ = cache.flushAll() }
}
