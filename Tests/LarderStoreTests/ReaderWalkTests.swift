import LarderTesting
import Testing

@testable import LarderStore

/// A walk over the keys of a file sees the keys that the store has.
@Suite struct ReaderWalkTests {
    private static let start: Int64 = 1_700_000_000_000

    @Test(arguments: [StoreReader.Access.mapped, .systemCalls])
    func theKeysAreThoseOfTheStore(access: StoreReader.Access) throws {
        for seed in 1...20 as ClosedRange<UInt64> {
            var random = SeededRandom(seed: seed)
            let file = try StoreTestFile()
            var configuration = StoreConfiguration(
                memoryBytes: 1 << 20, slabBytes: 4096, evicts: false, filePath: file.path)
            configuration.openedAtMilliseconds = Self.start
            let driver = try StoreDriver(Store(configuration))
            let reader = try ReaderDriver(file.path, access: access)
            var model: Set<[UInt8]> = []
            // With so many items the index grows, and full buckets have overflow lines.
            for step in 0..<40 {
                driver.turn(Self.start) { driver in
                    for _ in 0..<random.number(1...200) {
                        let key = Array("key-\(random.number(0...4000))".utf8)
                        if random.once(in: 4) {
                            _ = driver.delete(key, now: Self.start)
                            model.remove(key)
                        } else if driver.set(key, [1], expiry: Int64.max, now: Self.start) == .stored {
                            model.insert(key)
                        }
                    }
                    if random.once(in: 20) {
                        driver.session.flush()
                        model = []
                    }
                }
                let keys = try #require(reader.keys(now: Self.start))
                try #require(keys.count == model.count && Set(keys) == model, "seed \(seed), step \(step)")
            }
        }
    }
}
