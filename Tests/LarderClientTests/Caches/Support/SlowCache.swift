import LarderClient
import Synchronization

/// A cache whose first answer to a read is held back.
final class SlowCache: Cache {
    private struct State {
        var isRead = false
        var isReleased = false
    }
    private let cache: any Cache
    private let state = Mutex(State())

    init(_ cache: any Cache) { self.cache = cache }

    /// Until the first read has its value, and is held.
    func waitUntilRead() async { while !state.withLock({ $0.isRead }) { await Task.yield() } }
    func release() { state.withLock { $0.isReleased = true } }

    func values(of keys: [String], namespace: String?) async throws(CacheError) -> [String: EncodedValue] {
        let values = try await cache.values(of: keys, namespace: namespace)
        state.withLock { $0.isRead = true }
        while !state.withLock({ $0.isReleased }) { await Task.yield() }
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
        try await cache.count(delta, key: key, initial: initial, expiration: expiration, namespace: namespace)
    }

    func touch(_ key: String, expiration: Expiration, namespace: String?) async throws(CacheError) -> Bool {
        try await cache.touch(key, expiration: expiration, namespace: namespace)
    }

    func flushAll() async throws(CacheError) -> Bool { try await cache.flushAll() }
}
