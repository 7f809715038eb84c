import LarderTesting
import Testing

@testable import LarderClient

@Suite struct LayeredCacheTests {
    private let clock = TestClock()
    private let failure = CacheError(.unavailable, "broken on purpose")

    private func cache(
        _ levels: [any CacheLevel], limits: LevelLimits = LevelLimits(),
        onRemoval: (@Sendable (LevelRemoval) -> Void)? = nil
    ) async throws -> LayeredCache {
        try await LayeredCache(
            name: "L1", limits: limits, levels: levels, clock: clock.cacheClock, onRemoval: onRemoval)
    }

    @Test func theLastLevelDecidesAndTheFirstTakesWhatItCan() async throws {
        let last = HeapLevel(name: "last", limits: LevelLimits(payloadBytesMax: 100))
        let cache = try await cache([last], limits: LevelLimits(footprintBytesMax: 10))
        try await cache.write("small", [1])
        try await cache.write("large", [UInt8](repeating: 1, count: 100))
        #expect(cache.first.lookup(.everything).map(\.key) == ["small"])
        #expect(try await cache.get("large")?.count == 100)
        #expect(cache.first.lookup(.everything).map(\.key) == ["small"])
        await #expect(throws: CacheError.self) {
            try await cache.write("small", [UInt8](repeating: 1, count: 101))
        }
        #expect(try await cache.get("small") == [1])
        // What L1 had is not left there when the new one is too large for it.
        try await cache.write("small", [UInt8](repeating: 2, count: 50))
        #expect(try await cache.get("small")?.count == 50)
        #expect(cache.itemCount == 0)
    }

    @Test func coldReadersReadOnce() async throws {
        let last = WatchedLevel(MapLevel())
        let cache = try await cache([last])
        try await cache.write("k", [1])
        cache.first.invalidate(.everything, reason: .evicted)
        last.hold(true)
        let readers = (0..<50).map { _ in Task { try await cache.get("k") } }
        await until { last.waiting == 1 }
        last.hold(false)
        for reader in readers { #expect(try await reader.value == [1]) }
        #expect(last.reads == 1)
    }

    /// Who reads the old value while it is being replaced does not put it back.
    @Test func aValueThatChangesOnItsWayIsNotKept() async throws {
        let last = WatchedLevel(MapLevel())
        let cache = try await cache([last])
        try await cache.write("k", [1])
        cache.first.invalidate(.everything, reason: .evicted)
        last.hold(true)
        let reader = Task { try await cache.get("k") }
        await until { last.waiting == 1 }
        let writer = Task { try await cache.write("k", [2]) }
        let remover = Task { try await cache.remove("other*") }
        // What L1 has is read by anybody meanwhile.
        try cache.first.write(LevelItem(key: "near", payload: [3]))
        #expect(try await cache.get("near") == [3])
        last.hold(false)
        #expect(try await reader.value == [1])
        try await writer.value
        try await remover.value
        #expect(try await cache.get("k") == [2])
        #expect(try await last.get("k")?.payload == [2])
    }

    @Test func manyTasksLeaveTheLevelsAlike() async throws {
        let last = MapLevel()
        let cache = try await cache(
            [HeapLevel(name: "second", limits: LevelLimits(itemsMax: 5)), last],
            limits: LevelLimits(itemsMax: 3))
        try await withThrowingTaskGroup { group in
            for task in 0..<16 {
                group.addTask {
                    var random = SeededRandom(seed: UInt64(task))
                    for step in 0..<200 {
                        let key = "k\(Int.random(in: 0..<8, using: &random))"
                        switch Int.random(in: 0..<10, using: &random) {
                        case 0..<3: try await cache.write(key, Array("\(key) \(task) \(step)".utf8))
                        case 3: try await cache.remove(key)
                        case 4 where step % 10 == 0: try await cache.remove("*\(task % 8)")
                        case 5:
                            for result in try await cache.lookup("k*") { #expect(result.payloadBytes > 5) }
                        default:
                            if let value = try await cache.get(key) {
                                #expect(String(decoding: value, as: UTF8.self).hasPrefix(key + " "))
                            }
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
        // What the inner levels have is what the last one has.
        for level in cache.stack {
            for key in try await level.keys() {
                #expect(try await level.get(key) == last.get(key))
            }
        }
        #expect(try await cache.lookup("*").map(\.key) == last.keys())
    }

    @Test func aLevelThatFailsIsAnErrorAndTheOthersAreDone() async throws {
        let outer = WatchedLevel(MapLevel(name: "outer"))
        let inner = MapLevel(name: "inner")
        let cache = try await cache([inner, outer])
        try await cache.write("a", [1])
        outer.fail(with: failure)
        for change in [
            { try await cache.write("a", [2]) }, { try await cache.remove("a") },
            { try await cache.remove("*") },
            { try await cache.expunge() },
        ] {
            let error = await #expect(throws: CacheError.self) { try await change() }
            #expect(error?.message == failure.message)
            #expect(try await inner.keys().isEmpty)
            #expect(cache.itemCount == 0)
        }
        await #expect(throws: CacheError.self) { try await cache.get("a") }
        await #expect(throws: CacheError.self) { try await cache.lookup("*") }
        outer.fail(with: nil)
        // Not known whether it was removed: here it was not.
        #expect(try await cache.get("a") == [1])
    }

    @Test func whatCannotExpireNowIsTriedAgain() async throws {
        let outer = WatchedLevel(MapLevel())
        let cache = try await cache([outer])
        try await cache.write("a", [1], expiration: .after(.seconds(1)))
        outer.fail(with: failure)
        await until { clock.sleepers == 1 }
        clock.advance(.seconds(1))
        await until { cache.itemCount == 0 }
        await until { clock.sleepers == 1 }
        outer.fail(with: nil)
        clock.advance(.seconds(1))
        try await until { try await outer.keys().isEmpty }
    }

    @Test func aLevelThatCannotGetReadyEndsTheOthers() async throws {
        let outer = MapLevel(name: "outer")
        outer.write(LevelItem(key: "a", payload: [1]))
        let broken = WatchedLevel(MapLevel(name: "broken"))
        broken.fail(with: failure)
        let removals = Shared<[LevelRemoval]>([])
        await #expect(throws: CacheError.self) {
            try await cache([broken, outer]) { removal in removals.change { $0.append(removal) } }
        }
        #expect(
            removals.value == [
                LevelRemoval(
                    depth: 2, level: "outer", item: LevelItem(key: "a", payload: [1]), reason: .destroyed)
            ])
    }

    /// What was kept from before, and has ended since, goes when the cache begins.
    @Test func whatEndedBeforeGoesAtTheBeginning() async throws {
        let outer = MapLevel()
        outer.write(LevelItem(key: "dead", payload: [1], endMilliseconds: clock.now))
        outer.write(LevelItem(key: "dying", payload: [1], endMilliseconds: clock.now + 10))
        let cache = try await cache([outer])
        #expect(try await outer.keys() == ["dying"])
        await until { clock.sleepers == 1 }
        clock.advance(.milliseconds(10))
        try await until { try await outer.keys().isEmpty }
        withExtendedLifetime(cache) {}
    }

    @Test func aWriteThatHasEndedRemovesAndStoresNothing() async throws {
        let cache = try await cache([], limits: LevelLimits(itemsMax: 1))
        try await cache.write("a", [1])
        try await cache.write("b", [1], expiration: .after(.zero))
        #expect(try await cache.get("a") == [1])
        try await cache.write("a", [2], expiration: .at(1))
        #expect(cache.itemCount == 0)
    }

    @Test func keysAreTakenAsTheyAreWhenWritten() async throws {
        let cache = try await cache([MapLevel()])
        for key in ["", "*", "a*", "ab", "a\0b", "ünï"] { try await cache.write(key, Array(key.utf8)) }
        try await cache.write("*", [1])
        #expect(Array(try await cache.lookup("*")).count == 6)
        #expect(try await cache.get("*") == [1])
        #expect(try await cache.get("a\0b") == Array("a\0b".utf8))
        try await cache.remove(.exactly("a*"))
        #expect(try await cache.get("ab") != nil)
        #expect(try await cache.get("a*") == nil)
    }

    /// The callback may look at the cache, as long as it does not wait for it.
    @Test func whoIsToldMayComeBack() async throws {
        let box = Shared<LayeredCache?>(nil)
        let found = Shared<[Int?]>([])
        let cache = try await cache([MapLevel()], limits: LevelLimits(itemsMax: 1)) { removal in
            let cache = box.value
            found.change { $0.append(cache?.itemCount) }
            guard removal.item.key == "a" else { return }
            Task { try await cache?.write("told", removal.item.payload) }
        }
        box.change { $0 = cache }
        try await cache.write("a", [1])
        try await cache.remove("a")
        try await until { try await cache.get("told") == [1] }
        #expect(found.value.count >= 2)
        box.change { $0 = nil }
    }

    @Test func manyLookupsAreKeptWithinLimits() async throws {
        let last = WatchedLevel(MapLevel())
        let cache = try await cache([last], limits: LevelLimits(footprintBytesMax: 100))
        for number in 0..<20 { try await cache.write("k\(number)", [1]) }
        // Larger than all that L1 may have: asked for each time.
        for reads in 1...2 {
            #expect(Array(try await cache.lookup("*")).count == 20)
            #expect(last.reads == reads)
        }
        for number in 0..<20 { _ = try await cache.lookup("k\(number)") }
        let reads = last.reads
        _ = try await cache.lookup("k19")
        #expect(last.reads == reads)
        _ = try await cache.lookup("k0")
        #expect(last.reads == reads + 1)
        #expect(cache.itemCount == 20)
    }

    /// An item that the last level itself lets go is on no list any more.
    @Test func aLookupEndsWhenAnItemIsEvicted() async throws {
        let cache = try await cache([], limits: LevelLimits(itemsMax: 2))
        for key in ["a1", "a2"] { try await cache.write(key, [1]) }
        #expect(try await cache.lookup("a*").map(\.key) == ["a1", "a2"])
        try await cache.write("b", [1])
        #expect(try await cache.lookup("a*").map(\.key) == ["a2"])
    }

    @Test func aCacheThatNobodyHasEnds() async throws {
        weak var weakly: LayeredCache?
        do {
            let cache = try await cache([])
            try await cache.write("a", [1], expiration: .after(.seconds(1)))
            await until { clock.sleepers == 1 }
            weakly = cache
        }
        await until { weakly == nil && clock.sleepers == 0 }
    }
}
