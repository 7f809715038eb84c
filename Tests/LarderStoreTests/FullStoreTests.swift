import LarderTesting
import Testing

@testable import LarderStore

/// Stores that are kept at 99 % of what they hold: nothing is lost, and nothing is refused that fits.
@Suite struct FullStoreTests {
    private static let now: Int64 = 1_700_000_000_000

    /// What a store should hold, with a list to draw keys from.
    private struct Contents {
        private(set) var values: [Int: [UInt8]] = [:]
        private var keys: [Int] = []
        private var places: [Int: Int] = [:]
        private(set) var nextKey = 0

        var count: Int { keys.count }

        mutating func newKey() -> Int {
            nextKey += 1
            return nextKey
        }
        func any(_ random: inout SeededRandom) -> Int { keys[random.number(0...keys.count - 1)] }

        mutating func put(_ key: Int, _ value: [UInt8]) {
            if values.updateValue(value, forKey: key) == nil {
                places[key] = keys.count
                keys.append(key)
            }
        }
        mutating func remove(_ key: Int) {
            guard let place = places.removeValue(forKey: key), let last = keys.popLast() else { return }
            values[key] = nil
            guard last != key else { return }
            keys[place] = last
            places[last] = place
        }
    }

    private static func name(_ key: Int) -> [UInt8] { [UInt8](key: "key-\(key)") }

    private static func set(_ driver: StoreDriver, _ key: Int, _ value: [UInt8]) -> StoreOutcome {
        driver.turn(now) { $0.set(name(key), value, now: now) }
    }

    /// What is wrong with a store that should hold just this, or nil.
    private static func difference(_ store: Store, _ driver: StoreDriver, _ contents: Contents) -> String? {
        if let broken = store.checkInvariants().first { return broken }
        if store.statistics.counters.items != contents.count {
            return "\(store.statistics.counters.items) items, not \(contents.count)"
        }
        for (key, value) in contents.values {
            let found = driver.turn(now) { $0.find(name(key), now: now)?.value }
            if found != value { return "key \(key) is lost" }
        }
        return nil
    }

    /// One block an item: `items=N` holds N, whatever came and went.
    @Test(arguments: [1, 2] as [UInt64])
    func singleBlock(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let limits = StoreLimits(itemsMax: 1000, blockBytes: 256, blocksMax: 1000, isBitmap: false, valueBytesMax: 256)
        let store = try LimitedRun.store(limits, seed: seed)
        let driver = try StoreDriver(store)
        var contents = Contents()
        for step in 0..<30_000 {
            let isAdding = contents.count < 990 || contents.count < 1000 && random.once(in: 2)
            if isAdding || random.once(in: 3) {
                let key = isAdding ? contents.newKey() : contents.any(&random)
                let value = [UInt8].value(random.number(0...256), seed: UInt64(step))
                try #require(
                    Self.set(driver, key, value) == .stored, "seed \(seed), step \(step), \(contents.count) items")
                contents.put(key, value)
            } else if contents.count == 1000, random.once(in: 2) {
                try #require(Self.set(driver, contents.newKey(), [1]) == .noMemory, "seed \(seed), step \(step)")
            } else {
                let key = contents.any(&random)
                let outcome = driver.turn(Self.now) { $0.delete(Self.name(key), now: Self.now) }
                try #require(outcome == .stored, "seed \(seed), step \(step)")
                contents.remove(key)
            }
            guard step % 1000 == 999 else { continue }
            let difference = Self.difference(store, driver, contents)
            try #require(difference == nil, "seed \(seed), step \(step)")
        }
    }

    /// As many blocks as a value needs: whatever is left of `blocks` can be had in one piece.
    @Test(arguments: [1, 2] as [UInt64])
    func bitmap(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let blocksMax = 4000
        let limits = StoreLimits(
            itemsMax: blocksMax, blockBytes: 64, blocksMax: blocksMax, isBitmap: true, valueBytesMax: 64 * blocksMax)
        let store = try LimitedRun.store(limits, seed: seed)
        let driver = try StoreDriver(store)
        var contents = Contents()
        var taken = 0
        func blocks(_ value: [UInt8]) -> Int { (value.count + 63) / 64 }
        for step in 0..<20_000 {
            let left = blocksMax - taken
            if taken < blocksMax * 99 / 100 || left > 0 && random.once(in: 2) {
                // Some are larger than a slab, which has 4 KB; now and then all that is left.
                let most = random.once(in: 10) ? left : min(left, random.once(in: 20) ? 300 : 8)
                let value = [UInt8].value(random.number(1...most * 64), seed: UInt64(step))
                let key = contents.newKey()
                try #require(
                    Self.set(driver, key, value) == .stored,
                    "seed \(seed), step \(step), \(value.count) bytes, \(left) left")
                contents.put(key, value)
                taken += blocks(value)
            } else {
                let tooMuch = [UInt8](repeating: 1, count: left * 64 + 1)
                if random.once(in: 8) {
                    try #require(
                        Self.set(driver, contents.newKey(), tooMuch) == .noMemory, "seed \(seed), step \(step)")
                }
                let key = contents.any(&random)
                taken -= blocks(contents.values[key] ?? [])
                let outcome = driver.turn(Self.now) { $0.delete(Self.name(key), now: Self.now) }
                try #require(outcome == .stored, "seed \(seed), step \(step)")
                contents.remove(key)
            }
            guard step % 1000 == 999 else { continue }
            let difference = Self.difference(store, driver, contents)
            try #require(difference == nil, "seed \(seed), step \(step)")
        }
    }

    /// `-M`: what was held once is held again, in any order of coming and going. Items of a quarter of a slab, which
    /// has 16 KB here, leave more or less of each slab's end: how many fit depends on their order.
    @Test(arguments: [(40...40, 99), (400...400, 99), (20...700, 99), (2000...4000, 97)])
    func nothingMayGo(lengths: ClosedRange<Int>, percent: Int) throws {
        let seed = UInt64(lengths.upperBound)
        var random = SeededRandom(seed: seed)
        let store = try Store(StoreConfiguration(memoryBytes: 8 << 20, evicts: false, hashSeed: seed))
        let driver = try StoreDriver(store)
        var contents = Contents()
        while true {
            let key = contents.newKey()
            let value = [UInt8].value(random.number(lengths), seed: UInt64(key))
            guard Self.set(driver, key, value) == .stored else { break }
            contents.put(key, value)
        }
        let most = store.statistics.liveBytes
        func delete() throws {
            let key = contents.any(&random)
            let outcome = driver.turn(Self.now) { $0.delete(Self.name(key), now: Self.now) }
            try #require(outcome == .stored, "seed \(seed)")
            contents.remove(key)
        }
        for step in 0..<8000 {
            while store.statistics.liveBytes + lengths.upperBound + 64 > most * percent / 100 { try delete() }
            let key = random.once(in: 3) ? contents.any(&random) : contents.newKey()
            let value = [UInt8].value(random.number(lengths), seed: UInt64(step))
            try #require(Self.set(driver, key, value) == .stored, "\(lengths), step \(step)")
            contents.put(key, value)
            guard step % 4000 == 3999 else { continue }
            let difference = Self.difference(store, driver, contents)
            try #require(difference == nil, "seed \(seed), step \(step)")
        }
        let counters = store.statistics.counters
        print("-M, \(lengths): moved \(Double(counters.itemsMoved) / Double(counters.itemsStored)) a store")
        #expect(counters.evictions == 0)
    }
}
