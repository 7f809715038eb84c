import Testing

@testable import LarderStore

/// How much of the arena is not keys and values.
@Suite struct DensityTests {
    /// Bytes of overhead that an item of this many bytes of value may cost, all of the arena counted.
    @Test(arguments: [(10, 24), (50, 24), (100, 24), (200, 30), (500, 36), (1000, 50), (4000, 190)])
    func overheadOfAnItem(valueBytes: Int, limit: Int) throws {
        let now: Int64 = 1_700_000_000_000
        let arenaBytes = 64 << 20
        let store = try Store(StoreConfiguration(memoryBytes: arenaBytes, hashSeed: 1))
        let driver = try StoreDriver(store)
        let value = [UInt8].value(valueBytes, seed: 1)
        var count = 0
        while store.statistics.counters.evictions == 0 {
            driver.turn(now) { driver in
                for _ in 0..<128 {
                    let digits = String(count)
                    let key = Array("key-\(String(repeating: "0", count: 16 - digits.count))\(digits)".utf8)
                    _ = driver.set(key, value, now: now)
                    count += 1
                }
            }
        }
        let items = store.statistics.counters.items
        let overhead = Double(arenaBytes) / Double(items) - Double(20 + valueBytes)
        print("density: values of \(valueBytes): \(items) items, \(Double(Int(overhead * 10)) / 10) bytes of overhead each")
        #expect(overhead <= Double(limit))
    }
}
