import LarderClient
import LarderTesting
import Testing

@Suite struct MemoryCacheTests {
    private let clock = TestClock()

    private func cache(bucketInterval: Duration = .seconds(1)) throws -> MemoryCache {
        try MemoryCache(
            memoryBytes: 4 << 20, buckets: 60, bucketInterval: bucketInterval, clock: clock.cacheClock)
    }

    /// wheezy's defect: the old value's bucket took the new one with it.
    @Test func aRewrittenKeyStays() async throws {
        let cache = try cache()
        try await cache.set("k", "old", expiration: .after(.seconds(10)))
        try await cache.set("k", "new", expiration: .after(.seconds(100_000)))
        for _ in 0..<2000 {
            clock.advance(.milliseconds(500))
            try await cache.set("other", 1, expiration: .after(.seconds(5)))
            #expect(try await cache.get("k") == "new")
        }
    }

    /// While the cache is in use, unread values that have ended are gone within buckets × bucketInterval.
    @Test func whatEndedGoesUnread() async throws {
        let cache = try cache()
        var random = SeededRandom(seed: 20_261_121)
        for number in 0..<1000 {
            let seconds = Int.random(in: 1...20, using: &random)
            try await cache.set("dead\(number)", number, expiration: .after(.seconds(seconds)))
        }
        #expect(cache.itemCount == 1000)
        clock.advance(.seconds(20))
        for _ in 0..<60 {
            clock.advance(.seconds(1))
            try await cache.set("used", 1)
        }
        #expect(cache.itemCount == 1)
    }

    @Test func neverGivesWhatHasEnded() async throws {
        let cache = try cache(bucketInterval: .seconds(15))
        var random = SeededRandom(seed: 7)
        var ends: [String: Int64] = [:]
        for step in 0..<5000 {
            let key = "k\(Int.random(in: 0..<50, using: &random))"
            let end = ends[key] ?? 0
            #expect(
                (try await cache.get(key, as: Int.self) != nil) == (end > clock.now), "seed 7, step \(step)")
            let milliseconds = Int64.random(in: 0...40_000, using: &random)
            try await cache.set(key, step, expiration: .after(.milliseconds(milliseconds)))
            ends[key] = clock.now + milliseconds
            clock.advance(.milliseconds(Int64.random(in: 0...2000, using: &random)))
        }
    }

    @Test func aValueTooLargeIsRefused() async throws {
        let cache = try MemoryCache(memoryBytes: 4 << 20, itemBytesMax: 1000)
        #expect(try await !cache.set("k", [UInt8](repeating: 1, count: 1001)))
        #expect(try await cache.setMulti(["a": [UInt8](), "b": [UInt8](repeating: 1, count: 1001)]) == ["b"])
    }

    @Test func aStoreThatCannotBeIsRefused() {
        #expect(throws: CacheError.self) { try MemoryCache(memoryBytes: 10) }
    }

    @Test func manyTasksCount() async throws {
        let cache = try MemoryCache(memoryBytes: 4 << 20)
        try await withThrowingTaskGroup { group in
            for _ in 0..<20 {
                group.addTask {
                    for _ in 0..<200 { try await cache.incr("n", initial: 0) }
                }
            }
            try await group.waitForAll()
        }
        #expect(try await cache.get("n") == 4000)
    }
}
