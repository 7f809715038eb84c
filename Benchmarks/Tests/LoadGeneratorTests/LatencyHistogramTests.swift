import Testing

@testable import LoadGenerator

struct LatencyHistogramTests {
    /// Percentiles of a histogram are those of the sorted data, at most 1 % above.
    @Test(arguments: [UInt64(1), 2, 3])
    func percentilesFollowSortedData(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var histogram = LatencyHistogram()
        // Evenly over the magnitudes from nanoseconds to seconds.
        let values = (0..<20_000).map { _ in random.next() >> (30 + random.next(below: 34)) }
        for value in values { histogram.record(value) }
        let sorted = values.sorted()
        for percent in [0.1, 1, 25, 50, 90, 99, 99.9, 99.99, 100] {
            let rank = max(1, Int((Double(sorted.count) * percent / 100).rounded(.up)))
            let exact = sorted[rank - 1]
            let found = histogram.percentile(percent)
            #expect(found >= exact)
            #expect(Double(found) <= Double(exact) * 1.01, "p\(percent), seed \(seed)")
        }
        #expect(histogram.count == 20_000)
        #expect(histogram.minimum == sorted.first)
        #expect(histogram.maximum == sorted.last)
    }

    @Test func smallValuesAreExact() {
        var histogram = LatencyHistogram()
        for value in UInt64(1)...100 { histogram.record(value) }
        #expect(histogram.percentile(50) == 50)
        #expect(histogram.percentile(99) == 99)
        #expect(histogram.percentile(100) == 100)
        #expect(histogram.mean == 50.5)
    }

    @Test func nothingRecordedIsZero() {
        #expect(LatencyHistogram().percentile(99) == 0)
        #expect(LatencyHistogram().mean == 0)
    }

    /// What is longer than the last bucket is still counted, with its true maximum.
    @Test func endlessLatencyIsCounted() {
        var histogram = LatencyHistogram()
        histogram.record(1 << 50)
        #expect(histogram.count == 1)
        #expect(histogram.maximum == 1 << 50)
    }

    @Test func sumOfTwoIsOneOfBoth() {
        var random = SeededRandom(seed: 9)
        var (first, second, both) = (LatencyHistogram(), LatencyHistogram(), LatencyHistogram())
        for index in 0..<1000 {
            let value = random.next(below: 1_000_000)
            if index % 3 == 0 { first.record(value) } else { second.record(value) }
            both.record(value)
        }
        first.add(second)
        for percent in stride(from: 0.0, through: 100, by: 5) {
            #expect(first.percentile(percent) == both.percentile(percent))
        }
        #expect(first.mean == both.mean)
        #expect(first.minimum == both.minimum)
    }
}
