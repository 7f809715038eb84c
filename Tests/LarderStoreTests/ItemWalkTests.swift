import LarderStore
import LarderTesting
import Testing

/// Walks over everything in a store while it changes.
@Suite struct ItemWalkTests {
    private static let now: Int64 = 1_000_000

    private func key(_ number: Int) -> [UInt8] { Array("key \(number)".utf8) }

    private func set(_ number: Int, _ session: borrowing Session) {
        let bytes = key(number)
        bytes.withUnsafeBytes { raw in
            let hashed = session.hashed(raw.baseAddress!, length: raw.count)
            _ = session.store(
                .set, hashed, value: raw.baseAddress!, valueLength: raw.count, clientFlags: 0,
                expiry: Int64.max, now: Self.now)
        }
    }

    private func delete(_ number: Int, _ session: borrowing Session) {
        let bytes = key(number)
        bytes.withUnsafeBytes { raw in
            _ = session.delete(session.hashed(raw.baseAddress!, length: raw.count), now: Self.now)
        }
    }

    /// Walks to the end, calling `between` after each bucket; how often each key was met.
    private func walk(
        _ session: borrowing Session, between: (Int) -> Void = { _ in }
    ) -> [String: Int] {
        var met: [String: Int] = [:]
        var walk = ItemWalk()
        var step = 0
        withUnsafeTemporaryAllocation(of: Item.self, capacity: ItemWalk.itemsMax) { items in
            while !walk.isComplete {
                session.begin(now: Self.now)
                let count = session.nextItems(&walk, into: items.baseAddress!)
                for place in 0..<count {
                    let item = items[place]
                    let bytes = UnsafeRawBufferPointer(start: item.key, count: item.keyLength)
                    met[String(decoding: bytes, as: UTF8.self), default: 0] += 1
                }
                between(step)
                session.end()
                step += 1
            }
        }
        return met
    }

    @Test(arguments: [0, 1, 100, 50_000])
    func meetsEachItemOnce(count: Int) throws {
        let store = try Store(StoreConfiguration(memoryBytes: 16 << 20))
        let session = try store.makeSession()
        session.begin(now: Self.now)
        for number in 0..<count { set(number, session) }
        session.end()
        let met = walk(session)
        #expect(met.count == count)
        #expect(met.values.allSatisfy { $0 == 1 })
    }

    /// The index grows many times over during the walk; what was there throughout is met once.
    @Test func theIndexMayGrowMeanwhile() throws {
        let store = try Store(StoreConfiguration(memoryBytes: 64 << 20))
        let session = try store.makeSession()
        session.begin(now: Self.now)
        for number in 0..<3_000 { set(number, session) }
        session.end()
        let bucketsBefore = store.statistics.bucketCount
        var next = 3_000
        let met = walk(session) { _ in
            guard next < 100_000 else { return }
            for _ in 0..<300 {
                set(next, session)
                next += 1
            }
        }
        #expect(store.statistics.bucketCount > 4 * bucketsBefore)
        for number in 0..<3_000 { #expect(met["key \(number)"] == 1, "key \(number)") }
        #expect(met.values.allSatisfy { $0 == 1 })
    }

    /// Keys come, change and go at random; those that stay are met once, and none twice.
    @Test func itemsMayComeAndGoMeanwhile() throws {
        let seed = UInt64.random(in: .min ... .max)
        var random = SeededRandom(seed: seed)
        let store = try Store(StoreConfiguration(memoryBytes: 32 << 20))
        let session = try store.makeSession()
        session.begin(now: Self.now)
        for number in 0..<20_000 { set(number, session) }
        session.end()
        let met = walk(session) { _ in
            // Even numbers stay, and some are stored anew; odd ones come and go.
            set(2 * Int.random(in: 0..<10_000, using: &random), session)
            delete(2 * Int.random(in: 0..<10_000, using: &random) + 1, session)
            set(2 * Int.random(in: 0..<20_000, using: &random) + 1, session)
        }
        for number in stride(from: 0, to: 20_000, by: 2) {
            #expect(met["key \(number)"] == 1, "key \(number), seed \(seed)")
        }
        #expect(met.values.allSatisfy { $0 == 1 }, "seed \(seed)")
    }
}
