import LarderTesting
import Testing

@testable import LarderClient

@Suite struct HeapLevelTests {
    /// A level beside a list of what it must have, the most recently used first.
    private struct Model {
        var items: [LevelItem] = []

        mutating func write(_ item: LevelItem, _ limits: LevelLimits) -> [String] {
            var gone: [String] = []
            if let place = items.firstIndex(where: { $0.key == item.key }) {
                items.remove(at: place)
                gone.append("\(item.key) overwritten")
            }
            items.insert(item, at: 0)
            while items.count > limits.itemsMax ?? .max
                || items.reduce(0, { $0 + $1.payload.count }) > limits.footprintBytesMax ?? .max
            {
                gone.append("\(items.removeLast().key) evicted")
            }
            return gone
        }

        mutating func use(_ key: String) -> LevelItem? {
            guard let place = items.firstIndex(where: { $0.key == key }) else { return nil }
            let item = items.remove(at: place)
            items.insert(item, at: 0)
            return item
        }

        mutating func expire(_ now: Int64) -> [String] {
            let ended = items.filter { ($0.endMilliseconds ?? .max) <= now }
            items.removeAll { ended.contains($0) }
            return ended.map { "\($0.key) expired" }
        }
    }

    @Test(arguments: [
        LevelLimits(), LevelLimits(itemsMax: 7), LevelLimits(footprintBytesMax: 60),
        LevelLimits(itemsMax: 5, footprintBytesMax: 50),
    ])
    func keepsWhatWasUsedLast(limits: LevelLimits) throws {
        let seed: UInt64 = 20_261_127
        var random = SeededRandom(seed: seed)
        let level = HeapLevel(limits: limits)
        let gone = Shared<[String]>([])
        level.create(LevelContext { item, reason in gone.change { $0.append("\(item.key) \(reason)") } })
        var model = Model()
        var now: Int64 = 0
        for step in 0..<5000 {
            let key = "k\(Int.random(in: 0..<15, using: &random))"
            var expected: [String] = []
            gone.change { $0 = [] }
            switch Int.random(in: 0..<10, using: &random) {
            case 0..<4:
                let item = LevelItem(
                    key: key, payload: [UInt8](repeating: 1, count: Int.random(in: 0...20, using: &random)),
                    endMilliseconds: Bool.random(using: &random)
                        ? now + Int64.random(in: 1...50, using: &random) : nil)
                try level.write(item)
                expected = model.write(item, limits)
            case 4..<8: #expect(level.get(key) == model.use(key))
            case 8:
                level.invalidate(KeyPattern(key), reason: .removed)
                expected = model.items.contains { $0.key == key } ? ["\(key) removed"] : []
                model.items.removeAll { $0.key == key }
            default:
                now += Int64.random(in: 0...20, using: &random)
                expected = model.expire(now)
                let next = model.items.compactMap(\.endMilliseconds).min()
                #expect(level.expire(now: now) == next, "seed \(seed), step \(step)")
            }
            #expect(gone.value.sorted() == expected.sorted(), "seed \(seed), step \(step)")
            #expect(level.itemCount == model.items.count)
            #expect(level.footprintBytes == model.items.reduce(0) { $0 + $1.payload.count })
        }
        #expect(level.lookup(.everything).map(\.key) == model.items.map(\.key).sorted())
    }

    @Test func neverTakesMoreThanItsLimits() {
        let level = HeapLevel(limits: LevelLimits(footprintBytesMax: 10, payloadBytesMax: 8))
        #expect(throws: CacheError.self) {
            try level.write(LevelItem(key: "a", payload: [UInt8](repeating: 1, count: 9)))
        }
        #expect(throws: CacheError.self) {
            try level.admit(LevelItem(key: "a", payload: [UInt8](repeating: 1, count: 11)))
        }
        #expect(throws: Never.self) {
            try level.write(LevelItem(key: "a", payload: [UInt8](repeating: 1, count: 8)))
        }
        #expect(
            HeapLevel(limits: LevelLimits(itemsMax: 0, footprintBytesMax: 0)).limits.admit(
                itemCount: 9, footprintBytes: 9))
    }

    /// Whoever is told of a removal may come back at once.
    @Test func tellsWithNoLockHeld() throws {
        let level = HeapLevel(limits: LevelLimits(itemsMax: 1))
        let seen = Shared<[Int]>([])
        level.create(LevelContext { _, _ in seen.change { $0.append(level.itemCount) } })
        try level.write(LevelItem(key: "a", payload: []))
        try level.write(LevelItem(key: "b", payload: []))
        #expect(seen.value == [1])
        level.create(LevelContext())
    }
}
