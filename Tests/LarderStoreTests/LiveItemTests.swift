import LarderTesting
import Testing

@testable import LarderStore

/// Items that are overwritten leave holes. While they do, no item that lives is dropped.
@Suite struct LiveItemTests {
    private static let start: Int64 = 1_700_000_000_000
    private static let keyBytes = 20

    enum Lifetimes {
        case unlimited, equal, mixed

        func next(_ random: inout SeededRandom) -> Int64? {
            switch self {
            case .unlimited: nil
            case .equal: 1_800_000
            case .mixed: Int64(random.number(600_000...3_600_000))
            }
        }
    }

    struct Load: CustomStringConvertible {
        var lengths: ClosedRange<Int>
        /// Keys and values, of all of the store's memory.
        var percent: Int
        var lifetimes: Lifetimes
        var sessions: Int
        var description: String { "values of \(lengths), \(percent) %, \(lifetimes), \(sessions) sessions" }
    }

    private static let loads = [
        Load(lengths: 100...100, percent: 75, lifetimes: .mixed, sessions: 4),
        Load(lengths: 300...300, percent: 82, lifetimes: .mixed, sessions: 4),
        Load(lengths: 1000...1000, percent: 84, lifetimes: .unlimited, sessions: 4),
        Load(lengths: 1000...1000, percent: 84, lifetimes: .mixed, sessions: 1),
        Load(lengths: 100...1000, percent: 84, lifetimes: .equal, sessions: 1),
        Load(lengths: 100...1000, percent: 84, lifetimes: .mixed, sessions: 4),
        Load(lengths: 4000...4000, percent: 84, lifetimes: .equal, sessions: 4),
        Load(lengths: 4000...4000, percent: 84, lifetimes: .mixed, sessions: 1),
    ]

    /// Every key is stored once, then three times as many are overwritten at random, while half an hour passes. The
    /// largest values take a quarter of a slab.
    @Test(arguments: loads)
    func noLiveItemIsDropped(load: Load) throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("live items: \(load), seed \(seed)")
        var random = SeededRandom(seed: seed)
        let store = try Store(
            StoreConfiguration(memoryBytes: 8 << 20, hashSeed: seed, sessionsExpected: load.sessions))
        let drivers = try (0..<load.sessions).map { _ in try StoreDriver(store) }
        let value = [UInt8].value(load.lengths.upperBound, seed: 1)
        let averageBytes = (load.lengths.lowerBound + load.lengths.upperBound) / 2 + Self.keyBytes
        let count = (8 << 20) * load.percent / 100 / averageBytes
        let keys = (0..<count).map { [UInt8](key: "key-" + String(1_000_000_000_000_000 + $0)) }
        var expiries = [Int64](repeating: Int64.max, count: count)
        let total = 4 * count
        var now = Self.start
        for step in 0..<total {
            now = Self.start + Int64(step) * 1_800_000 / Int64(total)
            let number = step < count ? step : random.number(0...count - 1)
            let expiry = load.lifetimes.next(&random).map { now + $0 } ?? Int64.max
            let bytes = value[..<random.number(load.lengths)]
            let outcome = drivers[step / 16 % load.sessions].turn(now) {
                $0.set(keys[number], Array(bytes), expiry: expiry, now: now)
            }
            try #require(outcome == .stored)
            expiries[number] = expiry
        }
        let missing = drivers[0].turn(now) { driver in
            (0..<count).count { expiries[$0] > now && driver.find(keys[$0], now: now) == nil }
        }
        let counters = store.statistics.counters
        #expect(missing == 0, "\(missing) of \(count) keys are missing, seed \(seed)")
        #expect(counters.evictions == 0, "seed \(seed)")
        print("live items: \(load): \(Double(counters.itemsMoved) / Double(counters.itemsStored)) moves a store")
        #expect(store.checkInvariants().isEmpty)
    }
}
