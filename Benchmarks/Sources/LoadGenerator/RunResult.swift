/// A finished run.
struct RunResult {
    var totals: Totals
    var seconds: Double

    var requestsPerSecond: Double { Double(totals.requests) / seconds }
}

extension [RunResult] {
    var best: RunResult? { self.max { $0.requestsPerSecond < $1.requestsPerSecond } }
    var worst: RunResult? { self.min { $0.requestsPerSecond < $1.requestsPerSecond } }

    /// All runs as one: its rates are the averages.
    var combined: RunResult {
        var all = RunResult(totals: Totals(), seconds: 0)
        for result in self {
            all.totals.add(result.totals)
            all.seconds += result.seconds
        }
        return all
    }
}

extension Totals {
    /// The histograms that have files of their own, by memtier's names.
    var histograms: [(String, LatencyHistogram)] {
        [("FULL", latency), ("SET_command", setLatency), ("GET_command", getLatency)]
    }
}
