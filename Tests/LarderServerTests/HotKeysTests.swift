import Glibc
import LarderTesting
import Testing

@testable import LarderServer

/// Keys by a Zipf distribution with the exponent 0.99.
private struct ZipfKeys {
    private let sums: [Double]
    private let prefix: String

    init(count: Int, prefix: String) {
        var sum = 0.0
        sums = (1...count).map { rank in
            sum += 1 / pow(Double(rank), 0.99)
            return sum
        }
        self.prefix = prefix
    }

    /// The place of a key in the order of their frequencies.
    func rank(_ random: inout SeededRandom) -> Int {
        let wanted = Double.random(in: 0..<(sums.last ?? 1), using: &random)
        var (low, high) = (0, sums.count - 1)
        while low < high {
            let middle = (low + high) / 2
            if sums[middle] <= wanted { low = middle + 1 } else { high = middle }
        }
        return low
    }

    func key(_ rank: Int) -> [UInt8] { Array("\(prefix):\(rank)".utf8) }
}

@Suite struct HotKeysTests {
    private func add(_ count: Int, _ keys: ZipfKeys, to summary: inout KeySummary, _ random: inout SeededRandom) {
        for _ in 0..<count { keys.key(keys.rank(&random)).withUnsafeBytes { summary.add($0, weight: 1) } }
    }

    private func top(_ summary: KeySummary) -> Set<[UInt8]> {
        Set(summary.entries.sorted { $0.count > $1.count }.prefix(10).map(\.key))
    }

    @Test func findsTheTopKeysOfMany() {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SeededRandom(seed: seed)
        let keys = ZipfKeys(count: 100_000, prefix: "user")
        var summary = KeySummary(now: 0)
        add(200_000, keys, to: &summary, &random)
        #expect(summary.entries.count == KeySummary.capacity)
        let expected = Set((0..<10).map(keys.key))
        #expect(top(summary).intersection(expected).count >= 9, "seed \(seed)")
    }

    @Test func newKeysTakeThePlaceOfOldOnes() {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SeededRandom(seed: seed)
        let old = ZipfKeys(count: 10_000, prefix: "old")
        let new = ZipfKeys(count: 10_000, prefix: "new")
        var summary = KeySummary(now: 0)
        for second in 1...40 {
            add(5000, old, to: &summary, &random)
            summary.fade(now: Int64(second) * 1000)
        }
        #expect(top(summary).allSatisfy { $0.starts(with: "old".utf8) })
        // Six half-lives: the first old key is then well below the tenth new one.
        for second in 41...100 {
            add(5000, new, to: &summary, &random)
            summary.fade(now: Int64(second) * 1000)
        }
        #expect(top(summary).allSatisfy { $0.starts(with: "new".utf8) }, "seed \(seed)")
    }

    @Test func countsFadeByHalf() throws {
        var summary = KeySummary(now: 5000)
        Array("key".utf8).withUnsafeBytes { summary.add($0, weight: 80) }
        summary.fade(now: 5000 + 10_000)
        #expect(abs(try #require(summary.entries.first).count - 40) < 0.001)
        // Time that goes back changes nothing.
        summary.fade(now: 0)
        #expect(abs(try #require(summary.entries.first).count - 40) < 0.001)
        summary.fade(now: Int64.max)
        #expect(try #require(summary.entries.first).count == 0)
        #expect(KeySummary.seconds(sinceBegin: 1000) > 0.95 && KeySummary.seconds(sinceBegin: 1000) < 1)
        #expect(KeySummary.seconds(sinceBegin: Int64.max) < 14.5)
    }

    /// Keys that come and go keep one place each, and one with many requests keeps its place.
    @Test func eachKeyHasOnePlace() {
        var random = SeededRandom(seed: 11)
        var summary = KeySummary(now: 0)
        func add(_ text: String) { Array(text.utf8).withUnsafeBytes { summary.add($0, weight: 1) } }
        for round in 0..<40 {
            for _ in 0..<2000 {
                add("key-\(Int.random(in: 0..<3000, using: &random))")
                add("hot")
            }
            summary.fade(now: Int64(round) * 500)
            let keys = summary.entries.map(\.key)
            #expect(keys.count == KeySummary.capacity && Set(keys).count == keys.count)
            #expect(summary.entries.max { $0.count < $1.count }?.key == Array("hot".utf8))
        }
    }

    @Test func longKeysAndEmptyOnes() {
        var summary = KeySummary(now: 0)
        for count in [0, 1, 250, 251, 1000] {
            [UInt8](repeating: 7, count: count).withUnsafeBytes { summary.add($0, weight: 1) }
        }
        #expect(summary.entries.map(\.key.count).sorted() == [0, 1, 250])
    }

    @Test func gapsHaveTheirMean() {
        var sampling = KeySampling(seed: 3)
        for _ in 0..<20_000 { sampling.noteKey(weight: 100) }
        sampling.adapt()
        // 2,000,000 requests a second: as few as are allowed.
        var sum = 0
        for _ in 0..<10_000 { sum += sampling.nextGap() }
        #expect(sampling.interval == 244 && abs(sum / 10_000 - 244) < 10)
        sampling.adapt()
        #expect(sampling.interval == 1 && sampling.nextGap() > 0 && sampling.nextGap() == 1)
    }
}
