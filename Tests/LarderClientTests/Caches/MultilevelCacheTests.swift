import LarderClient
import Testing

@Suite struct MultilevelCacheTests {
    private let clock: TestClock
    private let servers: MapServers
    private let near: MemoryCache
    private let cache: MultilevelCache

    init() throws {
        clock = TestClock()
        servers = MapServers(clock: clock)
        near = try CacheKind.memory(clock)
        cache = MultilevelCache(near: near, far: RemoteCache(servers), nearDuration: .seconds(5))
    }

    @Test func theSecondReadIsNear() async throws {
        try await cache.set("k", 1)
        #expect(try await cache.get("k") == 1)
        let requests = servers.requests
        for _ in 0..<10 { #expect(try await cache.getMulti(["k"]) == ["k": 1]) }
        #expect(servers.requests == requests)
        clock.advance(.seconds(6))
        #expect(try await cache.get("k") == 1)
        #expect(servers.requests == requests + 1)
    }

    @Test func whatIsNowhereIsAskedForAgain() async throws {
        #expect(try await cache.get("k", as: Int.self) == nil)
        try await RemoteCache(servers).set("k", 1)
        #expect(try await cache.get("k") == 1)
    }

    @Test func everyChangeIsSeenAtOnce() async throws {
        try await cache.set("k", 1)
        #expect(try await cache.get("k") == 1)
        try await cache.incr("k")
        #expect(try await cache.get("k") == 2)
        try await cache.replace("k", 7)
        #expect(try await cache.get("k") == 7)
        try await cache.touch("k", expiration: .after(.zero))
        #expect(try await cache.get("k", as: Int.self) == nil)
        try await cache.set("k", 1)
        #expect(try await cache.get("k") == 1)
        #expect(try await cache.flushAll())
        #expect(try await cache.get("k", as: Int.self) == nil)
    }

    /// A change that comes while the value is on its way keeps it from staying near.
    @Test func aValueThatChangedOnItsWayIsNotKept() async throws {
        let slow = SlowCache(RemoteCache(servers))
        let cache = MultilevelCache(near: near, far: slow, nearDuration: .seconds(5))
        try await cache.set("k", "old")
        let reader = Task { try await cache.get("k", as: String.self) }
        await slow.waitUntilRead()
        try await cache.set("k", "new")
        slow.release()
        #expect(try await reader.value == "old")
        #expect(try await near.get("k", as: String.self) == nil)
        #expect(try await cache.get("k") == "new")
    }

    @Test func farErrorsLeaveNothingNear() async throws {
        struct Down: Error {}
        try await near.set("k", 1)
        servers.fail(with: Down())
        await #expect(throws: CacheError.self) { try await cache.set("k", 2) }
        await #expect(throws: CacheError.self) { try await cache.get("k", as: Int.self) }
        servers.fail(with: nil)
        #expect(try await cache.get("k", as: Int.self) == nil)
    }
}
