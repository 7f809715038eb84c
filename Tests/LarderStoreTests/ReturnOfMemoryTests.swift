import CLarderArena
import LarderTesting
import Testing

@testable import LarderStore

/// Memory of what expired or was deleted comes back by ticks alone, without anyone reading it.
@Suite struct ReturnOfMemoryTests {
    private static let start: Int64 = 1_700_000_000_000
    private static let interval: Int64 = 1000
    private static let arenaBytes = 8 << 20

    private static func key(_ number: Int) -> [UInt8] { Array("key-\(number)".utf8) }

    private func makeStore(sessions: Int = 1) throws -> Store {
        try Store(
            StoreConfiguration(
                memoryBytes: Self.arenaBytes, bucketIntervalMilliseconds: Self.interval, hashSeed: 1,
                sessionsExpected: sessions))
    }

    /// Slabs in which items are, or were until a moment ago.
    private func slabsTaken(_ store: Store) -> Int {
        let slabs = store.statistics.slabs
        return slabs.used + slabs.open + slabs.limbo
    }

    /// Large values that are overwritten again and again stay where memory is in use, although most of the arena is
    /// free: what is touched for the first time has to be faulted in, and makes the process larger. Items that no slab
    /// takes have the memory of the one that was replaced; others use half as much again as what lives.
    @Test(arguments: [3000, 5000, 16_000, 40_000, 300_000])
    func overwritingStaysInUsedMemory(valueBytes: Int) throws {
        let store = try Store(StoreConfiguration(memoryBytes: 8 * Self.arenaBytes, hashSeed: 1))
        let slabBytes = store.geometry.slabBytes
        let driver = try StoreDriver(store)
        var random = SeededRandom(seed: UInt64(valueBytes))
        let value = [UInt8].value(valueBytes, seed: 1)
        let liveBytes = Self.arenaBytes
        let count = liveBytes / valueBytes
        func set(_ number: Int) throws {
            let outcome = driver.turn(Self.start) { $0.set(Self.key(number), value, now: Self.start) }
            try #require(outcome == .stored)
        }
        for number in 0..<count { try set(number) }
        for _ in 0..<20 * count { try set(random.number(0...count - 1)) }
        let used = (store.geometry.metadataSlabCount..<store.state.slabCount - 1).count {
            store.state.slabs[$0].sequence != 0
        }
        let slabsOfAll =
            valueBytes > slabBytes
            ? count * ((valueBytes + 64 + slabBytes - 1) / slabBytes) : 3 * liveBytes / slabBytes / 2
        #expect(used <= slabsOfAll + 16, "\(used) slabs used")
        #expect(store.statistics.counters.evictions == 0)
        #expect(store.checkInvariants().isEmpty)
    }

    /// So do small ones, of which less is moved: in twice what lives and half as much again, whether all of them are
    /// overwritten alike or a tenth all the time, behind which the others lie.
    @Test(arguments: [1, 10])
    func overwritingSmallValuesStaysInUsedMemory(hotDivisor: Int) throws {
        let store = try Store(StoreConfiguration(memoryBytes: 8 * Self.arenaBytes, hashSeed: 1))
        let driver = try StoreDriver(store)
        var random = SeededRandom(seed: UInt64(hotDivisor))
        let value = [UInt8].value(1000, seed: 1)
        let count = Self.arenaBytes / 1024
        func set(_ number: Int) throws {
            let outcome = driver.turn(Self.start) { $0.set(Self.key(number), value, now: Self.start) }
            try #require(outcome == .stored)
        }
        for number in 0..<count { try set(number) }
        for _ in 0..<10 * count { try set(random.number(0...count / hotDivisor - 1)) }
        let used = (store.geometry.metadataSlabCount..<store.state.slabCount - 1).count {
            store.state.slabs[$0].sequence != 0
        }
        #expect(used <= 5 * Self.arenaBytes / store.geometry.slabBytes / 2, "\(used) slabs used")
        #expect(store.statistics.counters.evictions == 0)
        #expect(store.checkInvariants().isEmpty)
    }

    /// How far apart, in seconds, items expire.
    @Test(arguments: [1, 10, 100, 3600, 86_400, 30 * 86_400])
    func expiredItems(span: Int) throws {
        let store = try makeStore()
        let driver = try StoreDriver(store)
        var random = SeededRandom(seed: UInt64(span))
        var expiries: [Int64] = []
        for number in 0..<2000 {
            let expiry = Self.start + 1000 + Int64(random.number(0...span * 1000))
            let value = [UInt8](repeating: 1, count: random.number(0...2000))
            let outcome = driver.turn(Self.start) {
                $0.set(Self.key(number), value, expiry: expiry, now: Self.start)
            }
            try #require(outcome == .stored)
            expiries.append(expiry)
        }
        expiries.sort()
        var now = Self.start
        let end = expiries.last! + 3 * Self.interval
        let step = max(250, Int64(span) * 1000 / 200)
        while now < end {
            now += step
            // A turn does a slice of the upkeep: a server that works has more turns than this.
            for _ in 0..<60 { driver.turn(now) { _ in } }
            let due = expiries.count { $0 <= now - Self.interval }
            let items = Int(store.statistics.counters.items)
            try #require(
                items <= expiries.count - due,
                "\(now - Self.start) ms: \(items) items, \(due) were dead an interval ago")
        }
        #expect(slabsTaken(store) == 0)
        #expect(store.statistics.counters.items == 0 && store.statistics.counters.liveBlocks == 0)
        #expect(store.statistics.counters.evictions == 0)
        #expect(store.checkInvariants().isEmpty)
    }

    @Test func expiredRuns() throws {
        let store = try makeStore()
        let driver = try StoreDriver(store)
        let value = [UInt8](repeating: 1, count: 100_000)
        for number in 0..<40 {
            let expiry = Self.start + 1000 + Int64(number) * 10
            _ = driver.turn(Self.start) { $0.set(Self.key(number), value, expiry: expiry, now: Self.start) }
        }
        // Some live longer, and then shorter again.
        for number in 0..<20 {
            for expiry in [Self.start + 90_000, Self.start + 60_000, Self.start + 5000 + Int64(number)] {
                let outcome = driver.turn(Self.start) {
                    $0.touch(Self.key(number), expiry: expiry, now: Self.start)
                }
                #expect(outcome == .stored)
            }
        }
        #expect(store.checkInvariants().isEmpty)
        for tick in 1...30 { driver.turn(Self.start + 2000 + Int64(tick)) { _ in } }
        #expect(store.statistics.counters.items == 20)
        // What a touch left behind before its time is found by the hand that goes over the slab table.
        for tick in 1...30 { driver.turn(Self.start + 6000 + Int64(tick) * 250) { _ in } }
        #expect(slabsTaken(store) == 0)
    }

    @Test(arguments: [20, 2000, 100_000])
    func deletedItems(valueBytes: Int) throws {
        let store = try makeStore()
        let driver = try StoreDriver(store)
        let value = [UInt8](repeating: 1, count: valueBytes)
        let count = min(20_000, Self.arenaBytes / 2 / (valueBytes + 20))
        for number in 0..<count {
            let outcome = driver.turn(Self.start) { $0.set(Self.key(number), value, now: Self.start) }
            try #require(outcome == .stored)
        }
        for number in 0..<count {
            let outcome = driver.turn(Self.start) { $0.delete(Self.key(number), now: Self.start) }
            try #require(outcome == .stored)
        }
        for tick in 1...40 { driver.turn(Self.start + Int64(tick) * Self.interval) { _ in } }
        // The session may keep the slab that it was filling.
        #expect(slabsTaken(store) <= 1)
        #expect(store.statistics.counters.items == 0 && store.statistics.counters.liveBlocks == 0)
        #expect(store.checkInvariants().isEmpty)
    }

    @Test func endedSessionsLeaveNothing() throws {
        let store = try makeStore(sessions: 4)
        for round in 0..<300 {
            let driver = try StoreDriver(store)
            let outcome = driver.turn(Self.start) { $0.set(Self.key(round), [1, 2, 3], now: Self.start) }
            try #require(outcome == .stored)
        }
        #expect(store.statistics.counters.items == 300)
        #expect(store.checkInvariants().isEmpty)
    }

    @Test func sessionsHaveALimit() throws {
        let store = try makeStore()
        let drivers = try (0..<256).map { _ in try StoreDriver(store) }
        #expect(throws: StoreError.tooManySessions(limit: 256)) { try StoreDriver(store) }
        #expect(drivers.count == 256)
    }

    /// A flush that is due is carried out before a turn serves anything.
    @Test func dueFlushComesFirst() throws {
        let store = try makeStore()
        let driver = try StoreDriver(store)
        driver.turn(Self.start) { driver in
            _ = driver.set(Self.key(1), [1], now: Self.start)
            driver.session.flush(atMilliseconds: Self.start + 10)
        }
        #expect(driver.turn(Self.start + 9) { $0.find(Self.key(1), now: Self.start + 9) } != nil)
        #expect(driver.turn(Self.start + 10) { $0.find(Self.key(1), now: Self.start + 10) } == nil)
    }
    /// A run is on no list before it is finished: a flush that comes between must not leave it behind
    /// with nothing leading to it.
    @Test func flushWhileARunIsPublished() throws {
        let store = try makeStore()
        let driver = try StoreDriver(store)
        let other = try StoreDriver(store)
        let state = store.state
        driver.turn(Self.start) { driver in
            let key = Self.key(1)
            let shape = ItemShape(
                keyLength: key.count, valueLength: 100_000, clientFlags: 0, expiryMilliseconds: Int64.max)
            let slot = driver.session.slot
            guard let place = state.reserve(shape, now: Self.start, slot) else { return }
            key.withUnsafeBytes { _ = place.writeHeader(shape, key: $0.baseAddress!, state) }
            // As after the flush has taken the slot that was published in between.
            actAsAnotherThread { other.turn(Self.start) { $0.session.flush() } }
            place.finish(state)
        }
        driver.turn(Self.start + 1000) { _ in }
        #expect(slabsTaken(store) == 0)
        #expect(store.statistics.counters.items == 0 && store.statistics.counters.liveBlocks == 0)
        #expect(store.checkInvariants().isEmpty)
    }
}
