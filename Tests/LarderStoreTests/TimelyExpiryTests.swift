import LarderTesting
import Testing

@testable import LarderStore

/// Expired memory comes back within one bucket interval, unread, in slices, and for no more work than
/// expired.
@Suite struct TimelyExpiryTests {
    private static let start: Int64 = 1_700_000_000_123

    private static func key(_ number: Int) -> [UInt8] { [UInt8](key: "key-\(number)") }

    /// Times to live of many kinds, in milliseconds.
    private static func lifetime(_ random: inout SeededRandom) -> Int64 {
        switch random.number(0...4) {
        case 0: Int64(random.number(1...3000))
        case 1: Int64(random.number(1...60)) * 1000
        case 2: 30_000
        case 3: Int64(random.number(60...300)) * 1000
        default: Int64(random.number(1...300_000))
        }
    }

    /// What a server does that nobody asks anything of: a look every eighth of an interval, at most
    /// every second, and slices as long as there is something left.
    private func idle(_ driver: StoreDriver, from: Int64, to: Int64, interval: Int64, _ check: (Int64) throws -> Void)
        rethrows
    {
        var now = from
        while now < to {
            now += min(1000, interval / 8)
            // The worst moment is the one before the look.
            try check(now)
            driver.turn(now) { driver in
                var slices = 0
                while driver.session.maintain(now: now), slices < 100_000 { slices += 1 }
            }
            try check(now)
        }
    }

    @Test(arguments: [1000, 4000, 15_000, 60_000] as [Int64], [60, 8, 1024])
    func withinOneInterval(interval: Int64, buckets: Int) throws {
        var configuration = StoreConfiguration(
            memoryBytes: 32 << 20, bucketIntervalMilliseconds: interval, hashSeed: 1)
        configuration.buckets = buckets
        let store = try Store(configuration)
        let driver = try StoreDriver(store)
        var random = SeededRandom(seed: UInt64(interval) + UInt64(buckets))
        var expiries: [Int64] = []
        let count = 20_000
        for number in 0..<count {
            // Stored over some time, not all at once.
            let now = Self.start + Int64(number)
            let expiry = now + Self.lifetime(&random)
            let outcome = driver.turn(now) { $0.set(Self.key(number), .value(40, seed: 1), expiry: expiry, now: now) }
            try #require(outcome == .stored)
            expiries.append(expiry)
        }
        expiries.sort()
        var blocksMost = 0
        let end = expiries[count - 1] + interval
        try idle(driver, from: Self.start + Int64(count), to: end, interval: interval) { now in
            let statistics = store.statistics
            let overdue = expiries.prefix { $0 <= now - interval }.count
            try #require(
                Int(statistics.counters.items) <= count - overdue, "\(now - Self.start) ms: an item is overdue")
            blocksMost = max(blocksMost, Int(statistics.counters.liveBlocks))
        }
        // On real accounts: no item, no block, no slab is taken any more.
        driver.turn(end + 1000) { driver in while driver.session.maintain(now: end + 1000) {} }
        driver.turn(end + 2000) { driver in while driver.session.maintain(now: end + 2000) {} }
        let statistics = store.statistics
        #expect(blocksMost > 0)
        #expect(statistics.counters.items == 0 && statistics.counters.liveBlocks == 0)
        #expect(statistics.slabs.used + statistics.slabs.open + statistics.slabs.limbo == 0)
        #expect(statistics.counters.evictions == 0)
        #expect(store.checkInvariants().isEmpty)
    }

    /// However much expires at one moment, a turn begins with a small part of it.
    @Test func inSlices() throws {
        let store = try Store(StoreConfiguration(memoryBytes: 64 << 20, bucketIntervalMilliseconds: 1000, hashSeed: 1))
        let driver = try StoreDriver(store)
        let count = 100_000
        for number in 0..<count {
            driver.turn(Self.start) {
                _ = $0.set(Self.key(number), [1], expiry: Self.start + 3_600_000, now: Self.start)
            }
        }
        var now = Self.start
        var before = store.statistics.counters
        var slices = 0
        while before.items > 0, slices < 1_000_000 {
            // Time goes on only when there is nothing left to do.
            if !driver.session.isUpkeepDue(now: now) { now += 125 }
            driver.turn(now) { _ in }
            let after = store.statistics.counters
            let work = after.expired - before.expired + after.itemsMoved - before.itemsMoved
            try #require(work <= Int64(WorkBudget.slice.items), "\(work) items in one slice")
            if work > 0 { slices += 1 }
            before = after
        }
        #expect(now < Self.start + 3_600_000 + 1000 + 125)
        #expect(slices > count / WorkBudget.slice.items)
        #expect(store.checkInvariants().isEmpty)
    }

    /// A slice copies 64 KB, or one item that is larger.
    @Test(arguments: [(5000, 13), (40_000, 1), (60_000, 1), (200_000, 1)])
    func largeItemsInSlices(valueBytes: Int, itemsInSlice: Int64) throws {
        let store = try Store(
            StoreConfiguration(
                memoryBytes: 64 << 20, slabBytes: 256 << 10, bucketIntervalMilliseconds: 1000, hashSeed: 1))
        let driver = try StoreDriver(store)
        var random = SeededRandom(seed: UInt64(valueBytes))
        let value = [UInt8].value(valueBytes, seed: 1)
        for number in 0..<100 {
            let expiry = Self.start + Int64(random.number(3_000_000...4_000_000))
            driver.turn(Self.start) { _ = $0.set(Self.key(number), value, expiry: expiry, now: Self.start) }
        }
        var now = Self.start
        var before = store.statistics.counters
        while before.items > 0, now < Self.start + 5_000_000 {
            if !driver.session.isUpkeepDue(now: now) { now += 125 }
            driver.turn(now) { _ in }
            let after = store.statistics.counters
            let moved = after.itemsMoved - before.itemsMoved
            try #require(moved <= itemsInSlice, "\(moved) items of \(valueBytes) bytes were moved in one slice")
            before = after
        }
        #expect(before.items == 0 && before.evictions == 0 && before.itemsMoved >= 100)
        #expect(store.checkInvariants().isEmpty)
    }

    /// What lives for ever is never touched, and what expires is moved once for a level at most.
    @Test func inProportionToWhatExpires() throws {
        let store = try Store(
            StoreConfiguration(memoryBytes: 64 << 20, bucketIntervalMilliseconds: 15_000, hashSeed: 1))
        let driver = try StoreDriver(store)
        for number in 0..<200_000 {
            driver.turn(Self.start) { _ = $0.set(Self.key(number), [1], now: Self.start) }
        }
        let expiring = 2000
        var random = SeededRandom(seed: 7)
        for number in 0..<expiring {
            let expiry = Self.start + Int64(random.number(1...86_400_000))
            driver.turn(Self.start) { _ = $0.set(Self.key(-number - 1), [1], expiry: expiry, now: Self.start) }
        }
        idle(driver, from: Self.start, to: Self.start + 86_400_000 + 15_000, interval: 80_000) { _ in }
        let counters = store.statistics.counters
        #expect(counters.items == 200_000 && counters.expired == Int64(expiring))
        // A day is six levels of 7.5 s and up.
        #expect(counters.itemsMoved <= Int64(6 * expiring), "\(counters.itemsMoved) items were moved")
    }
}
