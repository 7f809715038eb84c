import LarderClient
import Testing

/// What a NullCache answers to everything.
@Suite struct NullCacheTests {
    private let cache: any Cache = NullCache()

    @Test func findsNothing() async throws {
        try await cache.set("k", 1)
        #expect(try await cache.get("k", as: Int.self) == nil)
        #expect(try await cache.getMulti(["k", "l"], as: Int.self).isEmpty)
    }

    @Test func changesSucceed() async throws {
        #expect(try await cache.set("k", 1))
        #expect(try await cache.setMulti(["k": 1]) == [])
        #expect(try await cache.add("k", 1))
        #expect(try await cache.addMulti(["k": 1]) == [])
        #expect(try await cache.replace("k", 1))
        #expect(try await cache.replaceMulti(["k": 1]) == [])
        #expect(try await cache.delete("k"))
        #expect(try await cache.deleteMulti(["k"]))
        #expect(try await cache.touch("k", expiration: .never))
        #expect(try await cache.flushAll())
    }

    @Test func countsNothing() async throws {
        #expect(try await cache.incr("k") == nil)
        #expect(try await cache.incr("k", initial: 0) == nil)
        #expect(try await cache.decr("k", initial: 10) == nil)
    }
}
