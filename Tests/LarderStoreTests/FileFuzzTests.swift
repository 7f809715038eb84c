import CLarderArena
import Foundation
import LarderTesting
import Testing

@testable import LarderStore

/// Files that were damaged, or made up: a store opens whatever it is given, or refuses it in words, and
/// never answers a key with what was not stored under it.
///
/// `LARDER_FUZZ_FILES` raises how many; `LARDER_FUZZ_SEED` starts elsewhere.
@Suite struct FileFuzzTests {
    private static let count = setting("LARDER_FUZZ_FILES") ?? 3000
    private static let firstSeed = setting("LARDER_FUZZ_SEED") ?? 1
    /// Mutations of one file.
    private static let perFile = 50

    private static func setting(_ name: String) -> Int? {
        ProcessInfo.processInfo.environment[name].flatMap { Int($0) }
    }

    @Test func mutatedFiles() throws {
        var opened = 0
        var itemsFound = 0
        for seed in Self.firstSeed..<Self.firstSeed + max(1, Self.count / Self.perFile) {
            let original = try FuzzedFile(seed: UInt64(seed))
            for mutation in 0..<Self.perFile {
                let outcome = try original.open(mutation: mutation)
                try #require(outcome.failure == nil, "seed \(seed), mutation \(mutation)")
                opened += outcome.isOpened ? 1 : 0
                itemsFound += outcome.itemsFound
            }
        }
        // Or else the mutations are so coarse that nothing behind the first check is ever reached.
        #expect(opened > Self.count / 2 && itemsFound > Self.count * 10)
    }
}

/// A store's file, and everything that was ever stored in it.
private final class FuzzedFile {
    struct Outcome {
        var failure: String?
        var isOpened = false
        var itemsFound = 0
    }

    private let seed: UInt64
    private let file: StoreTestFile
    private var bytes: [UInt8] = []
    private var stored: [[UInt8]: [(value: [UInt8], flags: UInt32)]] = [:]
    private let now: Int64 = 1_700_000_000_000
    private var configuration: StoreConfiguration
    private let slabBytes: Int

    init(seed: UInt64) throws {
        self.seed = seed
        var random = SeededRandom(seed: seed)
        slabBytes = random.once(in: 2) ? 1024 : 4096
        let slabs = slabBytes == 1024 ? random.number(64...80) : random.number(20...40)
        file = try StoreTestFile()
        configuration = StoreConfiguration(
            memoryBytes: slabs * slabBytes, slabBytes: slabBytes, hashSeed: random.next(), filePath: file.path)
        configuration.openedAtMilliseconds = now
        let store = try Store(configuration)
        let driver = try StoreDriver(store)
        for number in 0..<random.number(20...300) {
            let key = [UInt8](keyOfAnyLength: random.number(0...120))
            let length =
                random.once(in: 12)
                ? random.number(slabBytes...3 * slabBytes) : random.number(0...random.number(1...200))
            let value = [UInt8].value(length, seed: seed << 20 | UInt64(number))
            let flags = random.once(in: 3) ? UInt32(truncatingIfNeeded: random.next()) : 0
            let expiry = random.once(in: 3) ? now + Int64(random.number(1...100_000)) : Int64.max
            driver.turn(now) { driver in
                if driver.store(.set, key, value, flags: flags, expiry: expiry, now: now).outcome == .stored {
                    stored[key, default: []].append((value, flags))
                }
                if random.once(in: 6) { _ = driver.delete([UInt8](keyOfAnyLength: random.number(0...120)), now: now) }
                if random.once(in: 100) { driver.session.flush() }
            }
        }
        // As a kill leaves it, or with the ends of an orderly end.
        bytes = try file.bytes
    }

    func open(mutation: Int) throws -> Outcome {
        var random = SeededRandom(seed: seed << 16 | UInt64(mutation))
        let place = try StoreTestFile()
        try place.replace(with: mutated(&random))
        var configuration = configuration
        configuration.filePath = place.path
        if random.once(in: 8) { configuration.memoryBytes = random.number(64...120) * slabBytes }
        var outcome = Outcome()
        let store: Store
        do {
            store = try Store(configuration)
        } catch {
            // Nothing here is a reason to refuse.
            outcome.failure = "\(error)"
            return outcome
        }
        outcome.isOpened = !place.names.contains("store.bad-1")
        outcome.failure = try use(store, &outcome, &random)
        return outcome
    }

    private func use(_ store: Store, _ outcome: inout Outcome, _ random: inout SeededRandom) throws -> String? {
        if let broken = store.checkInvariants().first { return broken }
        let driver = try StoreDriver(store)
        for number in 0...120 {
            let key = [UInt8](keyOfAnyLength: number)
            guard let found = driver.turn(now, { $0.find(key, now: now) }) else { continue }
            outcome.itemsFound += 1
            let isKnown = (stored[key] ?? []).contains { $0.value == found.value && $0.flags == found.clientFlags }
            if !isKnown { return "key \(number) has a value that was not stored under it" }
        }
        // And it goes on working.
        for number in 0..<random.number(0...60) {
            let key = [UInt8](keyOfAnyLength: random.number(0...120))
            let length = random.once(in: 8) ? random.number(slabBytes...3 * slabBytes) : random.number(0...300)
            let value = [UInt8].value(length, seed: UInt64(number))
            // Upkeep as well, and what expires meanwhile.
            let now = now + Int64(number * random.number(0...4000))
            let isThere = driver.turn(now) { driver in
                if random.once(in: 50) { driver.session.flush() }
                _ = driver.delete([UInt8](keyOfAnyLength: random.number(0...120)), now: now)
                guard driver.set(key, value, now: now) == .stored else { return true }
                return driver.find(key, now: now)?.value == value
            }
            if !isThere { return "a new item was not there" }
        }
        return store.checkInvariants().first
    }

    // MARK: Mutations

    private func mutated(_ random: inout SeededRandom) -> [UInt8] {
        var bytes = bytes
        let tablesEnd = min(bytes.count, 4096 + bytes.count / slabBytes * 68)
        for _ in 0..<(random.once(in: 3) ? random.number(2...40) : 1) {
            // As likely in the tables as in the items, which take most of the file.
            let end = random.once(in: 2) ? tablesEnd : bytes.count
            let place = random.number(0...end - 1)
            switch random.number(0...9) {
            case 0...2: bytes[place] ^= 1 << UInt8(random.number(0...7))
            case 3: bytes[place] = UInt8(truncatingIfNeeded: random.next())
            case 4: write(interesting(&random), at: place & ~7, in: &bytes)
            case 5:
                write(
                    interesting(&random) & 0xffff_ffff | UInt64(random.number(0...9)) << 32, at: place & ~3, in: &bytes)
            case 6: fill(&bytes, from: place & ~4095, count: 4096, with: 0)
            case 7:
                fill(
                    &bytes, from: place, count: random.number(1...2000), with: UInt8(truncatingIfNeeded: random.next()))
            case 8: swapBlocks(&bytes, &random)
            default:
                write(interesting(&random), at: 4096 + random.number(0...8 * (tablesEnd - 4096) / 64) * 8, in: &bytes)
            }
        }
        switch random.number(0...19) {
        case 0: bytes.removeLast(random.number(0...bytes.count - 1))
        case 1: bytes += [UInt8](repeating: UInt8(truncatingIfNeeded: random.next()), count: random.number(1...10_000))
        default: break
        }
        if random.once(in: 6) { makeSuperblockPlausible(&bytes, &random) }
        return bytes
    }

    private func interesting(_ random: inout SeededRandom) -> UInt64 {
        [0, 1, 7, 0xff, 0xffff_ffff, UInt64.max, 1 << 62, 1 << 63, UInt64(random.number(0...200)), random.next()][
            random.number(0...9)]
    }

    private func write(_ word: UInt64, at place: Int, in bytes: inout [UInt8]) {
        for byte in 0..<8 where place + byte < bytes.count {
            bytes[place + byte] = UInt8(truncatingIfNeeded: word >> UInt64(8 * byte))
        }
    }

    private func fill(_ bytes: inout [UInt8], from: Int, count: Int, with byte: UInt8) {
        for place in from..<min(bytes.count, from + count) { bytes[place] = byte }
    }

    /// Items, lines, slabs and pages in each other's place.
    private func swapBlocks(_ bytes: inout [UInt8], _ random: inout SeededRandom) {
        let size = [8, 64, slabBytes, 4096][random.number(0...3)]
        let first = random.number(0...(bytes.count / size - 1)) * size
        let second = random.number(0...(bytes.count / size - 1)) * size
        let copy = Array(bytes[first..<first + size])
        if random.once(in: 2) {
            bytes.replaceSubrange(first..<first + size, with: bytes[second..<second + size])
        }
        bytes.replaceSubrange(second..<second + size, with: copy)
    }

    /// A superblock whose check is right, whatever it says: somebody who knows the format made it.
    private func makeSuperblockPlausible(_ bytes: inout [UInt8], _ random: inout SeededRandom) {
        guard bytes.count > 4096 else { return }
        if random.once(in: 2) { write(interesting(&random), at: random.number(1...8) * 8, in: &bytes) }
        bytes.withUnsafeMutableBytes { raw in
            // SAFETY: a page is more than a superblock, and an array of this size is aligned to 16.
            guard let superblock = raw.baseAddress?.assumingMemoryBound(to: larder_superblock.self) else { return }
            superblock.pointee.fixed_check = larder_superblock_check(superblock)
        }
    }
}
