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

    /// One that is made where it is missing is kept near as one that is only read.
    @Test func aValueThatIsThereIsKeptNearByALease() async throws {
        try await RemoteCache(servers).set("k", 1)
        let cached = Cached(cache)
        #expect(try await cached.getOrCreate("k") { 2 } == 1)
        let requests = servers.requests
        for _ in 0..<10 { #expect(try await cached.getOrCreate("k") { 2 } == 1) }
        #expect(servers.requests == requests)
        try await cache.set("k", 3)
        #expect(try await cached.getOrCreate("k") { 2 } == 3)
        // And one that is made anew.
        #expect(try await cached.getOrCreate("n") { 4 } == 4)
        #expect(try await cached.getOrCreate("n") { 5 } == 4)
        let after = servers.requests
        #expect(try await cached.getOrCreate("n") { 5 } == 4)
        #expect(servers.requests == after)
    }

    /// A lease that fails leaves nothing behind that keeps the next one from the near cache.
    @Test func aLeaseThatFailsIsGivenBack() async throws {
        servers.fail(with: CancellationError())
        await #expect(throws: CacheError.self) {
            try await cache.lease("k", duration: .seconds(5), namespace: nil)
        }
        servers.fail(with: nil)
        try await RemoteCache(servers).set("k", 1)
        guard case .found = try await cache.lease("k", duration: .seconds(5), namespace: nil) else {
            Issue.record("not found")
            return
        }
        #expect(try await near.get("k") == 1)
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
        let hold = ReadHold()
        let far = MinimalCache(RemoteCache(servers), hold: hold)
        let cache = MultilevelCache(near: near, far: far, nearDuration: .seconds(5))
        try await cache.set("k", "old")
        let reader = Task { try await cache.get("k", as: String.self) }
        await hold.waitUntilRead()
        try await cache.set("k", "new")
        hold.release()
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
