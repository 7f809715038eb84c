import LarderTesting
import Testing

@testable import LarderStore

/// What eviction keeps.
@Suite struct EvictionTests {
    private static let now: Int64 = 1_700_000_000_000
    private static let arenaBytes = 8 << 20

    private static func key(_ number: Int) -> [UInt8] { Array("key-\(number)".utf8) }

    /// Items that are asked for now and then are not pushed out by four arenas of others that are not.
    @Test(arguments: [100, 400, 4000])
    func aScanLeavesWhatIsInUse(valueBytes: Int) throws {
        let store = try Store(StoreConfiguration(memoryBytes: Self.arenaBytes, hashSeed: 1))
        let driver = try StoreDriver(store)
        let value = [UInt8].value(valueBytes, seed: 1)
        // What is in use is a third of the arena, asked for once while half an arena's worth passes through.
        let usedCount = Self.arenaBytes / 3 / (valueBytes + 24)
        for number in 0..<usedCount {
            _ = driver.turn(Self.now) { $0.set(Self.key(number), value, now: Self.now) }
        }
        var misses = 0
        var asked = 0
        for number in usedCount..<usedCount * 13 {
            _ = driver.turn(Self.now) { $0.set(Self.key(number), value, now: Self.now) }
            for use in 2 * number..<2 * number + 2 where use % 3 == 0 {
                asked += 1
                let key = Self.key(asked % usedCount)
                driver.turn(Self.now) { driver in
                    guard driver.find(key, now: Self.now, marks: true) == nil else { return }
                    misses += 1
                    _ = driver.set(key, value, now: Self.now)
                }
            }
        }
        #expect(misses * 50 < asked, "\(misses) of \(asked)")
        #expect(store.checkInvariants().isEmpty)
    }

    /// Values larger than a slab, a quarter of the arena of which is in use: each is asked for once in so many stores of
    /// others that a quarter of the arena passes through, and none of them goes.
    @Test(arguments: [40_000, 140_000, 200_000, 600_000])
    func largeValuesInUseStay(valueBytes: Int) throws {
        let store = try Store(StoreConfiguration(memoryBytes: 2 * Self.arenaBytes, hashSeed: 1))
        let slabBytes = store.state.blocksPerSlab << Int(store.state.blockShift)
        try #require(valueBytes > slabBytes)
        let driver = try StoreDriver(store)
        let value = [UInt8].value(valueBytes, seed: 1)
        let usedCount = store.state.slabCount / 4 / ((valueBytes + slabBytes) / slabBytes)
        for number in 0..<usedCount {
            _ = driver.turn(Self.now) { $0.set(Self.key(number), value, now: Self.now) }
        }
        for round in 0..<1000 {
            let used = Self.key(round % usedCount)
            let found = driver.turn(Self.now) { $0.find(used, now: Self.now, marks: true) }
            try #require(found != nil, "round \(round), \(usedCount) in use")
            let outcome = driver.turn(Self.now) { $0.set(Self.key(usedCount + round), value, now: Self.now) }
            try #require(outcome == .stored)
        }
        #expect(store.checkInvariants().isEmpty)
    }

    /// As many keys of 40 bytes as of 4,000, asked for alike: more of the small ones fit.
    @Test func sizeAwareFindsMore() throws {
        var hits: [Bool: Int] = [:]
        for isSizeAware in [false, true] {
            let store = try Store(
                StoreConfiguration(memoryBytes: Self.arenaBytes, isSizeAware: isSizeAware, hashSeed: 1))
            let driver = try StoreDriver(store)
            var random = SeededRandom(seed: 1)
            let small = [UInt8].value(40, seed: 1)
            let large = [UInt8].value(4000, seed: 2)
            for _ in 0..<60_000 {
                let number = random.number(0...7999)
                let key = Self.key(number)
                driver.turn(Self.now) { driver in
                    if driver.find(key, now: Self.now, marks: true) != nil {
                        hits[isSizeAware, default: 0] += 1
                    } else {
                        _ = driver.set(key, number % 2 == 0 ? small : large, now: Self.now)
                    }
                }
            }
            #expect(store.checkInvariants().isEmpty)
        }
        let without = try #require(hits[false])
        let with = try #require(hits[true])
        #expect(with > without * 115 / 100, "\(with) hits instead of \(without)")
    }

    /// A hit changes an item's state byte a few times, and then no more.
    @Test(arguments: [(false, 3), (true, 15)])
    func hitsAreCountedUpToACap(isSizeAware: Bool, cap: UInt8) throws {
        let store = try Store(
            StoreConfiguration(memoryBytes: Self.arenaBytes, isSizeAware: isSizeAware, hashSeed: 1))
        let driver = try StoreDriver(store)
        let bytes = Self.key(1)
        _ = driver.turn(Self.now) { $0.set(bytes, [1, 2, 3], now: Self.now) }
        for number in 1...40 {
            driver.turn(Self.now) { driver in
                _ = driver.find(bytes, now: Self.now, marks: true)
                let frequency = bytes.withUnsafeBytes { key in
                    driver.session.find(
                        driver.session.hashed(key.baseAddress!, length: key.count), now: Self.now)?.frequency
                }
                #expect(frequency == min(cap, UInt8(number)))
            }
        }
    }
}

extension EvictionTests {
    /// As many keys that come back as keys that never do: a size-aware store tells them apart when they have
    /// come back once, though none is asked for again before it is dropped for the first time.
    @Test func sizeAwareKnowsWhoCameBack() throws {
        let now: Int64 = 1_700_000_000_000
        let store = try Store(StoreConfiguration(memoryBytes: 1 << 20, isSizeAware: true, hashSeed: 1))
        let driver = try StoreDriver(store)
        let value = [UInt8].value(400, seed: 1)
        // Half of the arena, asked for in turn while two arenas of others pass through.
        let usedCount = (1 << 20) / 2 / 430
        var hits = 0
        for round in 0..<40 * usedCount {
            driver.turn(now) { driver in
                let key = [UInt8](key: "used-\(round % usedCount)")
                if driver.find(key, now: now, marks: true) != nil {
                    hits += 1
                } else {
                    _ = driver.set(key, value, now: now)
                }
                for wonder in 0..<4 {
                    _ = driver.set([UInt8](key: "once-\(4 * round + wonder)"), value, now: now)
                }
            }
        }
        print("came back: \(hits) of \(40 * usedCount)")
        #expect(hits > 40 * usedCount * 8 / 10, "\(hits) of \(40 * usedCount)")
        #expect(store.checkInvariants().isEmpty)
    }

    @Test func droppedKeysAreRemembered() throws {
        let keys = try #require(DroppedKeys(arenaBytes: 2 << 20))
        defer { keys.deallocate() }
        var random = SeededRandom(seed: 1)
        let hashes = (0..<1000).map { _ in random.next() }
        #expect(hashes.allSatisfy { !keys.contains($0) })
        for hash in hashes {
            keys.note(hash)
            #expect(keys.contains(hash))
        }
        // 8,192 places for 1,000 keys.
        #expect(hashes.count { keys.contains($0) } > 900)
        #expect((0..<10_000).count { _ in keys.contains(random.next()) } < 50)
        // Many more overwrite them.
        for _ in 0..<100_000 { keys.note(random.next()) }
        #expect(hashes.count { keys.contains($0) } < 50)
    }
}
