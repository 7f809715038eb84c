import CLarderArena
import LarderTesting
import Testing

@testable import LarderStore

/// A flush drops everything at once, and is swept later: here never but where memory is needed, or a bucket at a time.
@Suite struct FlushTests {
    private static let now: Int64 = 1_700_000_000_000
    private static let keyCount = 3000

    private static func key(_ number: Int) -> [UInt8] { [UInt8](key: "key-\(number)") }
    private static func value(_ number: Int) -> [UInt8] { .value(60, seed: UInt64(number)) }
    /// More than a slab.
    private static let large = [UInt8].value(40_000, seed: 1)

    /// - Parameter swept: buckets that a slice of the upkeep clears.
    private static func store(
        swept: Int, megabytes: Int = 4, evicts: Bool = true, limits: StoreLimits? = nil, file: StoreTestFile? = nil
    ) throws -> Store {
        var configuration = StoreConfiguration(
            memoryBytes: megabytes << 20, slabBytes: 16 << 10, evicts: evicts, hashSeed: 1, filePath: file?.path)
        configuration.bucketsSweptMax = swept
        configuration.limits = limits
        configuration.openedAtMilliseconds = now
        return try Store(configuration)
    }

    private static func fill(_ driver: StoreDriver, _ count: Int = keyCount) {
        driver.turn(now) { driver in
            for number in 0..<count { #expect(driver.set(key(number), value(number), now: now) == .stored) }
        }
    }

    private static func flush(_ driver: StoreDriver) { driver.turn(now) { $0.session.flush() } }

    private static func expectEmpty(_ store: Store, _ driver: StoreDriver) {
        driver.turn(now) { driver in
            for number in 0..<keyCount { #expect(driver.find(key(number), now: now) == nil) }
            #expect(driver.find([UInt8](key: "large"), now: now) == nil)
        }
        let counters = store.statistics.counters
        #expect(counters.items == 0 && counters.liveBlocks == 0)
    }

    /// What was flushed is missing in every way, though its slots are all there.
    @Test func everythingIsMissingAtOnce() throws {
        let store = try Self.store(swept: 0)
        let driver = try StoreDriver(store)
        Self.fill(driver)
        driver.turn(Self.now) { #expect($0.set([UInt8](key: "large"), Self.large, now: Self.now) == .stored) }
        Self.flush(driver)
        #expect(store.state.isFlushing)
        Self.expectEmpty(store, driver)
        #expect(store.checkInvariants().isEmpty)
        driver.turn(Self.now) { driver in
            #expect(driver.delete(Self.key(1), now: Self.now) == .notFound)
            #expect(driver.touch(Self.key(2), expiry: Self.now + 1000, now: Self.now) == .notFound)
            for (number, mode) in [WriteMode.replace, .append, .prepend].enumerated() {
                #expect(driver.store(mode, Self.key(10 + number), [1], now: Self.now).outcome == .notStored)
            }
            #expect(driver.store(.compareAndSwap, Self.key(13), [1], cas: 1, now: Self.now).outcome == .notFound)
            #expect(driver.store(.add, Self.key(14), [1], now: Self.now).outcome == .stored)
            #expect(driver.find(Self.key(14), now: Self.now)?.value == [1])
            var walk = ItemWalk()
            var found = 0
            withUnsafeTemporaryAllocation(of: Item.self, capacity: ItemWalk.itemsMax) { items in
                while !walk.isComplete { found += driver.session.nextItems(&walk, into: items.baseAddress!) }
            }
            #expect(found == 1)
        }
        #expect(store.statistics.counters.items == 1)
        #expect(store.checkInvariants().isEmpty)
    }

    /// Many keys are looked up together in another way than one.
    @Test func lookupsTogetherFindNothing() throws {
        let store = try Self.store(swept: 0)
        Self.fill(try StoreDriver(store))
        let session = try OneSession(store)
        let keys = (0..<8).map { "key-\($0)" }
        session.session.flush()
        session.set("key-3", to: [3], now: Self.now)
        let bytes = keys.map { Array($0.utf8) }
        withUnsafeTemporaryAllocation(of: Lookup.self, capacity: keys.count) { lookups in
            let copies = bytes.map { key in
                let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: key.count, alignment: 1)
                copy.copyBytes(from: key)
                return copy
            }
            defer { for copy in copies { copy.deallocate() } }
            for (place, copy) in copies.enumerated() {
                lookups.initializeElement(at: place, to: Lookup(key: copy.baseAddress!, keyLength: copy.count))
            }
            session.session.lookUp(lookups.baseAddress!, count: keys.count, wantsCas: true, now: Self.now)
            for place in keys.indices {
                #expect((lookups[place].value != nil) == (place == 3))
                #expect(!lookups[place].foundDead)
            }
        }
    }

    /// The upkeep clears bucket after bucket, and then gives the memory back.
    @Test func theUpkeepSweeps() throws {
        let store = try Self.store(swept: 1)
        let driver = try StoreDriver(store)
        Self.fill(driver)
        Self.flush(driver)
        var slices = 0
        while store.state.isFlushing, slices < 100_000 {
            if slices % 50 == 0 { #expect(store.checkInvariants().isEmpty) }
            driver.turn(Self.now) { driver in
                _ = driver.set(Self.key(slices % 40), [UInt8(slices % 40)], now: Self.now)
            }
            slices += 1
        }
        #expect(slices > 100 && !store.state.isFlushing)
        #expect(store.checkInvariants().isEmpty)
        #expect(store.statistics.counters.items == 40)
        driver.turn(Self.now) { driver in
            for number in 0..<40 { #expect(driver.find(Self.key(number), now: Self.now)?.value == [UInt8(number)]) }
        }
        #expect(store.statistics.slabs.used < 5)
    }

    /// A full store has room for as much again after a flush, though nothing was swept, and drops none of it.
    @Test(arguments: [true, false])
    func flushedMemoryIsUsedFirst(evicts: Bool) throws {
        let store = try Self.store(swept: 0, megabytes: 1, evicts: evicts)
        let driver = try StoreDriver(store)
        var count = 0
        driver.turn(Self.now) { driver in
            while store.statistics.slabs.free > 6 {
                #expect(driver.set(Self.key(count), Self.value(count), now: Self.now) == .stored)
                count += 1
            }
        }
        for round in 1...3 {
            Self.flush(driver)
            #expect(store.checkInvariants().isEmpty)
            for number in 0..<count {
                driver.turn(Self.now) { driver in
                    #expect(driver.set(Self.key(number), Self.value(number + round), now: Self.now) == .stored)
                }
            }
            driver.turn(Self.now) { driver in
                for number in 0..<count {
                    #expect(driver.find(Self.key(number), now: Self.now)?.value == Self.value(number + round))
                }
            }
            #expect(store.statistics.counters.evictions == 0)
            #expect(store.statistics.counters.items == Int64(count))
            #expect(store.checkInvariants().isEmpty)
        }
    }

    /// The same with large items, whose runs need slabs side by side.
    @Test func flushedRunsMakeRoom() throws {
        let store = try Self.store(swept: 0, megabytes: 1)
        let driver = try StoreDriver(store)
        for round in 0..<5 {
            for number in 0..<10 {
                let outcome = driver.turn(Self.now) {
                    $0.set(Self.key(number), .value(40_000, seed: UInt64(round)), now: Self.now)
                }
                #expect(outcome == .stored)
            }
            #expect(store.statistics.counters.evictions == 0)
            Self.flush(driver)
            Self.expectEmpty(store, driver)
            #expect(store.checkInvariants().isEmpty)
        }
    }

    /// A flush may come before the one before is swept.
    @Test func oneFlushAfterTheOther() throws {
        let store = try Self.store(swept: 1)
        let driver = try StoreDriver(store)
        for _ in 0..<5 {
            Self.fill(driver, 1000)
            Self.flush(driver)
            Self.expectEmpty(store, driver)
            #expect(store.checkInvariants().isEmpty)
        }
    }

    /// A store with limits has all of them free after a flush.
    @Test(arguments: [true, false])
    func limitsAreFree(purges: Bool) throws {
        var limits = StoreLimits(itemsMax: 500, blockBytes: 64, blocksMax: 500, isBitmap: false, valueBytesMax: 64)
        limits.purgesLeastRecentlyUsed = purges
        let store = try Self.store(swept: 0, evicts: false, limits: limits)
        let driver = try StoreDriver(store)
        for _ in 0..<4 {
            Self.fill(driver, 500)
            #expect(store.statistics.limitUse?.items == 500)
            #expect(store.checkInvariants().isEmpty)
            Self.flush(driver)
            #expect(store.statistics.limitUse?.items == 0)
            Self.expectEmpty(store, driver)
            #expect(store.checkInvariants().isEmpty)
        }
    }

    /// A server that stops before the sweep leaves a file in which nothing is wrong.
    @Test func aClosedFileIsInOrder() throws {
        let file = try StoreTestFile()
        do {
            let driver = try StoreDriver(try Self.store(swept: 0, file: file))
            Self.fill(driver)
            Self.flush(driver)
            driver.turn(Self.now) { #expect($0.set(Self.key(5), [5], now: Self.now) == .stored) }
        }
        let inspection = try inspectClosedFile(file.path)
        #expect(inspection.problems == [])
        #expect(inspection.owner == .nobody)
        #expect(inspection.items.live == 1)
        #expect(inspection.index.usedSlots == 1)
    }

    /// A server that was killed before the sweep: the file holds what was stored after the flush.
    @Test func aFileRemembersTheFlush() throws {
        let file = try StoreTestFile()
        do {
            let store = try Self.store(swept: 0, file: file)
            let driver = try StoreDriver(store)
            Self.fill(driver)
            Self.flush(driver)
            driver.turn(Self.now) { #expect($0.set(Self.key(5), [5], now: Self.now) == .stored) }
            try file.keepImage()
        }
        try file.restoreImage()
        let store = try Self.store(swept: 0, file: file)
        let driver = try StoreDriver(store)
        #expect(store.statistics.counters.items == 1)
        driver.turn(Self.now) { driver in
            #expect(driver.find(Self.key(5), now: Self.now)?.value == [5])
            #expect(driver.find(Self.key(6), now: Self.now) == nil)
        }
        #expect(store.checkInvariants().isEmpty)
    }
}
