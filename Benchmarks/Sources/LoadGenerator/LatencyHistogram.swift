/// Counts latencies in buckets whose width grows with the value: 128 buckets for each doubling, so that
/// a percentile is off by less than 1 % (two significant digits), in 30 KB and a few instructions.
struct LatencyHistogram {
    /// log2 of the buckets in each doubling.
    static let precision = 7
    /// Latencies from here on (137 s) share the last bucket.
    private static let limit: UInt64 = 1 << 37

    /// How often the width of the buckets doubles.
    static let doublings = bucketCount >> precision

    private static let bucketCount = bucket(of: limit &- 1) + 1

    private var counts = [UInt64](repeating: 0, count: bucketCount)
    private(set) var count: UInt64 = 0
    private(set) var sum: UInt64 = 0
    private(set) var maximum: UInt64 = 0
    private(set) var minimum = UInt64.max

    /// Counts `times` answers that each took `nanoseconds`.
    @inline(__always)
    mutating func record(_ nanoseconds: UInt64, times: UInt64 = 1) {
        counts[Self.bucket(of: min(nanoseconds, Self.limit &- 1))] &+= times
        count &+= times
        sum &+= nanoseconds &* times
        if nanoseconds > maximum { maximum = nanoseconds }
        if nanoseconds < minimum { minimum = nanoseconds }
    }

    mutating func add(_ other: LatencyHistogram) {
        for index in counts.indices { counts[index] += other.counts[index] }
        count += other.count
        sum += other.sum
        maximum = max(maximum, other.maximum)
        minimum = min(minimum, other.minimum)
    }

    /// The latency that `percent` of the answers did not exceed, in nanoseconds; 0 without answers.
    func percentile(_ percent: Double) -> UInt64 {
        guard count > 0 else { return 0 }
        let rank = max(1, UInt64((Double(count) * percent / 100).rounded(.up)))
        var seen: UInt64 = 0
        for (index, here) in counts.enumerated() {
            seen += here
            // The bucket's highest value: a percentile is a promise that no more is needed.
            if seen >= rank { return min(Self.highest(in: index), maximum) }
        }
        return maximum
    }

    /// How many answers took at most `nanoseconds`, to the end of its bucket.
    func count(upTo nanoseconds: UInt64) -> UInt64 {
        let last = Self.bucket(of: min(nanoseconds, Self.limit - 1))
        return counts[...last].reduce(0, +)
    }

    /// In nanoseconds, from the middles of the buckets.
    var standardDeviation: Double {
        guard count > 0 else { return 0 }
        var squares = 0.0
        for (index, here) in counts.enumerated() where here > 0 {
            let high = Double(Self.highest(in: index))
            let low = index == 0 ? 0 : Double(Self.highest(in: index - 1)) + 1
            let distance = (low + high) / 2 - mean
            squares += distance * distance * Double(here)
        }
        return (squares / Double(count)).squareRoot()
    }

    /// The mean in nanoseconds.
    var mean: Double { count == 0 ? 0 : Double(sum) / Double(count) }

    /// Values below 128 have a bucket each; above, the leading 8 bits choose it.
    @inline(__always)
    private static func bucket(of value: UInt64) -> Int {
        let shift = max(0, 63 &- value.leadingZeroBitCount &- precision)
        return (shift &<< precision) &+ Int(truncatingIfNeeded: value &>> UInt64(shift))
    }

    private static func highest(in bucket: Int) -> UInt64 {
        let size = 1 << precision
        guard bucket >= 2 * size else { return UInt64(bucket) }
        let shift = bucket / size - 1
        return (UInt64(bucket - shift * size + 1) << UInt64(shift)) - 1
    }
}
