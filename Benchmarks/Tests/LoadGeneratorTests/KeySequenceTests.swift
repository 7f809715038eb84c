import Testing

@testable import LoadGenerator

struct KeySequenceTests {
    private func keys(
        _ pattern: KeyPattern, _ range: ClosedRange<UInt64>, count: Int, connection: Int = 0,
        connections: Int = 1, exponent: Double = 1
    ) -> [UInt64] {
        var sequence = KeySequence(
            pattern: pattern, keys: range, exponent: exponent, connection: connection,
            connections: connections)
        var random = SeededRandom(seed: UInt64(connection) + 1)
        return (0..<count).map { _ in sequence.next(&random) }
    }

    @Test func randomKeysCoverTheRangeEvenly() {
        var counts = [UInt64: Int]()
        for key in keys(.random, 10...19, count: 10_000) { counts[key, default: 0] += 1 }
        #expect(Set(counts.keys) == Set(10...19))
        #expect(counts.values.allSatisfy { (850...1150).contains($0) })
    }

    @Test func sequentialKeysBeginAnew() {
        #expect(keys(.sequential, 5...7, count: 7) == [5, 6, 7, 5, 6, 7, 5])
        // All connections walk the same range.
        #expect(keys(.sequential, 5...7, count: 3, connection: 3, connections: 4) == [5, 6, 7])
    }

    /// The parts of all connections are the range, each key once.
    @Test(arguments: [1, 2, 3, 7, 50, 100])
    func parallelPartsCoverTheRange(connections: Int) {
        let range: ClosedRange<UInt64> = 0...100
        let parts = (0..<connections).map { range.part($0, of: connections) }
        #expect(parts.flatMap { Array($0) } == Array(range))
    }

    @Test func moreConnectionsThanKeysShareThem() {
        let parts = (0..<10).map { (UInt64(3)...5).part($0, of: 10) }
        #expect(Set(parts.flatMap { Array($0) }) == [3, 4, 5])
    }

    /// Rank r is asked for in proportion to 1 / r^exponent.
    @Test(arguments: [0.5, 0.99, 1, 1.3])
    func zipfFollowsItsLaw(exponent: Double) {
        let count = 200_000
        var counts = [Int](repeating: 0, count: 1000)
        for key in keys(.zipf, 0...999, count: count, exponent: exponent) { counts[Int(key)] += 1 }
        func weight(_ rank: Int) -> Double {
            // Without Foundation there is no pow; repeated square roots serve for these exponents.
            var (power, root, rest) = (1.0, Double(rank), exponent)
            while rest >= 1 { (power, rest) = (power * root, rest - 1) }
            for _ in 0..<30 {
                (root, rest) = (root.squareRoot(), rest * 2)
                if rest >= 1 { (power, rest) = (power * root, rest - 1) }
            }
            return 1 / power
        }
        let sum = (1...1000).reduce(0) { $0 + weight($1) }
        for rank in [1, 2, 5, 10] {
            let expected = Double(count) * weight(rank) / sum
            // Five standard deviations.
            #expect(abs(Double(counts[rank - 1]) - expected) < 5 * expected.squareRoot() + 1, "rank \(rank)")
        }
    }

    /// Mean and deviation are those that were asked for, and no key is outside the range.
    @Test func gaussianKeysFollowTheirBell() {
        for (median, deviation) in [(nil, nil), (300.0, 50.0), (0.0, 100.0)] {
            var sequence = KeySequence(
                pattern: .gaussian, keys: 0...999, median: median, deviation: deviation, connection: 0,
                connections: 1)
            var random = SeededRandom(seed: 11)
            let found = (0..<50_000).map { _ in Double(sequence.next(&random)) }
            #expect(found.allSatisfy { (0...999).contains($0) })
            let center = median ?? 499.5
            let width = deviation ?? 166.5
            // Of a bell 68.3 % lie within one deviation; of the half that begins at its median, too.
            let within = Double(found.filter { abs($0 - center) <= width }.count) / 50_000
            #expect(abs(within - 0.683) < 0.015, "\(center), \(width): \(within)")
            let above = Double(found.filter { $0 > center }.count) / 50_000
            #expect(center == 0 ? above > 0.99 : abs(above - 0.5) < 0.02)
        }
    }

    @Test func seedsOfConnectionsDifferUnlessAskedNotTo() {
        var options = Options()
        #expect(Set((0..<100).map(options.seed(of:))).count == 100)
        options.distinctClientSeed = false
        #expect(Set((0..<100).map(options.seed(of:))).count == 1)
    }
}
