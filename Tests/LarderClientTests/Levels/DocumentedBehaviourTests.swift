import Testing

@testable import LarderClient

/// What lws_cache's guide says, where lws_cache does something else: a test for each.
@Suite struct DocumentedBehaviourTests {
    private let clock = TestClock()

    private func cache(
        _ limits: LevelLimits = LevelLimits(), levels: [any CacheLevel] = []
    ) async throws -> LayeredCache {
        try await LayeredCache(name: "L1", limits: limits, levels: levels, clock: clock.cacheClock)
    }

    private func keys(_ cache: LayeredCache) async throws -> [String] {
        try await cache.lookup("*").map(\.key).sorted()
    }

    @Test func theLeastRecentlyUsedGoesFirst() async throws {
        let cache = try await cache(LevelLimits(itemsMax: 3))
        for key in ["a", "b", "c", "d"] { try await cache.write(key, [1]) }
        #expect(try await keys(cache) == ["b", "c", "d"])
        _ = try await cache.get("b")
        try await cache.write("e", [1])
        #expect(try await keys(cache) == ["b", "d", "e"])
    }

    @Test func theSizeOfOneValueIsLimited() async throws {
        let cache = try await cache(LevelLimits(payloadBytesMax: 10))
        try await cache.write("a", [UInt8](repeating: 1, count: 10))
        let error = await #expect(throws: CacheError.self) {
            try await cache.write("b", [UInt8](repeating: 1, count: 11))
        }
        #expect(error?.code == .tooLarge)
        #expect(try await keys(cache) == ["a"])
    }

    @Test func wildcardsRemoveFromMemoryToo() async throws {
        let cache = try await cache(levels: [MapLevel()])
        for key in ["myitem", "myitem1", "other"] { try await cache.write(key, [1]) }
        try await cache.remove("myitem*")
        #expect(cache.first.lookup(.everything).map(\.key) == ["other"])
        #expect(try await cache.get("myitem1") == nil)
    }

    @Test func aNewKeyThatMatchesEndsTheLookup() async throws {
        let cache = try await cache()
        for key in ["my1", "my2"] { try await cache.write(key, [1]) }
        #expect(Array(try await cache.lookup("my*")).count == 2)
        try await cache.write("my3", [1])
        #expect(Array(try await cache.lookup("my*")).count == 3)
    }

    @Test func theLookupEndsWithTheEarliest() async throws {
        let cache = try await cache()
        try await cache.write("late", [1], expiration: .after(.seconds(50)))
        try await cache.write("early", [1], expiration: .after(.seconds(5)))
        #expect(try await keys(cache) == ["early", "late"])
        await until { clock.sleepers > 0 }
        clock.advance(.seconds(5))
        #expect(try await keys(cache) == ["late"])
    }

    @Test func resultsHaveTheSizesOfValues() async throws {
        let cache = try await cache()
        try await cache.write("a", [1, 2, 3])
        try await cache.write("bb", [UInt8](repeating: 0, count: 300))
        #expect(
            try await cache.lookup("*").bytes
                == [0, 0, 0, 3, 0, 0, 0, 1, 0x61, 0] + [0, 0, 1, 44, 0, 0, 0, 2, 0x62, 0x62, 0])
    }

    @Test func aReadThatComesBeforeTheClockFindsNothing() async throws {
        let cache = try await LayeredCache(name: "L1", clock: clock.sleepless)
        try await cache.write("a", [1], expiration: .after(.milliseconds(1)))
        try await cache.write("ever", [1])
        clock.advance(.milliseconds(1))
        #expect(try await cache.get("a") == nil)
        #expect(try await keys(cache) == ["ever"])
        clock.advance(.seconds(1_000_000_000))
        #expect(try await cache.get("ever") == [1])
    }

    @Test func lookupsAreNoItems() async throws {
        let cache = try await cache(LevelLimits(itemsMax: 2))
        for key in ["my1", "my2"] { try await cache.write(key, [1]) }
        for pattern in ["my*", "!*", "!my*", "*1", "*"] { _ = try await cache.lookup(pattern) }
        #expect(try await keys(cache) == ["my1", "my2"])
        #expect(cache.itemCount == 2)
        #expect(cache.footprintBytes == 2)
        try await cache.write("!my*", [1])
        #expect(try await keys(cache) == ["!my*", "my2"])
    }

    @Test func whatIsInAnotherHeapIsBroughtIn() async throws {
        let second = HeapLevel(name: "second")
        let cache = try await cache(levels: [second])
        try await cache.write("a", [1])
        cache.first.invalidate(.everything, reason: .evicted)
        #expect(cache.itemCount == 0)
        #expect(try await cache.get("a") == [1])
        #expect(cache.itemCount == 1)
        #expect(second.itemCount == 1)
    }

    @Test func wildcardsMeanWhatTheySay() async throws {
        let cache = try await cache()
        for key in ["axb", "abab", "ab"] { try await cache.write(key, [1]) }
        #expect(try await cache.lookup("*ab").map(\.key) == ["ab", "abab"])
        #expect(try await cache.lookup("*b").map(\.key) == ["ab", "abab", "axb"])
        #expect(try await cache.lookup("ab*").map(\.key) == ["ab", "abab"])
    }

    @Test func whatDoesNotFitIsRefusedAndNothingGoesForIt() async throws {
        let cache = try await cache(LevelLimits(footprintBytesMax: 100))
        for key in ["a", "b"] { try await cache.write(key, [UInt8](repeating: 1, count: 50)) }
        let error = await #expect(throws: CacheError.self) {
            try await cache.write("c", [UInt8](repeating: 1, count: 101))
        }
        #expect(error?.code == .tooLarge)
        // Not even what it was to replace.
        await #expect(throws: CacheError.self) {
            try await cache.write("a", [UInt8](repeating: 1, count: 101))
        }
        #expect(try await keys(cache) == ["a", "b"])
        #expect(cache.footprintBytes == 100)
        try await cache.write("d", [1])
        #expect(try await keys(cache) == ["b", "d"])
    }
}
