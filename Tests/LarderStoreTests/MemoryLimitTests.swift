import Foundation
import Glibc
import LarderTesting
import Testing

@testable import LarderStore

/// A limit below the size of the arena: `cache_memlimit`.
@Suite struct MemoryLimitTests {
    private static let start: Int64 = 1_700_000_000_000
    private static let arenaBytes = 8 << 20
    private static let slabBytes = 16 << 10
    private static let itemBytesMax = 64 << 10
    /// The tables, the first slab of the index, the largest item and the slabs to work in.
    private static let slabsMin = 3 + 1 + 4 + 16

    private static func configuration(evicts: Bool = true, filePath: String? = nil) -> StoreConfiguration {
        StoreConfiguration(
            memoryBytes: arenaBytes, slabBytes: slabBytes, itemBytesMax: itemBytesMax, evicts: evicts, hashSeed: 1,
            sessionsExpected: 4, filePath: filePath)
    }

    private static func key(_ number: Int) -> [UInt8] { Array("key-\(number)".utf8) }
    private static func value(_ number: Int, round: Int = 0) -> [UInt8] {
        [UInt8].value(100 + number * 7919 % (number % 16 == 0 ? 60_000 : 4000), seed: UInt64(number * 31 + round))
    }

    private static func slabsInUse(_ store: Store) -> Int {
        store.state.slabCount - store.statistics.slabs.withheld
    }

    /// Turns with their slices of upkeep, until the limit is kept.
    private static func settle(_ driver: StoreDriver, slabs: Int, _ now: inout Int64) {
        for _ in 0..<2000 where slabsInUse(driver.whole) != slabs {
            now += 250
            driver.turn(now) { _ in }
        }
    }

    /// The limit is lowered and raised while items are written. Each item is whole or was evicted, and afterwards the
    /// whole arena can be filled again.
    @Test(arguments: 1...3)
    func limitGoesDownAndUp(seed: Int) throws {
        let store = try Store(Self.configuration())
        let driver = try StoreDriver(store)
        var random = SeededRandom(seed: UInt64(seed))
        var now = Self.start
        var rounds: [Int: Int] = [:]
        func set(_ number: Int) throws {
            let round = random.number(0...3)
            let outcome = driver.turn(now) {
                $0.set(Self.key(number), Self.value(number, round: round), now: now)
            }
            try #require(outcome == .stored, "seed \(seed)")
            rounds[number] = round
        }
        func checkItems() throws -> Int {
            var missing = 0
            for (number, round) in rounds {
                let found = driver.turn(now) { $0.find(Self.key(number), now: now)?.value }
                guard let found else {
                    missing += 1
                    continue
                }
                let isWhole = found == Self.value(number, round: round)
                try #require(isWhole, "seed \(seed), key \(number)")
            }
            #expect(store.checkInvariants().isEmpty)
            return missing
        }
        for number in 0..<2400 { try set(number) }
        for megabytes in [6, 3, 1, 4, 2, 8, 5, 1, 8] {
            let slabs = (megabytes << 20) / Self.slabBytes
            let liveBefore = store.statistics.liveBytes
            let isTaken = driver.turn(now) { $0.session.limitMemory(bytes: megabytes << 20, now: now) }
            #expect(isTaken)
            for _ in 0..<200 { try set(random.number(0...2399)) }
            Self.settle(driver, slabs: slabs, &now)
            #expect(Self.slabsInUse(store) == slabs, "seed \(seed), \(megabytes) MB")
            for _ in 0..<200 { try set(random.number(0...2399)) }
            let missing = try checkItems()
            // Only evicted items are missing, and the items that are left fill at least half of the limit.
            #expect(missing <= store.statistics.counters.evictions)
            let liveMin = min(liveBefore, megabytes << 20) / 2
            #expect(store.statistics.liveBytes > liveMin, "seed \(seed), \(megabytes) MB")
        }
        // All of the arena is used again.
        for number in 0..<2400 { try set(number) }
        #expect(Self.slabsInUse(store) == store.state.slabCount)
        #expect(store.statistics.liveBytes > Self.arenaBytes * 2 / 3)
    }

    /// Items that have room below the limit stay, the large ones too.
    @Test func nothingIsEvictedWhereThereIsRoom() throws {
        let store = try Store(Self.configuration())
        let driver = try StoreDriver(store)
        let now = Self.start
        for number in 0..<250 {
            #expect(driver.turn(now) { $0.set(Self.key(number), Self.value(number), now: now) } == .stored)
        }
        #expect(driver.turn(now) { $0.session.limitMemory(bytes: 3 << 20, now: now) })
        #expect(Self.slabsInUse(store) == (3 << 20) / Self.slabBytes)
        for number in 0..<250 {
            let found = driver.turn(now) { $0.find(Self.key(number), now: now)?.value }
            #expect(found == Self.value(number), "key \(number)")
        }
        #expect(store.statistics.counters.evictions == 0)
        #expect(store.checkInvariants().isEmpty)
    }

    /// The lowest limit has room for the largest item. A lower limit, or one above the arena, is refused.
    @Test func limitsThatAreRefused() throws {
        let store = try Store(Self.configuration())
        let driver = try StoreDriver(store)
        var now = Self.start
        func isTaken(_ bytes: Int) -> Bool { driver.turn(now) { $0.session.limitMemory(bytes: bytes, now: now) } }
        #expect(store.geometry.metadataSlabCount == 3)
        #expect(!isTaken(Self.arenaBytes + Self.slabBytes))
        #expect(!isTaken(Self.slabsMin * Self.slabBytes - 1))
        #expect(!isTaken(0))
        #expect(store.statistics.slabs.withheld == 0)
        for number in 0..<2400 {
            #expect(driver.turn(now) { $0.set(Self.key(number), Self.value(number), now: now) } == .stored)
        }
        #expect(isTaken(Self.slabsMin * Self.slabBytes))
        // The index has grown, and keeps its slabs.
        Self.settle(driver, slabs: Self.slabsMin + store.statistics.slabs.index - 1, &now)
        #expect(Self.slabsInUse(store) == Self.slabsMin + store.statistics.slabs.index - 1)
        let large = [UInt8].value(Self.itemBytesMax - 100, seed: 1)
        for number in 0..<20 {
            #expect(driver.turn(now) { $0.set(Self.key(number), large, now: now) } == .stored)
            #expect(driver.turn(now) { $0.find(Self.key(number), now: now)?.value } == large)
        }
        #expect(store.checkInvariants().isEmpty)
        #expect(isTaken(Self.arenaBytes))
        Self.settle(driver, slabs: store.state.slabCount, &now)
        #expect(store.statistics.slabs.withheld == 0)
    }

    /// The pages of withheld slabs no longer count as memory of the process.
    @Test func memoryIsReturned() throws {
        let store = try Store(Self.configuration())
        let driver = try StoreDriver(store)
        var now = Self.start
        for number in 0..<3000 {
            #expect(driver.turn(now) { $0.set(Self.key(number), Self.value(number), now: now) } == .stored)
        }
        let before = Self.residentPages(store)
        #expect(driver.turn(now) { $0.session.limitMemory(bytes: 2 << 20, now: now) })
        Self.settle(driver, slabs: (2 << 20) / Self.slabBytes, &now)
        #expect(before > Self.arenaBytes / 4096 * 3 / 4)
        #expect(Self.residentPages(store) <= (2 << 20) / 4096)
    }

    private static func residentPages(_ store: Store) -> Int {
        var pages = [UInt8](repeating: 0, count: arenaBytes / 4096)
        let outcome = mincore(store.state.base, arenaBytes, &pages)
        return outcome == 0 ? pages.count { $0 & 1 != 0 } : -1
    }

    /// Without eviction no item is dropped, and sets are refused until there is room again.
    @Test func withoutEvictionNothingIsDropped() throws {
        let store = try Store(Self.configuration(evicts: false))
        let driver = try StoreDriver(store)
        var now = Self.start
        func set(_ number: Int) -> StoreOutcome {
            driver.turn(now) { $0.set(Self.key(number), Self.value(number), now: now) }
        }
        for number in 0..<500 { #expect(set(number) == .stored) }
        #expect(driver.turn(now) { $0.session.limitMemory(bytes: 1 << 20, now: now) })
        var refused = 0
        for number in 500..<600 where set(number) != .stored { refused += 1 }
        #expect(refused > 0)
        for number in 0..<500 {
            let found = driver.turn(now) { $0.find(Self.key(number), now: now)?.value }
            #expect(found == Self.value(number), "key \(number)")
        }
        #expect(store.checkInvariants().isEmpty)
        #expect(driver.turn(now) { $0.session.limitMemory(bytes: Self.arenaBytes, now: now) })
        now += 250
        for number in 500..<600 { #expect(set(number) == .stored) }
    }

    /// A store in a file that is opened again has the whole arena, and the items that were not evicted.
    @Test func fileIsOpenedAnew() throws {
        let file = try StoreTestFile()
        var now = Self.start
        var left: [Int] = []
        do {
            let store = try Store(Self.configuration(filePath: file.path))
            let driver = try StoreDriver(store)
            for number in 0..<2400 {
                #expect(driver.turn(now) { $0.set(Self.key(number), Self.value(number), now: now) } == .stored)
            }
            #expect(driver.turn(now) { $0.session.limitMemory(bytes: 2 << 20, now: now) })
            Self.settle(driver, slabs: (2 << 20) / Self.slabBytes, &now)
            #expect(Self.slabsInUse(store) == (2 << 20) / Self.slabBytes)
            left = (0..<2400).filter { number in
                driver.turn(now) { $0.find(Self.key(number), now: now) } != nil
            }
            #expect(store.damageReport.count == 0)
        }
        let store = try Store(Self.configuration(filePath: file.path))
        let driver = try StoreDriver(store)
        #expect(left.count > 100)
        for number in left {
            let found = driver.turn(now) { $0.find(Self.key(number), now: now)?.value }
            #expect(found == Self.value(number), "key \(number)")
        }
        #expect(store.statistics.slabs.withheld == 0)
        #expect(store.checkInvariants().isEmpty)
    }

    /// Threads that write and read while the limit changes.
    @Test func limitChangesBesideOtherThreads() throws {
        let store = try Store(Self.configuration())
        let group = DispatchGroup()
        let failures = FailureList()
        for thread in 0..<3 {
            group.enter()
            Thread {
                do {
                    let driver = try StoreDriver(store)
                    if let failure = Self.work(driver, thread) { failures.add("thread \(thread): \(failure)") }
                } catch { failures.add("\(error)") }
                group.leave()
            }.start()
        }
        let driver = try StoreDriver(store)
        var random = SeededRandom(seed: 7)
        var now = Self.start
        while group.wait(timeout: .now()) == .timedOut {
            now += 20
            let bytes = random.number(1...8) << 20
            #expect(driver.turn(now) { $0.session.limitMemory(bytes: bytes, now: now) })
        }
        #expect(failures.all.isEmpty)
        #expect(driver.turn(now) { $0.session.limitMemory(bytes: 2 << 20, now: now) })
        Self.settle(driver, slabs: (2 << 20) / Self.slabBytes, &now)
        #expect(Self.slabsInUse(store) == (2 << 20) / Self.slabBytes)
        #expect(store.checkInvariants().isEmpty)
    }

    private static func work(_ driver: StoreDriver, _ thread: Int) -> String? {
        var random = SeededRandom(seed: UInt64(thread))
        for round in 0..<6000 {
            let number = random.number(0...1199) * 3 + thread
            let now = start + Int64(round)
            if random.once(in: 3) {
                let outcome = driver.turn(now) { $0.set(key(number), value(number), now: now) }
                if outcome != .stored { return "\(outcome) in round \(round)" }
            } else if let found = driver.turn(now, { $0.find(key(number), now: now)?.value }), found != value(number) {
                return "another value in round \(round)"
            }
        }
        return nil
    }
}
