import Foundation
import LarderTesting
import Testing

@testable import LarderStore

/// Threads at the same few keys of a small arena: every value that is read is one that was stored,
/// whole, under that key.
@Suite struct ConcurrencyTests {
    private static let threads = 4
    private static let rounds =
        ProcessInfo.processInfo.environment["LARDER_THREAD_ROUNDS"].flatMap { Int($0) } ?? 5000

    /// What a case stresses.
    enum Load: CaseIterable {
        case smallValues
        /// Up to half a slab, and runs of several.
        case allSizes
        /// As `smallValues`, over many keys, so that the index grows and overflows.
        case manyKeys
        /// Nothing may be dropped.
        case withoutEviction
    }

    @Test(arguments: Load.allCases, [1024, 16 << 10])
    func everyValueReadWasStored(load: Load, slabBytes: Int) throws {
        var configuration = StoreConfiguration(
            memoryBytes: slabBytes * 96, slabBytes: slabBytes, evicts: load != .withoutEviction,
            bucketIntervalMilliseconds: 200, hashSeed: 1, sessionsExpected: Self.threads)
        // A flush takes some slices, so that others write meanwhile.
        configuration.bucketsSweptMax = 64
        let store = try Store(configuration)
        let group = DispatchGroup()
        let failures = FailureList()
        for thread in 0..<Self.threads {
            group.enter()
            Thread {
                do {
                    let driver = try StoreDriver(store)
                    driver.receivesInPlace = thread % 2 == 0
                    var worker = Worker(
                        driver: driver, load: load, slabBytes: slabBytes,
                        random: SeededRandom(seed: UInt64(thread)))
                    if let failure = worker.run(rounds: Self.rounds) {
                        failures.add("thread \(thread): \(failure)")
                    }
                } catch { failures.add("\(error)") }
                group.leave()
            }.start()
        }
        group.wait()
        #expect(failures.all.isEmpty)
        let broken = store.checkInvariants()
        #expect(broken.isEmpty)
        // Nothing is lost: with all items gone, all slabs come back.
        let driver = try StoreDriver(store)
        driver.turn(Worker.end) { $0.session.flush() }
        for tick in 1...40 { driver.turn(Worker.end + Int64(tick) * 1000) { _ in } }
        #expect(store.checkInvariants().isEmpty)
        let slabs = store.statistics.slabs
        #expect(slabs.used + slabs.limbo + slabs.open == 0)
        #expect(store.statistics.counters.items == 0 && store.statistics.counters.liveBlocks == 0)
    }

    /// Slabs that open and fill while another thread looks for adjacent ones: as long as most of the arena
    /// is free, nothing is dropped for them.
    @Test func roomForLargeItemsIsFoundAmongWhatChanges() throws {
        let slabBytes = 1 << 10
        let store = try Store(
            StoreConfiguration(
                memoryBytes: slabBytes * 512, slabBytes: slabBytes, hashSeed: 1, sessionsExpected: Self.threads))
        let group = DispatchGroup()
        let failures = FailureList()
        for thread in 0..<Self.threads {
            group.enter()
            Thread {
                do {
                    let driver = try StoreDriver(store)
                    // Half of them open a slab for every item or two, half take two slabs each.
                    let value = [UInt8](repeating: UInt8(thread), count: thread % 2 == 0 ? 600 : 1500)
                    var random = SeededRandom(seed: UInt64(thread))
                    var present = Set<Int>()
                    for round in 0..<Self.rounds * 4 {
                        let place = random.number(0...7)
                        let key = [UInt8](key: "\(thread)-\(place)")
                        let now = Worker.start + Int64(round)
                        let isWhole = driver.turn(now) { driver in
                            let isFound = driver.find(key, now: now)?.value == value
                            if round % 5 == 0 {
                                _ = driver.delete(key, now: now)
                            } else {
                                _ = driver.set(key, value, now: now)
                            }
                            return isFound
                        }
                        if isWhole != present.contains(place) { failures.add("\(thread)-\(place) in round \(round)") }
                        if round % 5 == 0 { present.remove(place) } else { present.insert(place) }
                    }
                } catch { failures.add("\(error)") }
                group.leave()
            }.start()
        }
        group.wait()
        #expect(failures.all.isEmpty)
        #expect(store.statistics.counters.evictions == 0)
        #expect(store.checkInvariants().isEmpty)
    }
}

/// What went wrong in some thread.
///
/// SAFETY: `@unchecked Sendable` because the list is only touched under its lock.
final class FailureList: @unchecked Sendable {
    private let lock = NSLock()
    private var list: [String] = []

    func add(_ failure: String) { lock.withLock { list.append(failure) } }
    var all: [String] { lock.withLock { list } }
}

/// One thread's part.
private struct Worker {
    static let start: Int64 = 1_700_000_000_000
    static let end: Int64 = start + (1 << 40)

    let driver: StoreDriver
    let load: ConcurrencyTests.Load
    let slabBytes: Int
    var random: SeededRandom
    private var now = Self.start

    init(driver: StoreDriver, load: ConcurrencyTests.Load, slabBytes: Int, random: SeededRandom) {
        self.driver = driver
        self.load = load
        self.slabBytes = slabBytes
        self.random = random
    }

    mutating func run(rounds: Int) -> String? {
        for round in 0..<rounds {
            now += Int64(random.number(0...2))
            let failure: String? = driver.turn(now) { driver in
                for _ in 0..<random.number(1...4) {
                    if let failure = operation(driver) { return failure }
                }
                return nil
            }
            if let failure { return "round \(round): \(failure)" }
        }
        return nil
    }

    private mutating func operation(_ driver: StoreDriver) -> String? {
        let number = random.number(0...(load == .manyKeys ? 3000 : 40))
        let key = Array("key-\(number)".utf8)
        switch random.number(0...99) {
        case 0...24: _ = driver.store(.set, key, value(number), flags: flags(), expiry: expiry(), now: now)
        case 25...29: _ = driver.store(.add, key, value(number), expiry: expiry(), now: now)
        case 30...34: _ = driver.store(.append, key, record(number, 16), now: now)
        case 35...36: _ = driver.store(.prepend, key, record(number, 24), now: now)
        case 37...44:
            guard let found = driver.find(key, now: now) else { return nil }
            let result = driver.store(
                .compareAndSwap, key, value(number), expiry: expiry(), cas: found.cas, now: now)
            if result.outcome == .stored, result.cas <= found.cas { return "cas went back" }
        case 45...52: _ = driver.delete(key, now: now)
        case 53...64: _ = driver.touch(key, expiry: expiry(), now: now)
        case 65 where random.once(in: 50): driver.session.flush()
        case 66...68:
            guard let pinned = driver.pin(key, now: now) else { return nil }
            defer { driver.session.unpin(pinned.pin) }
            _ = driver.store(.set, key, value(number), now: now)
            if !pinned.isIntact || !Self.isWhole(pinned.copy, number) {
                return "a pinned value of key \(number) was torn"
            }
        default:
            guard let found = driver.find(key, now: now, marks: true) else { return nil }
            if !Self.isWhole(found.value, number) {
                return "a torn value of key \(number): \(found.value.prefix(64))"
            }
            if found.expiry <= now { return "an expired value of key \(number)" }
        }
        return nil
    }

    private mutating func flags() -> UInt32 { random.once(in: 2) ? 0 : UInt32(random.number(1...1000)) }

    private mutating func expiry() -> Int64 {
        switch random.number(0...3) {
        case 0: Int64.max
        case 1: now + Int64(random.number(1...500))
        default: now + Int64(random.number(1...100_000))
        }
    }

    /// One or more records; appending and prepending adds some.
    private mutating func value(_ number: Int) -> [UInt8] {
        guard load == .allSizes else { return record(number, random.number(16...120)) }
        let length =
            random.once(in: 10) ? random.number(slabBytes...3 * slabBytes) : random.number(16...slabBytes / 2)
        return record(number, length)
    }

    /// A record: its length, its key, then bytes that a seed decides, which comes before them.
    private mutating func record(_ number: Int, _ length: Int) -> [UInt8] {
        let seed = UInt32(truncatingIfNeeded: random.next())
        var bytes: [UInt8] = []
        for word in [UInt32(length), UInt32(number), seed] {
            for byte in 0..<4 { bytes.append(UInt8(truncatingIfNeeded: word >> UInt32(8 * byte))) }
        }
        return bytes + [UInt8].value(length - 12, seed: UInt64(seed))
    }

    private static func isWhole(_ value: [UInt8], _ number: Int) -> Bool {
        var rest = value[...]
        while rest.count >= 12 {
            func word(_ place: Int) -> UInt32 {
                (0..<4).reduce(0) { $0 | UInt32(rest[rest.startIndex + 4 * place + $1]) << UInt32(8 * $1) }
            }
            let length = Int(word(0))
            guard length >= 12, length <= rest.count, word(1) == UInt32(number),
                rest.dropFirst(12).prefix(length - 12).elementsEqual(
                    [UInt8].value(length - 12, seed: UInt64(word(2))))
            else { return false }
            rest = rest.dropFirst(length)
        }
        return rest.isEmpty && !value.isEmpty
    }
}
