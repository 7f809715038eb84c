import LarderTesting
import Testing

@testable import LarderStore

/// The list against an array, with hashes that meet in the table.
@Suite struct RecencyListTests {
    private func order(_ list: RecencyList) -> [UInt64] {
        var hashes: [UInt64] = []
        list.visitAll { hash, items in hashes += Array(repeating: hash, count: items) }
        return hashes
    }

    @Test(arguments: 0..<40)
    func agreesWithAnArray(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let capacity = random.number(1...40)
        var list = try #require(RecencyList(itemsMax: capacity))
        defer { list.deallocate() }
        // Few homes for many hashes: the table has to probe, and to move up what is behind a gap.
        let spread = random.once(in: 2) ? UInt64(3) : 1 << 40
        func hash() -> UInt64 { (random.next() % 4) << 50 | random.next() % spread }
        var model: [UInt64] = []
        for step in 0..<2000 {
            let value = hash()
            switch random.number(0...9) {
            case 0...4 where model.count < capacity:
                let isThere = model.contains(value)
                list.insert(value)
                // Items of one hash go together.
                if isThere {
                    let all = model.filter { $0 == value }
                    model.removeAll { $0 == value }
                    model = all + [value] + model
                } else {
                    model.insert(value, at: 0)
                }
            case 5...6:
                list.touch(value)
                let all = model.filter { $0 == value }
                model.removeAll { $0 == value }
                model = all + model
            case 7...8:
                list.remove(value)
                if let place = model.firstIndex(of: value) { model.remove(at: place) }
            default:
                #expect(list.leastRecent(except: value) == model.last { $0 != value })
                if random.once(in: 100) {
                    list.removeAll()
                    model = []
                }
            }
            try #require(order(list) == model, "seed \(seed), step \(step)")
            try #require(list.count == model.count)
        }
    }
}
