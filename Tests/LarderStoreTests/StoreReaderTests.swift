import Foundation
import LarderTesting
import Synchronization
import Testing

@testable import LarderStore

/// What a reader of the file sees is what the store would answer.
@Suite struct StoreReaderTests {
    private static let start: Int64 = 1_700_000_000_000
    private static let sequences =
        ProcessInfo.processInfo.environment["LARDER_READER_SEQUENCES"].flatMap { Int($0) } ?? 60

    private static func configuration(
        _ file: StoreTestFile, slabs: Int = 64, slabBytes: Int = 4096
    ) -> StoreConfiguration {
        var configuration = StoreConfiguration(
            memoryBytes: slabs * slabBytes, slabBytes: slabBytes, bucketIntervalMilliseconds: 1000,
            filePath: file.path)
        configuration.openedAtMilliseconds = start
        return configuration
    }

    /// Random writes into an arena so small that everything is moved, evicted and overflows all the time;
    /// after each turn some keys are read both ways.
    @Test(arguments: [StoreReader.Access.mapped, .systemCalls])
    func readsWhatTheStoreHas(access: StoreReader.Access) throws {
        var found = 0
        for seed in 1...UInt64(Self.sequences) {
            found += try sequence(seed: seed, access)
        }
        #expect(found > Self.sequences * 20)
    }

    private func sequence(seed: UInt64, _ access: StoreReader.Access) throws -> Int {
        var random = SeededRandom(seed: seed)
        let file = try StoreTestFile()
        var configuration = Self.configuration(
            file, slabs: random.number(64...80), slabBytes: random.once(in: 2) ? 1024 : 4096)
        configuration.hashSeed = random.next()
        let store = try Store(configuration)
        let driver = try StoreDriver(store)
        let reader = try ReaderDriver(file.path, access: access)
        let keys = (0..<random.number(4...900)).map { [UInt8](keyOfAnyLength: $0) }
        var now = Self.start
        var found = 0
        for step in 0..<120 {
            if random.once(in: 3) { now += Int64(random.number(1...2000)) }
            driver.turn(now) { driver in
                for _ in 0..<random.number(1...20) { write(driver, keys, &random, now) }
                if random.once(in: 40) { driver.session.flush() }
                if random.once(in: 20) {
                    driver.session.flush(atMilliseconds: now + Int64(random.number(0...3000)))
                }
            }
            // A flush that has fallen due is the store's next turn's first work, and no reader's excuse.
            let later = now + Int64(random.number(0...1) * random.number(0...3000))
            let sample = (0..<8).map { _ in keys[random.number(0...keys.count - 1)] }
            let before = sample.map { reader.read($0, now: later) }
            let answers = driver.turn(later) { driver in sample.map { driver.find($0, now: later) } }
            for (key, (outcome, answer)) in zip(sample, zip(before, answers)) {
                let expected = answer.map { ReadOutcome.found($0) } ?? .missing
                try #require(
                    outcome == expected,
                    "seed \(seed), step \(step), key \(String(decoding: key, as: UTF8.self))")
                if answer != nil { found += 1 }
            }
            now = later
        }
        return found
    }

    private func write(_ driver: StoreDriver, _ keys: [[UInt8]], _ random: inout SeededRandom, _ now: Int64) {
        let key = keys[random.number(0...keys.count - 1)]
        let expiry = random.once(in: 2) ? Int64.max : now + Int64(random.number(-10...20_000))
        let length = random.once(in: 30) ? random.number(500...9000) : random.number(0...120)
        let value = [UInt8].value(length, seed: random.next())
        switch random.number(0...9) {
        case 0: _ = driver.delete(key, now: now)
        case 1: _ = driver.touch(key, expiry: expiry, now: now)
        case 2: _ = driver.store(.append, key, value, now: now)
        case 3:
            var options = WriteOptions()
            options.newCas = random.next()
            _ = driver.store(.set, key, value, flags: 7, expiry: expiry, options, now: now)
        default:
            _ = driver.store(.set, key, value, flags: UInt32(random.number(0...3)), expiry: expiry, now: now)
        }
    }

    /// A writer at full speed and a reader beside it: each value tells its key and its number, and the
    /// number never goes back, nor behind what was stored before the read began.
    @Test func readsBesideAWriter() async throws {
        let file = try StoreTestFile()
        let store = try Store(Self.configuration(file, slabs: 96))
        let path = file.path
        let stored = StoredNumbers(count: 64)
        let writer = Thread {
            guard let driver = try? StoreDriver(store) else { return }
            var random = SeededRandom(seed: 11)
            for number in 1...UInt64.max where !stored.isStopped {
                let key = random.number(0...63)
                let length = random.once(in: 100) ? 6000 : random.number(24...400)
                let isDeleted = random.once(in: 50)
                driver.turn(Self.start) { driver in
                    if isDeleted {
                        _ = driver.delete(Array("k\(key)".utf8), now: Self.start)
                    } else {
                        _ = driver.set(
                            Array("k\(key)".utf8), Self.numbered(key, number, length), now: Self.start)
                    }
                }
                stored.set(key, number)
            }
        }
        writer.start()
        defer { stored.stop() }
        let reader = try ReaderDriver(path)
        var found = 0
        var unavailable = 0
        var random = SeededRandom(seed: 12)
        for _ in 0..<60_000 {
            let key = random.number(0...63)
            let atLeast = stored.get(key)
            switch reader.read(Array("k\(key)".utf8), now: Self.start) {
            case .missing: break
            case .unavailable: unavailable += 1
            case .found(let item):
                found += 1
                let number = item.value.withUnsafeBytes {
                    $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
                }
                try #require(item.value == Self.numbered(key, number, item.value.count))
                try #require(number >= atLeast, "an older value than one that was stored")
            }
        }
        #expect(found > 10_000)
        #expect(unavailable < 6_000)
    }

    /// The index grows, overflows and shrinks its chains, and items are moved: a key that nobody touches is
    /// there all the while.
    @Test func neverMissesWhatStays() throws {
        let file = try StoreTestFile()
        let store = try Store(Self.configuration(file, slabs: 2048))
        let stays = (0..<300).map { Array("stays-\($0)".utf8) }
        try StoreDriver(store).turn(Self.start) { driver in
            for key in stays { _ = driver.set(key, key, now: Self.start) }
        }
        let stored = StoredNumbers(count: 1)
        Thread {
            guard let driver = try? StoreDriver(store) else { return }
            var random = SeededRandom(seed: 21)
            for step in 0..<Int.max where !stored.isStopped {
                let key = Array("goes-\(random.number(0...min(25_000, 100 + step / 4)))".utf8)
                driver.turn(Self.start) { driver in
                    if random.once(in: 3) {
                        _ = driver.delete(key, now: Self.start)
                    } else {
                        _ = driver.set(key, key, now: Self.start)
                    }
                }
            }
        }.start()
        defer { stored.stop() }
        let reader = try ReaderDriver(file.path)
        var found = 0
        for round in 0..<60_000 {
            let key = stays[round % stays.count]
            let outcome = reader.read(key, now: Self.start)
            try #require(outcome != .missing, "round \(round)")
            if outcome != .unavailable { found += 1 }
        }
        #expect(found > 30_000)
        #expect(store.statistics.counters.evictions == 0)
    }

    private static func numbered(_ key: Int, _ number: UInt64, _ length: Int) -> [UInt8] {
        var value = [UInt8].value(length, seed: number &* 64 &+ UInt64(key))
        withUnsafeBytes(of: (UInt64(key), number)) { value.replaceSubrange(0..<16, with: $0) }
        return value
    }

    /// The server marks what it replaces: a reader has the new file, and nothing old, from then on.
    @Test(arguments: [StoreReader.Access.mapped, .systemCalls])
    func followsAFileThatIsReplaced(access: StoreReader.Access) throws {
        let file = try StoreTestFile()
        var store: Store? = try Store(Self.configuration(file))
        try StoreDriver(#require(store)).turn(Self.start) { driver in
            _ = driver.set(Array("k".utf8), Array("old".utf8), now: Self.start)
        }
        let reader = try ReaderDriver(file.path, access: access)
        #expect(reader.read(Array("k".utf8), now: Self.start).value == Array("old".utf8))
        store = nil
        // Still there, as it was left.
        #expect(reader.read(Array("k".utf8), now: Self.start).value == Array("old".utf8))
        store = try Store(Self.configuration(file, slabs: 128))
        try StoreDriver(#require(store)).turn(Self.start) { driver in
            _ = driver.set(Array("k".utf8), Array("new".utf8), now: Self.start)
        }
        // The same time, so that only the mark can tell.
        var outcome = reader.read(Array("k".utf8), now: Self.start)
        #expect(outcome.value != Array("old".utf8))
        outcome = reader.read(Array("k".utf8), now: Self.start)
        #expect(outcome.value == Array("new".utf8))
    }

    @Test(arguments: [StoreReader.Access.mapped, .systemCalls])
    func outlivesATruncatedFile(access: StoreReader.Access) throws {
        let file = try StoreTestFile()
        let keys = (0..<200).map { Array("key-\($0)".utf8) }
        do {
            let driver = try StoreDriver(Store(Self.configuration(file)))
            driver.turn(Self.start) { driver in
                for key in keys { _ = driver.set(key, [UInt8].value(300, seed: 1), now: Self.start) }
            }
        }
        let reader = try ReaderDriver(file.path, access: access)
        #expect(reader.read(keys[0], now: Self.start).value != nil)
        for bytes in [200_000, 60_000, 4096, 100, 0] {
            truncate(file.path, bytes)
            for key in keys {
                if case .found(let item) = reader.read(key, now: Self.start) {
                    #expect(item.value == [UInt8].value(300, seed: 1))
                }
            }
        }
        #expect(reader.read(keys[0], now: Self.start) == .unavailable)
        // A new file under the name is found again.
        try file.replace(with: [])
        let driver = try StoreDriver(Store(Self.configuration(file)))
        driver.turn(Self.start) { _ = $0.set(keys[0], Array("there".utf8), now: Self.start) }
        #expect(reader.read(keys[0], now: Self.start + 1000).value == Array("there".utf8))
    }

    @Test func refusesWhatIsNoStore() throws {
        let file = try StoreTestFile()
        for bytes in [[], Array("hello".utf8), [UInt8](repeating: 0, count: 100_000)] {
            try file.replace(with: bytes)
            #expect(throws: StoreError.self) { _ = try ReaderDriver(file.path) }
        }
        #expect(throws: StoreError.self) { _ = try ReaderDriver("/dev/null") }
        #expect(throws: StoreError.self) { _ = try ReaderDriver("/tmp") }
        #expect(throws: StoreError.self) { _ = try ReaderDriver(file.path + "-absent") }
    }

    /// The time is the store's, as far as the file tells of it.
    @Test func knowsTheStoresClock() throws {
        let file = try StoreTestFile()
        let store = try Store(Self.configuration(file))
        let reader = try ReaderDriver(file.path)
        #expect(abs(reader.now - StoreClock().now()) < 60_000)
        store.noteClock(StoreClock(offsetMilliseconds: 77_000_000))
        let expected = StoreClock(offsetMilliseconds: 77_000_000)
        #expect((expected.now() - 60_000...expected.now()).contains(reader.now))
        // Again, as it is done once the clock is known.
        _ = reader.value(of: "any")
        #expect((expected.now() - 60_000...expected.now()).contains(reader.now))
    }
}

extension ReadOutcome where Value == FoundItem {
    fileprivate var value: [UInt8]? {
        if case .found(let item) = self { return item.value }
        return nil
    }
}

/// What a writer has stored last under each key, as far as it is certain.
private final class StoredNumbers: Sendable {
    private let numbers: Mutex<[UInt64]>
    private let stopping = Mutex(false)

    init(count: Int) { numbers = Mutex([UInt64](repeating: 0, count: count)) }
    func set(_ key: Int, _ number: UInt64) { numbers.withLock { $0[key] = number } }
    func get(_ key: Int) -> UInt64 { numbers.withLock { $0[key] } }
    func stop() { stopping.withLock { $0 = true } }
    var isStopped: Bool { stopping.withLock { $0 } }
}
