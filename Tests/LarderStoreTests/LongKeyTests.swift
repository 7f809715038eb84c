import LarderTesting
import Testing

@testable import LarderStore

/// Keys whose length does not fit the first eight bytes of an item, beside those whose length does.
@Suite struct LongKeyTests {
    private static let now: Int64 = 1_700_000_000_000
    static let lengths = [1, 8, 250, 251, 254, 255, 256, 257, 511, 512, 2048, 65_534, 65_535]

    /// A key whose bytes depend on `seed` at its beginning, in its middle and at its end. None is a part of another one
    /// with another seed below 8.
    static func key(_ length: Int, _ seed: UInt8 = 0) -> [UInt8] {
        (0..<length).map { UInt8(truncatingIfNeeded: $0 &* (7 &+ 2 &* Int(seed)) &+ $0 >> 8 &+ Int(seed)) }
    }

    private func driver(_ bytes: Int = 8 << 20, slabBytes: Int? = nil, evicts: Bool = true) throws -> StoreDriver {
        try StoreDriver(
            Store(StoreConfiguration(memoryBytes: bytes, slabBytes: slabBytes, evicts: evicts, hashSeed: 3)))
    }

    @Test(arguments: [nil, 1024, 4096])
    func everyLength(slabBytes: Int?) throws {
        let driver = try driver(slabBytes: slabBytes)
        let now = Self.now
        driver.turn(now) { driver in
            for length in Self.lengths {
                let value = [UInt8].value(length % 1000, seed: UInt64(length))
                let outcome = driver.store(.set, Self.key(length), value, flags: 7, expiry: now + 5000, now: now)
                    .outcome
                #expect(outcome == .stored, "\(length)")
            }
            for length in Self.lengths {
                let found = driver.find(Self.key(length), now: now)
                #expect(found?.value == .value(length % 1000, seed: UInt64(length)), "\(length)")
                #expect(found?.clientFlags == 7 && found?.expiry == now + 5000, "\(length)")
                #expect(driver.find(Self.key(length, 1), now: now) == nil, "\(length)")
                #expect(driver.find(Self.key(length), now: now + 5000) == nil, "\(length)")
            }
        }
        #expect(driver.whole.checkInvariants() == [])
        driver.turn(now) { driver in
            for length in Self.lengths {
                let key = Self.key(length)
                #expect(driver.store(.append, key, [1, 2], now: now).outcome == .stored)
                #expect(driver.store(.add, key, [3], now: now).outcome == .notStored)
                #expect(driver.touch(key, expiry: now + 9_000_000, now: now) == .stored)
                #expect(driver.find(key, now: now + 6000)?.value.suffix(2) == [1, 2])
                #expect(driver.delete(key, now: now) == .stored && driver.find(key, now: now) == nil)
            }
        }
        #expect(driver.whole.checkInvariants() == [])
        #expect(driver.statistics.counters.items == 0 && driver.statistics.counters.liveBlocks == 0)
    }

    /// A key may begin as another one, and have its length in the lower eight bits.
    @Test func keysThatAreAlike() throws {
        let driver = try driver()
        let lengths = [1, 2, 255, 256, 257, 258, 511, 512, 513, 514, 65_535]
        let longest = Self.key(65_535)
        var keys = lengths.map { Array(longest[..<$0]) }
        for length in [256, 300, 2048] {
            for place in [0, 7, 8, length / 2, length - 9, length - 8, length - 1] {
                var key = Self.key(length, 9)
                key[place] ^= 0x80
                keys.append(key)
            }
        }
        driver.turn(Self.now) { driver in
            for (number, key) in keys.enumerated() {
                let outcome = driver.set(key, [UInt8](key: "\(number)"), now: Self.now)
                #expect(outcome == .stored)
            }
            for (number, key) in keys.enumerated() {
                #expect(driver.find(key, now: Self.now)?.value == [UInt8](key: "\(number)"), "key \(number)")
            }
        }
        #expect(driver.whole.checkInvariants() == [])
    }

    /// Keys in one bucket, all with the same tag, so that the lookups compare each with the others.
    @Test func keysThatMeet() throws {
        let store = try Store(StoreConfiguration(memoryBytes: 64 << 10, slabBytes: 1024, hashSeed: 1))
        let driver = try StoreDriver(store)
        let all = (0..<400_000).lazy.map { number in
            [UInt8](key: "\(number)") + [UInt8](repeating: 0x78, count: [250, 251, 5, 505][number % 4])
        }
        let first = driver.withHashed(all[0]) { $0.hash }
        let meeting = all.filter { key in
            let hash = driver.withHashed(key) { $0.hash }
            return KeyHash.tag(hash) == KeyHash.tag(first) && hash & 63 == first & 63
        }
        let keys = Array(meeting.prefix(10))
        #expect(keys.count == 10)
        driver.turn(Self.now) { driver in
            for (number, key) in keys.enumerated() {
                #expect(driver.set(key, [UInt8(number)], now: Self.now) == .stored)
            }
            for (number, key) in keys.enumerated() {
                #expect(driver.find(key, now: Self.now)?.value == [UInt8(number)])
                #expect(driver.store(.append, key, [9], now: Self.now).outcome == .stored)
            }
            for (number, key) in keys.enumerated() {
                #expect(driver.find(key, now: Self.now)?.value == [UInt8(number), 9])
                #expect(driver.delete(key, now: Self.now) == .stored)
                #expect(driver.find(key, now: Self.now) == nil)
            }
        }
    }

    /// A key of no bytes has the byte that stands for a long key in the place of its length.
    @Test func anEmptyKeyIsNoLongKey() throws {
        let store = try Store(StoreConfiguration(memoryBytes: 64 << 10, slabBytes: 1024, hashSeed: 1))
        let driver = try StoreDriver(store)
        var nothing: UInt8 = 0
        withUnsafePointer(to: &nothing) { start in
            let empty = driver.session.hashed(start, length: 0)
            // A key that the lookup meets.
            let begin = Self.key(300)
            let key = (0..<400_000).lazy.map { begin + [UInt8](key: "\($0)") }.first { key in
                let hash = driver.withHashed(key) { $0.hash }
                return KeyHash.tag(hash) == KeyHash.tag(empty.hash) && hash & 63 == empty.hash & 63
            }
            driver.turn(Self.now) { driver in
                #expect(driver.set(key ?? [], [1], now: Self.now) == .stored)
                let found = driver.session.find(empty, now: Self.now) != nil
                #expect(!found)
            }
        }
    }

    @Test func aLongerKeyIsRefused() throws {
        let driver = try driver(slabBytes: 1024)
        driver.turn(Self.now) { driver in
            for mode in [WriteMode.set, .add, .replace, .append, .compareAndSwap] {
                let outcome = driver.store(mode, Self.key(65_536), [1], now: Self.now).outcome
                #expect(outcome == .tooLarge, "\(mode)")
            }
            #expect(driver.find(Self.key(65_536), now: Self.now) == nil)
        }
        #expect(driver.statistics.counters.items == 0 && driver.whole.checkInvariants() == [])
        let one = try OneSession(driver.whole)
        #expect(one.set(String(repeating: "k", count: 65_536), to: [1], now: Self.now) == .notStored)
        #expect(one.set(String(repeating: "k", count: 65_535), to: [1], now: Self.now) == .stored)
        #expect(one.value(of: String(repeating: "k", count: 65_535), now: Self.now) == [1])
    }

    /// An incoming value is made for a key's length.
    @Test(arguments: [10, 255, 256, 2048])
    func largeValuesLand(keyLength: Int) throws {
        let driver = try driver(slabBytes: 4096)
        let value = [UInt8].value(20_000, seed: 4)
        driver.turn(Self.now) { driver in
            guard let incoming = driver.receive(keyLength, value, now: Self.now) else {
                Issue.record("there is no place")
                return
            }
            let key = Self.key(keyLength)
            #expect(driver.store(incoming, .set, key, valueLength: value.count, now: Self.now).outcome == .stored)
            #expect(driver.find(key, now: Self.now)?.value == value)
        }
        #expect(driver.whole.checkInvariants() == [])
    }

    /// Long and short keys take each other's place, in slabs that are emptied again and again.
    @Test(arguments: [1024, 4096])
    func takeTurnsInAFullStore(slabBytes: Int) throws {
        let driver = try driver(96 * slabBytes, slabBytes: slabBytes)
        var random = SeededRandom(seed: 17)
        var evicted: Int64 = 0
        for round in 0..<6 {
            let isLong = round % 2 == 0
            for number in 0..<1500 {
                let text = [UInt8](key: "\(number)")
                let key = isLong ? Self.key(random.once(in: 9) ? 1500 : 300) + text : text
                driver.turn(Self.now) { driver in
                    let value = [UInt8].value(number % 60, seed: UInt64(number))
                    #expect(driver.set(key, value, now: Self.now) == .stored)
                    #expect(driver.find(key, now: Self.now)?.value == value)
                }
            }
            #expect(driver.whole.checkInvariants() == [])
            #expect(driver.statistics.counters.evictions > evicted)
            evicted = driver.statistics.counters.evictions
        }
    }

    /// Nothing may be dropped, so the items of slabs with holes are moved together.
    @Test func areMoved() throws {
        var limits = StoreLimits(
            itemsMax: 4000, blockBytes: 64, blocksMax: 4000, isBitmap: false, valueBytesMax: 64, keyBytesMax: 420)
        limits.notesLastModified = true
        let driver = try StoreDriver(LimitedRun.store(limits, seed: 4))
        func key(_ number: Int) -> [UInt8] { Self.key(number % 3 == 0 ? 400 : 20) + [UInt8](key: "\(number)") }
        for number in 0..<4000 {
            driver.turn(Self.now) { #expect($0.set(key(number), [UInt8(number % 200)], now: Self.now) == .stored) }
        }
        for number in 0..<4000 where number % 9 != 0 {
            driver.turn(Self.now) { #expect($0.delete(key(number), now: Self.now) == .stored) }
        }
        for number in 4000..<7000 {
            driver.turn(Self.now) { #expect($0.set(key(number), [2], now: Self.now) == .stored) }
        }
        #expect(driver.statistics.counters.itemsMoved > 0)
        driver.turn(Self.now) { driver in
            for number in stride(from: 0, to: 4000, by: 9) {
                #expect(driver.find(key(number), now: Self.now)?.value == [UInt8(number % 200)])
            }
        }
        #expect(driver.whole.checkInvariants() == [])
    }

    @Test func limitsHold() throws {
        let limits = StoreLimits(
            itemsMax: 3, blockBytes: 64, blocksMax: 3, isBitmap: false, valueBytesMax: 64, keyBytesMax: 300)
        let driver = try StoreDriver(LimitedRun.store(limits, seed: 4))
        driver.turn(Self.now) { driver in
            #expect(driver.set(Self.key(300), [1], now: Self.now) == .stored)
            #expect(driver.set(Self.key(301), [1], now: Self.now) == .tooLarge)
            #expect(driver.find(Self.key(300), now: Self.now)?.value == [1])
        }
    }

    /// A walk over the index gives each long key once.
    @Test func areWalkedOver() throws {
        let driver = try driver()
        let keys = (0..<500).map { Self.key(240 + $0, UInt8($0 % 250)) }
        driver.turn(Self.now) { driver in
            for key in keys { #expect(driver.set(key, [1], now: Self.now) == .stored) }
            withUnsafeTemporaryAllocation(of: Item.self, capacity: ItemWalk.itemsMax) { items in
                var walk = ItemWalk()
                var found: [[UInt8]] = []
                while !walk.isComplete, let start = items.baseAddress {
                    let count = driver.session.nextItems(&walk, into: start)
                    found += (0..<count).map { items[$0].keyBytes }
                }
                #expect(found.count == keys.count && Set(found) == Set(keys))
            }
        }
    }
}
