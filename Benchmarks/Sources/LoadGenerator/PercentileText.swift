/// A place of a distribution: `share` of the answers took at most `latency`.
struct PercentilePoint: Equatable {
    /// Nanoseconds.
    var latency: UInt64
    /// 0 ... 1.
    var share: Double
    /// Answers that took at most this long.
    var count: UInt64
}

extension LatencyHistogram {
    /// HdrHistogram's choice of percentiles: five in each half of what is left, up to the slowest answer.
    var percentilePoints: [PercentilePoint] {
        guard count > 0 else { return [] }
        var points: [PercentilePoint] = []
        var share = 0.0
        var ticks = 10.0
        while true {
            let latency = percentile(share * 100)
            let below = count(upTo: latency)
            points.append(PercentilePoint(latency: latency, share: share, count: below))
            if below == count { break }
            // The distance halves whenever half of what was left has been passed.
            while 1 / (1 - share) >= ticks / 5 { ticks *= 2 }
            share += 1 / ticks
        }
        points.append(PercentilePoint(latency: maximum, share: 1, count: count))
        return points
    }
}

/// The percentiles in the text form that HdrHistogram's tools write and plot (`.hgrm`), in milliseconds.
func percentileText(_ latency: LatencyHistogram) -> String {
    func column(_ value: String, _ width: Int) -> String {
        String(repeating: " ", count: max(0, width - value.count)) + value
    }
    var lines = "       Value     Percentile TotalCount 1/(1-Percentile)\n\n"
    for point in latency.percentilePoints {
        lines += column(decimal(Double(point.latency) / 1e6, places: 6), 12)
        lines += " " + column(decimal(point.share, places: 12), 14) + " " + column("\(point.count)", 10)
        lines += point.share < 1 ? " " + column(decimal(1 / (1 - point.share), places: 2), 14) + "\n" : "\n"
    }
    func field(_ value: Double) -> String { column(decimal(value / 1e6, places: 6), 12) }
    lines += "#[Mean    = \(field(latency.mean)), StdDeviation   = \(field(latency.standardDeviation))]\n"
    lines +=
        "#[Max     = \(field(Double(latency.maximum))), Total count    = \(column("\(latency.count)", 12))]\n"
    lines += "#[Buckets = \(column("\(LatencyHistogram.doublings)", 12)), "
    return lines + "SubBuckets     = \(column("\(2 << LatencyHistogram.precision)", 12))]\n"
}
