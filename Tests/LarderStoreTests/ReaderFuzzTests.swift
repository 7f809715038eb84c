import Foundation
import LarderTesting
import Testing

@testable import LarderStore

/// Files that anybody may have changed: a reader neither crashes, nor hangs, nor gives a value that was not
/// stored under that key.
@Suite struct ReaderFuzzTests {
    private static let start: Int64 = 1_700_000_000_000
    private static let files =
        ProcessInfo.processInfo.environment["LARDER_READER_FILES"].flatMap { Int($0) } ?? 400

    private static let keys = (0..<300).map { [UInt8](keyOfAnyLength: $0) }

    private static func value(_ key: Int) -> [UInt8] {
        .value(key % 50 == 0 ? 5000 : 20 + key, seed: UInt64(key))
    }

    private static func image() throws -> [UInt8] {
        let file = try StoreTestFile()
        var configuration = StoreConfiguration(memoryBytes: 192 << 10, slabBytes: 4096, filePath: file.path)
        configuration.openedAtMilliseconds = start
        configuration.hashSeed = 5
        do {
            let driver = try StoreDriver(Store(configuration))
            driver.turn(start) { driver in
                for round in 0...1 {
                    for (number, key) in keys.enumerated() {
                        let expiry = number % 3 == 0 ? Int64.max : start + 1_000_000
                        // First a value that nobody may get any more.
                        let value = round == 0 ? [UInt8].value(40, seed: 99) : value(number)
                        _ = driver.set(key, value, expiry: expiry, now: start)
                    }
                }
            }
        }
        return try file.bytes
    }

    @Test(arguments: [StoreReader.Access.mapped, .systemCalls])
    func mutatedFiles(access: StoreReader.Access) throws {
        let image = try Self.image()
        let file = try StoreTestFile()
        let seed = UInt64(ProcessInfo.processInfo.environment["LARDER_READER_SEED"] ?? "") ?? 1
        var found = 0
        var opened = 0
        for number in 0..<Self.files {
            var random = SeededRandom(seed: seed &* 1_000_003 &+ UInt64(number))
            try file.replace(with: Self.mutated(image, &random))
            guard let reader = try? ReaderDriver(file.path, access: access) else { continue }
            opened += 1
            let keys = reader.keys(now: Self.start) ?? []
            try #require(keys.count <= 192 << 10, "seed \(seed), file \(number)")
            for _ in 0..<20 {
                let key = random.number(0...Self.keys.count - 1)
                guard case .found(let item) = reader.read(Self.keys[key], now: Self.start) else { continue }
                try #require(item.value == Self.value(key), "seed \(seed), file \(number), key \(key)")
                found += 1
            }
        }
        #expect(opened > Self.files / 2)
        #expect(found > Self.files)
    }

    private static func mutated(_ image: [UInt8], _ random: inout SeededRandom) -> [UInt8] {
        var bytes = image
        // Where the metadata is, or anywhere, or in the index at the end.
        let regions = [0..<200, 4096..<8192, 0..<bytes.count, max(0, bytes.count - 16384)..<bytes.count]
        let firstRegion = random.once(in: 4) ? 0 : 1
        for _ in 0..<random.number(1...40) {
            let region = regions[random.number(firstRegion...3)]
            let place = random.number(region.lowerBound...region.upperBound - 1)
            switch random.number(0...4) {
            case 0: bytes[place] ^= 1 << UInt8(random.number(0...7))
            case 1: bytes[place] = UInt8(truncatingIfNeeded: random.next())
            case 2: bytes[place] = random.once(in: 2) ? 0xff : 0
            case 3:
                for offset in place..<min(bytes.count, place + 8) {
                    bytes[offset] = random.once(in: 2) ? 0xff : UInt8(truncatingIfNeeded: random.next())
                }
            default:
                // A piece of the file itself somewhere else.
                let from = random.number(0...bytes.count - 64)
                let to = min(place & ~7, bytes.count - 64)
                for offset in 0..<64 { bytes[to + offset] = bytes[(from & ~7) + offset] }
            }
        }
        if random.once(in: 20) { bytes.removeLast(random.number(1...bytes.count - 1)) }
        return bytes
    }
}
