import LarderClient
import Testing

@Suite struct CacheClientTests {
    private let clock = TestClock()

    private func partitioned() throws -> CacheClient {
        try CacheClient(
            [
                "default": CacheKind.memory(clock), "membership": CacheKind.memory(clock),
                "funds": NullCache(),
            ],
            defaultNamespace: "default")
    }

    /// The guide's example: callers name a part, and never learn where it is.
    private func application(_ cache: any Cache) async throws -> [Int?] {
        try await cache.add("x1", 1, namespace: "default")
        try await cache.add("x2", 2, namespace: "membership")
        try await cache.add("x3", 3, namespace: "funds")
        return [
            try await cache.get("x1"), try await cache.get("x2", namespace: "membership"),
            try await cache.get("x3", namespace: "funds"),
        ]
    }

    @Test func partsAreApart() async throws {
        let cache = try partitioned()
        #expect(try await application(cache) == [1, 2, nil])
        #expect(try await cache.get("x2", as: Int.self) == nil)
    }

    @Test func remappingChangesNoCaller() async throws {
        let one = try CacheKind.memory(clock)
        let cache = try CacheClient(
            ["default": one, "membership": one, "funds": one], defaultNamespace: "default")
        #expect(try await application(cache) == [1, 2, 3])
    }

    @Test func anUnknownNamespaceIsNamed() async throws {
        let cache = try partitioned()
        let calls: [@Sendable () async throws -> Void] = [
            { _ = try await cache.get("k", as: Int.self, namespace: "fund") },
            { try await cache.set("k", 1, namespace: "fund") },
            { try await cache.delete("k", namespace: "fund") },
            { try await cache.incr("k", namespace: "fund") },
            { _ = try await cache.touch("k", expiration: .never, namespace: "fund") },
            { _ = try await cache.lease("k", duration: .seconds(1), namespace: "fund") },
        ]
        for call in calls {
            let error = await #expect(throws: CacheError.self) { try await call() }
            #expect(error?.code == .unknownNamespace)
            #expect(error?.message == #"there is no namespace "fund"; there are: default, funds, membership"#)
        }
    }

    @Test func anUnknownDefaultIsRefused() throws {
        let error = #expect(throws: CacheError.self) {
            try CacheClient(["a": NullCache()], defaultNamespace: "default")
        }
        #expect(error?.code == .unknownNamespace)
    }

    @Test func flushAllIsOfAll() async throws {
        let servers = MapServers(clock: clock)
        let memory = try CacheKind.memory(clock)
        let cache = try CacheClient(
            ["a": memory, "b": RemoteCache(servers), "c": MinimalCache(NullCache())], defaultNamespace: "a")
        for namespace in ["a", "b"] { try await cache.set("k", 1, namespace: namespace) }
        #expect(try await cache.flushAll())
        #expect(memory.itemCount == 0)
        #expect(servers.keys == [])
        try await memory.set("k", 1)
        servers.fail(with: CancellationError())
        await #expect(throws: CacheError.self) { try await cache.flushAll() }
        // The others all the same.
        #expect(memory.itemCount == 0)
    }
}
