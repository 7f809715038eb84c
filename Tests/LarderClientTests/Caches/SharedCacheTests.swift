import LarderClient
import Testing

@Suite struct SharedCacheTests {
    private let clock = TestClock()
    private let file = TestFile()

    /// Reads ask nobody: servers that fail are not noticed.
    @Test func readsAskNobody() async throws {
        let arena = try ArenaServers(path: file.path, clock: clock)
        let down = MapServers(clock: clock)
        down.fail(with: CancellationError())
        try await RemoteCache(arena, compression: Compression(bytesMin: 10)).setMulti(["a": 1, "b": 2])
        let text = String(repeating: "text ", count: 50)
        try await RemoteCache(arena, compression: Compression(bytesMin: 10)).set("text", text)
        let cache = try SharedCache(path: file.path, servers: down, clock: clock.cacheClock)
        #expect(try await cache.getMulti(["a", "b", "c"], as: Int.self) == ["a": 1, "b": 2])
        #expect(try await cache.get("text") == text)
        #expect(try await Cached(cache).getOrCreate("text") { "another" } == text)
        #expect(down.requests == 0)
        await #expect(throws: CacheError.self) { try await cache.set("a", 2) }
    }

    @Test func whatIsNoStoreIsRefused() {
        let error = #expect(throws: CacheError.self) {
            try SharedCache(path: file.path, servers: MapServers(clock: clock))
        }
        #expect(error?.code == .badConfiguration)
    }

    @Test func manyTasksRead() async throws {
        let arena = try ArenaServers(path: file.path, clock: clock)
        let cache = try SharedCache(path: file.path, servers: arena, clock: clock.cacheClock)
        let values = Dictionary(uniqueKeysWithValues: (0..<100).map { ("k\($0)", $0) })
        try await cache.setMulti(values)
        try await withThrowingTaskGroup { group in
            for _ in 0..<8 {
                group.addTask {
                    for _ in 0..<50 {
                        let found = try await cache.getMulti(Array(values.keys), as: Int.self)
                        #expect(found == values)
                    }
                }
            }
            try await group.waitForAll()
        }
    }
}
