import LarderTesting
import Testing

@testable import LarderServer

@Suite struct CommandDurationsTests {
    typealias Command = CommandDurations.Command

    @Test func boundsAscendAndAreClose() {
        let bounds = CommandDurations.bounds
        for (lower, upper) in zip(bounds, bounds.dropFirst()) {
            #expect(lower < upper)
            if lower >= 20_000, upper <= 10_000_000 { #expect(Double(upper) / Double(lower) < 1.15) }
        }
        #expect(bounds.first == 5_000 && bounds.last == 1_000_000_000)
        #expect(bounds.contains(20_000) && bounds.contains(900_000) && bounds.contains(1_120_000))
    }

    @Test func everyDurationIsInTheBucketOfItsBound() {
        let bounds = CommandDurations.bounds
        for (place, bound) in bounds.enumerated() {
            #expect(CommandDurations.bucket(bound) == place)
            #expect(CommandDurations.bucket(bound + 1) == place + 1)
        }
        #expect(CommandDurations.bucket(0) == 0 && CommandDurations.bucket(.min) == 0)
        #expect(CommandDurations.bucket(.max) == bounds.count)
    }

    /// The 99th percentile as Prometheus finds it, of spreads that a server shows.
    @Test(arguments: [1, 1.02, 2, 8, 50])
    func quantilesAreRight(spread: Double) {
        var random = SeededRandom(seed: 7)
        for microseconds in [25.0, 97, 430, 1_110, 1_121, 6_200] {
            let durations = CommandDurations()
            defer { durations.deallocate() }
            // Evenly spread by their logarithms: each octave has as many.
            let values = (0..<20_000).map { _ -> Int64 in
                var factor = 1.0
                for _ in 0..<8 where Bool.random(using: &random) { factor *= 1 - (1 - 1 / spread) / 8 }
                return Int64(microseconds * 1000 * factor)
            }
            for value in values { durations.record(.get, nanoseconds: value, steps: 1) }
            let exact = Double(values.sorted()[values.count * 99 / 100])
            let found = Self.quantile(0.99, durations.counts(.get))
            // Durations that are all the same lie anywhere in their bucket.
            let limit = spread == 1 ? 0.15 : 0.1
            #expect(abs(found / exact - 1) < limit, "\(microseconds) us, spread \(spread): \(found) for \(exact)")
        }
    }

    private static func quantile(_ share: Double, _ counts: [Int64]) -> Double {
        let rank = share * Double(counts.reduce(0, +))
        var below = 0.0
        for (place, count) in counts.enumerated() {
            let lower = place == 0 ? 0 : Double(CommandDurations.bounds[place - 1])
            if below + Double(count) >= rank {
                return lower + (Double(CommandDurations.bounds[place]) - lower) * (rank - below) / Double(max(1, count))
            }
            below += Double(count)
        }
        return .infinity
    }

    @Test func stepsKeepTheirBeginning() {
        var timed = TimedSteps()
        #expect(timed.since == 0)
        timed.add(.get, since: 5)
        timed.add(.set, since: 9)
        timed.add(.get, since: 9)
        #expect(timed.since == 5)
        #expect(timed.counts[Command.get.rawValue] == 2 && timed.counts[Command.set.rawValue] == 1)
        #expect(timed.counts[Command.other.rawValue] == 0)
    }
}
