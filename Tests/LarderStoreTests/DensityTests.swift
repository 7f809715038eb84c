import LarderTesting
import Testing

@testable import LarderStore

/// How much of the arena is not keys and values.
@Suite struct DensityTests {
    /// Bytes of overhead that an item of this many bytes of value may cost, all of the arena counted.
    /// Header, key and value are rounded up to blocks of 8: at 100 and 500 bytes nearly all of the last
    /// block is lost.
    @Test(arguments: [(10, 22), (50, 22), (100, 28), (200, 26), (500, 33), (1000, 33), (4000, 120)])
    func overheadOfAnItem(valueBytes: Int, limit: Int) throws {
        let now: Int64 = 1_700_000_000_000
        let arenaBytes = 64 << 20
        let store = try Store(StoreConfiguration(memoryBytes: arenaBytes, hashSeed: 1))
        let driver = try StoreDriver(store)
        let value = [UInt8].value(valueBytes, seed: 1)
        var count = 0
        while store.statistics.counters.evictions == 0 {
            driver.turn(now) { driver in
                for _ in 0..<128 {
                    let digits = String(count)
                    let key = Array("key-\(String(repeating: "0", count: 16 - digits.count))\(digits)".utf8)
                    _ = driver.set(key, value, now: now)
                    count += 1
                }
            }
        }
        let items = store.statistics.counters.items
        let overhead = Double(arenaBytes) / Double(items) - Double(20 + valueBytes)
        print(
            "density: values of \(valueBytes): \(items) items, \(Double(Int(overhead * 10)) / 10) bytes of overhead each"
        )
        #expect(overhead <= Double(limit))
    }
    /// Lifetimes from a second to a month, as many of one magnitude as of another: the time buckets
    /// are many, and the slabs that a session may keep open few.
    @Test(arguments: [1, 4, 8])
    func mixedLifetimes(sessions: Int) throws {
        var now: Int64 = 1_700_000_000_000
        let store = try Store(
            StoreConfiguration(memoryBytes: 16 << 20, hashSeed: 1, sessionsExpected: sessions))
        let drivers = try (0..<sessions).map { _ in try StoreDriver(store) }
        var random = SeededRandom(seed: 1)
        let value = [UInt8].value(200, seed: 1)
        var number = 0
        while store.statistics.counters.evictions == 0 {
            now += 300
            for _ in 0..<300 {
                let magnitude = random.number(0...21)
                let expiry = now + Int64(random.number(1000...1000 << magnitude))
                let driver = drivers[random.number(0...sessions - 1)]
                let outcome = driver.turn(now) {
                    $0.set(Array("key-\(number)".utf8), value, expiry: expiry, now: now)
                }
                try #require(outcome == .stored)
                number += 1
            }
        }
        let statistics = store.statistics
        let live = Double(statistics.liveBytes) / Double(statistics.arenaBytes)
        let moves = Double(statistics.counters.itemsMoved) / Double(number)
        print(
            "density: \(sessions) sessions, mixed lifetimes: \(live) of the arena is live, \(moves) moves a store"
        )
        #expect(live > 0.65)
        #expect(moves < 2)
        #expect(store.checkInvariants().isEmpty)
    }
}
