import LarderClient
import Testing

/// Values that can be made are made while the cache is down.
@Suite struct CachedOutageTests {
    private struct Down: Error {}

    /// The caches whose servers may be down, wholly or on one of two levels.
    enum Place: String, CaseIterable, Sendable {
        case remote, minimal, namespaced, far, farthest, near, shared

        func cache(_ servers: MapServers, _ clock: TestClock, _ file: TestFile) throws -> any Cache {
            let remote = RemoteCache(servers)
            switch self {
            case .remote: return remote
            case .minimal: return MinimalCache(remote)
            case .namespaced: return try CacheClient(["part": remote, "null": NullCache()], defaultNamespace: "part")
            case .far: return MultilevelCache(near: try CacheKind.memory(clock), far: remote)
            case .farthest:
                let inner = MultilevelCache(near: try CacheKind.memory(clock), far: remote)
                return MultilevelCache(near: try CacheKind.memory(clock), far: inner)
            case .near: return MultilevelCache(near: remote, far: try CacheKind.memory(clock))
            case .shared:
                _ = try ArenaServers(path: file.path, clock: clock)
                return try SharedCache(path: file.path, servers: servers, clock: clock.cacheClock)
            }
        }
    }

    /// Each way to make what is missing, by its name.
    private static let ways = ["getOrSet", "getOrAdd", "getOrCreate", "getOrSetMulti", "wrapped"]

    private func make(
        _ way: String, _ cached: Cached, dependsOn masterKey: String? = nil,
        _ create: @escaping @Sendable () async throws -> Int
    ) async throws -> Int? {
        let wrapped = cached.wrapped("k", creation: .onePass) { (_: Int) in try await create() }
        return switch way {
        case "getOrSet": try await cached.getOrSet("k", dependsOn: { _ in masterKey }, create: create)
        case "getOrAdd": try await cached.getOrAdd("k", dependsOn: { _ in masterKey }, create: create)
        case "getOrCreate": try await cached.getOrCreate("k", dependsOn: { _ in masterKey }, create: create)
        case "getOrSetMulti":
            try await cached.getOrSetMulti([1], key: { _ in "k" }) { _ in [1: try await create()] }[1]
        default: try await wrapped(1)
        }
    }

    @Test(arguments: Place.allCases, ways) func theValueIsMade(place: Place, way: String) async throws {
        let clock = TestClock()
        let servers = MapServers(clock: clock)
        let file = TestFile()
        let cached = Cached(try place.cache(servers, clock, file), clock: clock.cacheClock)
        servers.fail(with: Down())
        let made = Shared(0)
        for _ in 0..<2 { #expect(try await make(way, cached) { made.next() } != nil) }
        #expect(made.value > 0)
        // It goes while the value is made, and is back for the next.
        servers.fail(with: nil)
        let during = try await make(way, cached) {
            servers.fail(with: Down())
            return 7
        }
        servers.fail(with: nil)
        // The far level of one whose near level was down has the value from before.
        #expect(during == 7 || place == .near)
        withExtendedLifetime(file) {}
    }

    /// One that goes while somebody waits for a value of another's.
    @Test func whoWaitsMakesItWhenTheCacheGoes() async throws {
        let clock = TestClock()
        let servers = MapServers(clock: clock)
        let cache = RemoteCache(servers)
        let cached = Cached(cache, clock: clock.cacheClock)
        guard case .won = try await cache.lease("k", duration: .seconds(10), namespace: nil) else {
            Issue.record("no lease")
            return
        }
        let waiting = Task { try await cached.getOrCreate("k") { 5 } }
        while clock.sleepers == 0 { await Task.yield() }
        servers.fail(with: Down())
        clock.advance(.milliseconds(50))
        #expect(try await waiting.value == 5)
    }

    /// What is wrong with the call, with the value or with the maker is an error still.
    @Test(arguments: ways) func otherErrorsStay(way: String) async throws {
        struct Broken: Error {}
        let clock = TestClock()
        let servers = MapServers(clock: clock)
        let cached = Cached(RemoteCache(servers), clock: clock.cacheClock)
        servers.fail(with: Down())
        await #expect(throws: Broken.self) { try await make(way, cached) { throw Broken() } }
        servers.fail(with: CancellationError())
        let error = await #expect(throws: CacheError.self) { try await make(way, cached) { 1 } }
        #expect(error?.code == .cancelled)
        servers.fail(with: nil)
        try await cached.cache.setMulti(["k": "no number", "k:1": "no number"])
        let other = await #expect(throws: CacheError.self) { try await make(way, cached) { 1 } }
        #expect(other?.code == .cannotDecode)
        // What asks the cache for nothing but to store tells that it did not.
        servers.fail(with: Down())
        await #expect(throws: CacheError.self) { try await cached.set("k", 1, dependsOn: nil) }
        await #expect(throws: CacheError.self) { try await cached.setOrAdd("k", 1) }
    }

    /// A value that was stored, and then can neither depend nor be removed, may stay: that is told.
    @Test(arguments: ["getOrSet", "getOrAdd", "getOrCreate"])
    func whatMayStayWithoutItsDependencyIsAnError(way: String) async throws {
        let clock = TestClock()
        let servers = MapServers(clock: clock)
        let cached = Cached(RemoteCache(servers), clock: clock.cacheClock)
        servers.fail(with: Down(), after: 2)
        await #expect(throws: CacheError.self) { try await make(way, cached, dependsOn: "all") { 1 } }
        #expect(servers.stored("k") != nil)
        // Where it was never stored the value is made.
        servers.fail(with: nil)
        try await cached.cache.delete("k")
        servers.fail(with: Down(), after: 1)
        #expect(try await make(way, cached, dependsOn: "all") { 2 } == 2)
    }
}
