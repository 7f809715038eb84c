import Foundation
import LarderTesting
import Testing

@testable import LarderStore

/// Stores that are limited in items and blocks, against a list.
@Suite struct LimitedStoreTests {
    private static let now: Int64 = 1_700_000_000_000
    private static let rounds = ProcessInfo.processInfo.environment["LARDER_LIMIT_SEEDS"].flatMap { UInt64($0) } ?? 60

    /// Every answer, exactly; and no item is lost that the list has.
    @Test(arguments: LimitedRun.WhenFull.allCases, [true, false])
    func agreesWithAList(whenFull: LimitedRun.WhenFull, isBitmap: Bool) throws {
        for seed in 0..<Self.rounds {
            let run = try LimitedRun(seed: seed, whenFull, isBitmap: isBitmap, stepsPerCheck: 40)
            let failure = run.run(steps: 400)
            try #require(failure == nil, "\(whenFull), bitmap \(isBitmap), seed \(seed)")
        }
    }

    /// `blocks` worth of values of any size fit, whatever came and went before: nothing is refused for
    /// want of a place.
    @Test(arguments: 0..<12 as Range<UInt64>)
    func whatIsAllowedFits(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let limits = StoreLimits(
            itemsMax: 500, blockBytes: 64, blocksMax: 2000, isBitmap: true, valueBytesMax: 64 * 2000)
        let store = try LimitedRun.store(limits, seed: seed)
        let driver = try StoreDriver(store)
        var model = LimitedModel(limits)
        for round in 0..<3000 {
            let key = random.number(0...699)
            let name = [UInt8](key: "key-\(key)")
            let failure: String? = driver.turn(Self.now) { driver in
                if random.once(in: 5) {
                    _ = driver.delete(name, now: Self.now)
                    _ = model.remove(key)
                    return nil
                }
                // Mostly small, some of some slabs, now and then whatever is left.
                let left = limits.blocksMax - model.blocksTaken
                let blocks = random.once(in: 40) ? left : random.number(0...(random.once(in: 6) ? 300 : 20))
                let value = [UInt8](repeating: UInt8(truncatingIfNeeded: key), count: blocks * 64)
                let expected = model.store(.set, key, value)
                let outcome = driver.set(name, value, now: Self.now)
                return outcome == expected ? nil : "\(value.count) bytes: \(outcome), not \(expected)"
            }
            try #require(failure == nil, "seed \(seed), round \(round)")
        }
        #expect(store.checkInvariants().isEmpty)
        for entry in model.entries {
            let found = driver.turn(Self.now) { $0.find([UInt8](key: "key-\(entry.key)"), now: Self.now)?.value }
            #expect(found == entry.value)
        }
        #expect(store.statistics.counters.evictions == 0)
    }

    /// 1.10 of the acceptance: ten times what fits, and exactly the last ones used are left.
    @Test func tenTimesTheCapacity() throws {
        var limits = StoreLimits(itemsMax: 1000, blockBytes: 100, blocksMax: 1000, isBitmap: false, valueBytesMax: 100)
        limits.purgesLeastRecentlyUsed = true
        let store = try LimitedRun.store(limits)
        let driver = try StoreDriver(store)
        for number in 0..<10_000 {
            let outcome = driver.turn(Self.now) { driver in
                // The first ten stay in use, but are only looked at from the middle on.
                for kept in 0..<10 where number > 10 {
                    _ = driver.find([UInt8](key: "\(kept)"), now: Self.now, marks: number < 5000)
                }
                return driver.set([UInt8](key: "\(number)"), .value(100, seed: UInt64(number)), now: Self.now)
            }
            try #require(outcome == .stored)
            if number == 5100 {
                let first = driver.turn(Self.now) { $0.find([UInt8](key: "0"), now: Self.now)?.value }
                #expect(first == .value(100, seed: 0))
            }
        }
        for number in 0..<10_000 {
            let found = driver.turn(Self.now) { $0.find([UInt8](key: "\(number)"), now: Self.now)?.value }
            #expect(found == (number >= 9000 ? .value(100, seed: UInt64(number)) : nil))
        }
        #expect(store.checkInvariants().isEmpty)
    }

    /// Time and order of use have nothing to do with each other.
    @Test func expiryWithOrderOfUse() throws {
        var limits = StoreLimits(itemsMax: 4, blockBytes: 64, blocksMax: 4, isBitmap: false, valueBytesMax: 64)
        limits.purgesLeastRecentlyUsed = true
        let store = try LimitedRun.store(limits)
        let driver = try StoreDriver(store)
        driver.turn(Self.now) { driver in
            #expect(driver.set([1], [1], expiry: Self.now + 100_000, now: Self.now) == .stored)
            #expect(driver.set([2], [2], now: Self.now) == .stored)
            #expect(driver.find([1], now: Self.now + 99_999)?.value == [1])
            #expect(driver.find([1], now: Self.now + 100_000) == nil)
        }
        // Its memory comes back unread, and its place with it.
        for tick in 0...8 { driver.turn(Self.now + 101_000 + Int64(tick) * 250) { _ in } }
        #expect(store.statistics.limitUse?.items == 1)
        #expect(store.checkInvariants().isEmpty)
    }

    @Test func sweepOnFull() throws {
        var limits = StoreLimits(itemsMax: 3, blockBytes: 64, blocksMax: 3, isBitmap: false, valueBytesMax: 64)
        limits.sweepOnFullMilliseconds = 5000
        let store = try LimitedRun.store(limits, interval: 64_000)
        let driver = try StoreDriver(store)
        // All in one time bucket, whose end is far: only a sweep finds the first two before.
        let base = Self.now / 64_000 * 64_000 + 1000
        func set(_ key: UInt8, _ expiry: Int64, at now: Int64) -> StoreOutcome {
            driver.turn(now) { $0.set([key], [key], expiry: expiry, now: now) }
        }
        #expect(set(1, base + 100, at: base) == .stored)
        #expect(set(2, base + 100, at: base) == .stored)
        #expect(set(3, base + 100_000, at: base) == .stored)
        #expect(set(4, Int64.max, at: base + 50) == .noMemory)
        // That was a sweep, though nothing was dead yet: the next one has to wait.
        #expect(set(4, Int64.max, at: base + 200) == .noMemory)
        #expect(set(4, Int64.max, at: base + 5050) == .stored)
        #expect(set(5, Int64.max, at: base + 5050) == .stored)
        #expect(set(6, Int64.max, at: base + 5050) == .noMemory)
        #expect(store.statistics.limitUse?.full == 4)
        #expect(store.checkInvariants().isEmpty)
    }

    @Test func keepsExpiredOnes() throws {
        var configuration = StoreConfiguration(memoryBytes: 1 << 20, evicts: false, bucketIntervalMilliseconds: 1000)
        configuration.keepsExpired = true
        configuration.limits = StoreLimits(
            itemsMax: 2, blockBytes: 64, blocksMax: 2, isBitmap: false, valueBytesMax: 64)
        let store = try Store(configuration)
        let driver = try StoreDriver(store)
        driver.turn(Self.now) { driver in
            #expect(driver.set([1], [1], expiry: Self.now + 1000, now: Self.now) == .stored)
            #expect(driver.set([2], [2], expiry: Self.now + 1000, now: Self.now) == .stored)
        }
        let later = Self.now + 100_000
        for _ in 0..<100 { driver.turn(later) { _ in } }
        #expect(store.statistics.limitUse?.items == 2)
        driver.turn(later) { driver in
            #expect(driver.find([1], now: later) == nil)
            #expect(driver.set([3], [3], now: later) == .noMemory)
            // The dead one under the same key makes room for itself.
            #expect(driver.store(.add, [1], [4], now: later).outcome == .stored)
        }
        #expect(store.checkInvariants().isEmpty)
    }

    /// The limits are exact with four threads at once, and an insert never fails where others give way.
    @Test(arguments: [true, false])
    func manyThreads(purges: Bool) throws {
        var limits = StoreLimits(itemsMax: 100, blockBytes: 64, blocksMax: 300, isBitmap: true, valueBytesMax: 64 * 20)
        limits.purgesLeastRecentlyUsed = purges
        let store = try LimitedRun.store(limits, sessions: 4)
        let group = DispatchGroup()
        let failures = FailureList()
        for thread in 0..<4 {
            group.enter()
            Thread {
                defer { group.leave() }
                guard let driver = try? StoreDriver(store) else { return failures.add("no session") }
                var random = SeededRandom(seed: UInt64(thread))
                for _ in 0..<5000 {
                    let key = [UInt8](key: "\(random.number(0...200))")
                    let now = Self.now + Int64(random.number(0...3000))
                    let size = random.number(0...64 * 20)
                    driver.turn(now) { driver in
                        switch random.number(0...3) {
                        case 0: _ = driver.delete(key, now: now)
                        case 1: _ = driver.find(key, now: now, marks: true)
                        default:
                            let expiry = random.once(in: 2) ? Int64.max : now + Int64(random.number(1...3000))
                            let value = [UInt8](repeating: 7, count: size)
                            let outcome = driver.set(key, value, expiry: expiry, now: now)
                            if outcome != .stored, purges { failures.add("\(outcome)") }
                        }
                    }
                    let use = store.statistics.limitUse
                    if let use, use.items > 100 || use.blocks > 300 { failures.add("\(use)") }
                }
            }.start()
        }
        group.wait()
        #expect(failures.all.isEmpty)
        #expect(store.checkInvariants().isEmpty)
    }

    /// After a restart the count goes on where it was, and so does the order of what was stored.
    @Test func countsWhatAFileHolds() throws {
        var limits = StoreLimits(itemsMax: 100, blockBytes: 64, blocksMax: 300, isBitmap: true, valueBytesMax: 640)
        limits.purgesLeastRecentlyUsed = true
        let path = NSTemporaryDirectory() + "larder-limits-\(getpid())"
        defer { unlink(path) }
        var configuration = StoreConfiguration(
            memoryBytes: 2 << 20, slabBytes: 4096, itemBytesMax: 1000, evicts: false,
            bucketIntervalMilliseconds: 1000, hashSeed: 1, filePath: path)
        configuration.limits = limits
        configuration.openedAtMilliseconds = Self.now
        func values(_ range: Range<Int>, _ store: Store) throws -> [Bool] {
            let driver = try StoreDriver(store)
            return driver.turn(Self.now) { driver in
                range.map { driver.find([UInt8](key: "\($0)"), now: Self.now)?.value == .value(150, seed: UInt64($0)) }
            }
        }
        do {
            let store = try Store(configuration)
            let driver = try StoreDriver(store)
            for number in 0..<150 {
                let value = [UInt8].value(150, seed: UInt64(number))
                driver.turn(Self.now) { #expect($0.set([UInt8](key: "\(number)"), value, now: Self.now) == .stored) }
            }
        }
        do {
            let store = try Store(configuration)
            #expect(store.checkInvariants().isEmpty)
            #expect(store.statistics.limitUse?.items == 100 && store.statistics.limitUse?.blocks == 300)
            #expect(try values(0..<150, store) == (0..<150).map { $0 >= 50 })
            let driver = try StoreDriver(store)
            driver.turn(Self.now) { #expect($0.set([1], [1], now: Self.now) == .stored) }
            #expect(try values(50..<52, store) == [false, true])
        }
        // Narrower limits: no item is dropped unless that is allowed.
        for (slabBytes, memoryBytes) in [(4096, 2 << 20), (8192, 2 << 20), (4096, 1 << 20)] {
            limits.itemsMax = 20
            limits.dropsItemsBeyond = false
            configuration.limits = limits
            configuration.slabBytes = slabBytes
            configuration.memoryBytes = memoryBytes
            #expect(throws: StoreError.fileRefused(path: path, .beyondLimits(items: 80))) {
                _ = try Store(configuration)
            }
        }
        configuration.slabBytes = 4096
        configuration.memoryBytes = 2 << 20
        limits.itemsMax = 100
        configuration.limits = limits
        #expect(try Store(configuration).recovery.items == 100)
        // The newest stay.
        limits.itemsMax = 20
        limits.dropsItemsBeyond = true
        configuration.limits = limits
        let store = try Store(configuration)
        #expect(store.checkInvariants().isEmpty)
        #expect(store.statistics.limitUse?.items == 20)
        #expect(store.recovery.items == 20 && store.recovery.leftOutItems == 80)
        #expect(try values(130..<150, store) == (130..<150).map { $0 > 130 })
    }

    /// Slabs in use follow what is held, however much the arena could take.
    @Test(arguments: [true, false])
    func memoryFollowsTheContents(purges: Bool) throws {
        var limits = StoreLimits(
            itemsMax: 2000, blockBytes: 4096, blocksMax: 2000, isBitmap: false, valueBytesMax: 4096)
        limits.purgesLeastRecentlyUsed = purges
        let store = try LimitedRun.store(limits)
        let driver = try StoreDriver(store)
        var random = SeededRandom(seed: 1)
        var slabsMost = 0
        // Small values in large blocks, written over at random, with some that stay for ever.
        for round in 0..<60_000 {
            let key = round < 2000 ? round : random.number(500...1999)
            let value = [UInt8].value(100, seed: UInt64(key))
            driver.turn(Self.now + Int64(round)) { driver in
                _ = driver.set([UInt8](key: "\(key)"), value, now: Self.now + Int64(round))
            }
            let slabs = store.statistics.slabs
            slabsMost = max(slabsMost, slabs.used + slabs.open + slabs.limbo)
        }
        // 2,000 items of some 130 bytes fill 64 slabs of 4 KB.
        #expect(slabsMost < 2 * 64 + 40, "\(slabsMost) slabs")
        #expect(store.statistics.counters.items == 2000)
        #expect(store.checkInvariants().isEmpty)
    }

    /// A large item finds room among small ones that are everywhere: they are moved, and none is lost.
    @Test(arguments: 0..<10 as Range<UInt64>)
    func largeAmongSmall(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let limits = StoreLimits(
            itemsMax: 3000, blockBytes: 64, blocksMax: 3000, isBitmap: true, valueBytesMax: 192_000)
        let store = try LimitedRun.store(limits, seed: seed)
        let driver = try StoreDriver(store)
        for _ in 0..<20 {
            let kept = random.number(0...500)
            driver.turn(Self.now) { driver in
                for number in 0..<3000 {
                    #expect(
                        driver.set([UInt8](key: "\(number)"), .value(64, seed: UInt64(number)), now: Self.now)
                            == .stored)
                }
                let leaves = Set((0..<kept).map { _ in random.number(0...2999) })
                for number in 0..<3000 where !leaves.contains(number) {
                    _ = driver.delete([UInt8](key: "\(number)"), now: Self.now)
                }
                let large = [UInt8].value((3000 - leaves.count) * 64, seed: 9)
                #expect(driver.set([UInt8](key: "large"), large, now: Self.now) == .stored)
                for number in leaves {
                    #expect(
                        driver.find([UInt8](key: "\(number)"), now: Self.now)?.value == .value(64, seed: UInt64(number))
                    )
                }
                #expect(driver.delete([UInt8](key: "large"), now: Self.now) == .stored)
            }
        }
        #expect(store.checkInvariants().isEmpty)
    }
}
