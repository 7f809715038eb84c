import Glibc
import LarderTesting
import Testing

@testable import LarderStore

/// A full store: what is put in fits, what is newest is there, and what need not go stays.
@Suite struct FillTests {
    private static let now: Int64 = 1_700_000_000_000
    private static let arenaBytes = 64 << 20

    private static func key(_ number: Int) -> [UInt8] { Array("key-\(number)".utf8) }

    @Test(arguments: [10, 100, 1000, 10_000, 50_000, 100_000, 200_000, 900_000])
    func threeTimesTheArena(valueBytes: Int) throws {
        // Small items take long in a debug build.
        let arenaBytes = valueBytes <= 100 ? Self.arenaBytes / 8 : Self.arenaBytes
        let store = try Store(StoreConfiguration(memoryBytes: arenaBytes, hashSeed: 1))
        let driver = try StoreDriver(store)
        let count = 3 * arenaBytes / (valueBytes + 20)
        let value = [UInt8].value(valueBytes, seed: 1)
        for number in 0..<count {
            let outcome = driver.turn(Self.now) { $0.set(Self.key(number), value, now: Self.now) }
            try #require(outcome == .stored, "item \(number) of \(count)")
        }
        let newest = max(1, arenaBytes / 8 / (valueBytes + 20))
        for number in count - newest..<count {
            let found = driver.turn(Self.now) { $0.find(Self.key(number), now: Self.now) }
            try #require(found?.value == value, "item \(number) of \(count)")
        }
        #expect(store.checkInvariants().isEmpty)
        // Much of the arena is in use.
        #expect(store.statistics.liveBytes > arenaBytes * 6 / 10)
    }

    @Test(arguments: 1...2)
    func threeTimesTheArenaOfMixedSizes(seed: Int) throws {
        let store = try Store(StoreConfiguration(memoryBytes: Self.arenaBytes, hashSeed: 1))
        let driver = try StoreDriver(store)
        var random = SeededRandom(seed: UInt64(seed))
        var bytes = 0
        var newest: [(key: [UInt8], value: [UInt8])] = []
        var number = 0
        while bytes < 3 * Self.arenaBytes {
            let length = Self.mixedLength(&random)
            let value = [UInt8].value(length, seed: UInt64(number))
            let key = Self.key(number)
            let outcome = driver.turn(Self.now) { $0.set(key, value, now: Self.now) }
            try #require(outcome == .stored, "seed \(seed), item \(number) of \(length) bytes")
            bytes += length
            number += 1
            newest.append((key, value))
            if newest.count > 40 { newest.removeFirst() }
            for new in newest where number % 16 == 0 {
                let found = driver.turn(Self.now) { $0.find(new.key, now: Self.now) }
                try #require(found?.value == new.value, "seed \(seed), item \(number)")
            }
        }
        #expect(store.checkInvariants().isEmpty)
    }

    /// Large items come and go while the index takes slab after slab from the arena's end: where most of
    /// the arena is free, that costs nobody an item, wherever the search for adjacent slabs has come to.
    @Test(arguments: [1040, 1500, 2050, 4096])
    func theIndexGrowsAroundLargeItems(slabCount: Int) throws {
        let store = try Store(StoreConfiguration(memoryBytes: slabCount << 10, slabBytes: 1 << 10, hashSeed: 1))
        let driver = try StoreDriver(store)
        var random = SeededRandom(seed: UInt64(slabCount))
        var large: [Int: [UInt8]] = [:]
        for number in 0..<slabCount * 2 {
            let isStored = driver.turn(Self.now) { $0.set(Self.key(number), [1], now: Self.now) }
            try #require(isStored == .stored)
            let place = -1 - random.number(0...30)
            let value = [UInt8].value(random.number(1100...5000), seed: UInt64(number))
            let outcome = driver.turn(Self.now) { $0.set(Self.key(place), value, now: Self.now) }
            try #require(outcome == .stored)
            large[place] = value
            guard number % 16 == 0 else { continue }
            for (place, value) in large {
                let found = driver.turn(Self.now) { $0.find(Self.key(place), now: Self.now) }
                let isWhole = found?.value == value
                try #require(isWhole, "large item \(place) after \(number) small ones")
            }
        }
        #expect(store.statistics.counters.evictions == 0)
        #expect(store.checkInvariants().isEmpty)
    }

    /// Values from 100 B to 1 MB come, go and change their size: nothing is refused, and of what was stored
    /// last and not deleted, 30 MB are there at any time.
    @Test(arguments: 1...3)
    func churnOfMixedSizes(seed: Int) throws {
        let store = try Store(StoreConfiguration(memoryBytes: Self.arenaBytes, hashSeed: 1))
        let driver = try StoreDriver(store)
        var random = SeededRandom(seed: UInt64(seed))
        let bytes = [UInt8].value((1 << 20) + 4096, seed: UInt64(seed))
        // By the number of its writing: a key, and where in `bytes` its value is.
        var writings: [(key: Int, start: Int, length: Int)] = []
        var lastWriting: [Int: Int] = [:]
        var keyCount = 0
        var written = 0
        var checked = 0
        // The mix shifts as well: mostly large values, mostly small ones, or both alike.
        var sizesMin = 100.0
        while written < 5 * Self.arenaBytes {
            if random.once(in: 200) { sizesMin = [100.0, 100, 2000, 100_000][random.number(0...3)] }
            let recent = max(0, keyCount - 300)
            if keyCount > 0, random.once(in: 6) {
                let key = random.number(recent...keyCount - 1)
                let outcome = driver.turn(Self.now) { $0.delete(Self.key(key), now: Self.now) }
                let expected = lastWriting.removeValue(forKey: key) != nil
                try #require(outcome == .stored || !expected || written > Self.arenaBytes, "seed \(seed), key \(key)")
                continue
            }
            let key = keyCount > 0 && random.once(in: 4) ? random.number(recent...keyCount - 1) : keyCount
            keyCount = max(keyCount, key + 1)
            let length = Int(sizesMin * pow(Double(1 << 20) * 0.99 / sizesMin, Double(random.number(0...1000)) / 1000))
            let start = random.number(0...4095)
            let outcome = driver.turn(Self.now) {
                $0.set(Self.key(key), Array(bytes[start..<start + length]), now: Self.now)
            }
            try #require(outcome == .stored, "seed \(seed), \(length) bytes after \(written)")
            lastWriting[key] = writings.count
            writings.append((key, start, length))
            written += length
            guard written - checked > 10 << 20 else { continue }
            checked = written
            var newest = 0
            for (number, writing) in writings.enumerated().reversed() where lastWriting[writing.key] == number {
                newest += writing.length + 48
                if newest > 30 << 20 { break }
                let found = driver.turn(Self.now) { $0.find(Self.key(writing.key), now: Self.now)?.value }
                // Byte by byte it would take a debug build minutes.
                let isWhole =
                    found.map { found in
                        found.count == writing.length
                            && bytes.withUnsafeBytes {
                                memcmp($0.baseAddress! + writing.start, found, found.count) == 0
                            }
                    } ?? false
                try #require(isWhole, "seed \(seed), \(writing.length) bytes, the newest but \(newest) of \(written)")
            }
        }
        #expect(store.checkInvariants().isEmpty)
    }

    /// From 10 bytes to 900 KB, as many of one magnitude as of another.
    private static func mixedLength(_ random: inout SeededRandom) -> Int {
        let magnitude = random.number(0...4)
        var top = 90
        for _ in 0..<magnitude { top *= 10 }
        return random.number(10...max(11, top))
    }

    @Test(arguments: [50, 3000, 60_000, 300_000])
    func nothingIsLostWhenNothingMayGo(valueBytes: Int) throws {
        let store = try Store(
            StoreConfiguration(memoryBytes: 8 << 20, evicts: false, hashSeed: 1))
        let driver = try StoreDriver(store)
        let value = [UInt8].value(valueBytes, seed: 1)
        var count = 0
        while driver.turn(Self.now, { $0.set(Self.key(count), value, now: Self.now) }) == .stored {
            count += 1
        }
        #expect(count * (valueBytes + 20) > (8 << 20) * 6 / 10, "\(count) items")
        for _ in 0..<20 {
            let outcome = driver.turn(Self.now) { $0.set(Self.key(count), value, now: Self.now) }
            try #require(outcome == .noMemory)
        }
        for number in 0..<count {
            let found = driver.turn(Self.now) { $0.find(Self.key(number), now: Self.now) }
            try #require(found?.value == value, "item \(number) of \(count)")
        }
        // Room that is made can be used.
        for number in 0..<count / 2 {
            _ = driver.turn(Self.now) { $0.delete(Self.key(number), now: Self.now) }
        }
        for number in 0..<count / 3 {
            let outcome = driver.turn(Self.now) { $0.set(Self.key(number), value, now: Self.now) }
            try #require(outcome == .stored, "item \(number) of \(count)")
        }
        #expect(store.statistics.counters.evictions == 0)
        #expect(store.checkInvariants().isEmpty)
    }

    /// Live data of a share of the arena, overwritten in random order: holes are closed in time.
    @Test(arguments: [60, 80], [100, 600, 1500])
    func overwritingEvictsNothing(percent: Int, valueBytes: Int) throws {
        let arenaBytes = 8 << 20
        let store = try Store(StoreConfiguration(memoryBytes: arenaBytes, hashSeed: 1))
        let driver = try StoreDriver(store)
        var random = SeededRandom(seed: UInt64(percent + valueBytes))
        let value = [UInt8].value(valueBytes * 3 / 2, seed: 1)
        let count = arenaBytes * percent / 100 / (valueBytes + 24)
        var written = 0
        for number in 0... {
            let key = Self.key(number < count ? number : random.number(0...count - 1))
            let length = random.number(valueBytes / 2...valueBytes * 3 / 2)
            let bytes = Array(value[..<length])
            let outcome = driver.turn(Self.now) { $0.set(key, bytes, now: Self.now) }
            try #require(outcome == .stored)
            written += length + 24
            if written > 20 * arenaBytes { break }
        }
        let statistics = store.statistics
        #expect(statistics.counters.evictions == 0)
        #expect(statistics.counters.items == count)
        #expect(store.checkInvariants().isEmpty)
        print(
            "live \(percent) %, values around \(valueBytes): "
                + "\(Double(statistics.counters.itemsMoved) / Double(statistics.counters.itemsStored)) moves a store"
        )
    }
}

extension FillTests {
    /// Values of another size from one moment to the next: what is stored is there, and most of the arena is
    /// the newest's soon, though all of it was asked for.
    @Test(arguments: [[100, 10_000, 200_000], [200_000, 100, 10_000], [10_000, 200_000, 100]])
    func sizesShift(sizes: [Int]) throws {
        let arenaBytes = 16 << 20
        let store = try Store(StoreConfiguration(memoryBytes: arenaBytes, hashSeed: 1))
        let driver = try StoreDriver(store)
        let now: Int64 = 1_700_000_000_000
        var number = 0
        for valueBytes in sizes {
            let value = [UInt8].value(valueBytes, seed: 1)
            let first = number
            for check in 1...20 {
                for _ in 0..<max(1, arenaBytes / 16 / valueBytes) {
                    let outcome = driver.turn(now) { $0.set(Array("key-\(number)".utf8), value, now: now) }
                    try #require(outcome == .stored)
                    number += 1
                }
                // Not quite half of the arena, keys and headers counted.
                let newest = min(number - first, arenaBytes * 45 / 100 / (valueBytes + 40))
                for asked in number - newest..<number {
                    let found = driver.turn(now) { $0.find(Array("key-\(asked)".utf8), now: now, marks: true) }
                    try #require(found != nil, "\(valueBytes) bytes, check \(check): \(number - asked) of \(newest)")
                }
            }
        }
        #expect(store.checkInvariants().isEmpty)
    }
}
