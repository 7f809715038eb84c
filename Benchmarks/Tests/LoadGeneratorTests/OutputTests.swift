import Testing

@testable import LoadGenerator

/// Percentiles as text, the picture, JSON and the progress line.
struct OutputTests {
    private func histogram(_ values: some Sequence<UInt64>) -> LatencyHistogram {
        var histogram = LatencyHistogram()
        for value in values { histogram.record(value) }
        return histogram
    }

    /// Each point says how many answers took at most so long; they rise to the slowest.
    @Test(arguments: [UInt64(1), 2]) func percentilePointsFollowSortedData(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let values = (0..<5000).map { _ in random.next(below: 1 << (10 + random.next(below: 20))) }
        let points = histogram(values).percentilePoints
        for point in points {
            // All of the last bucket count: its values are less than 1 % above.
            let exact = values.filter { $0 <= point.latency }.count
            #expect(Int(point.count) >= exact)
            #expect(Int(point.count) <= values.filter { Double($0) <= Double(point.latency) * 1.01 }.count)
            #expect(Double(point.count) >= point.share * 5000 - 0.001)
        }
        #expect(points.map(\.latency) == points.map(\.latency).sorted())
        #expect(points.map(\.share) == points.map(\.share).sorted())
        #expect(points.last == PercentilePoint(latency: values.max()!, share: 1, count: 5000))
        // Five for each halving of the rest.
        let tenths = points.prefix(6).map { ($0.share * 1000).rounded() }
        #expect(tenths == [0, 100, 200, 300, 400, 500])
    }

    @Test func percentileText() {
        let lines = LoadGenerator.percentileText(histogram([1_000_000, 1_000_000, 2_000_000, 4_000_000]))
            .split(separator: "\n", omittingEmptySubsequences: false)
        #expect(lines[0] == "       Value     Percentile TotalCount 1/(1-Percentile)")
        #expect(lines[1].isEmpty)
        #expect(lines[2] == "    1.003519 0.000000000000          2           1.00")
        #expect(lines.contains("    4.000000 1.000000000000          4"))
        #expect(lines.contains { $0.hasPrefix("#[Mean    =     2.000000, StdDeviation   =     1.22") })
        #expect(lines.contains("#[Max     =     4.000000, Total count    =            4]"))
        #expect(LoadGenerator.percentileText(LatencyHistogram()).contains("Total count    =            0]"))
    }

    @Test func standardDeviation() {
        #expect(histogram([100, 100]).standardDeviation == 0)
        #expect(histogram([20, 40, 60, 80]).standardDeviation == 500.0.squareRoot())
    }

    /// A curve for each run, inside the picture, and falling on the page as latency rises.
    @Test func thePictureHasACurveForEachRun() throws {
        let curves = [
            histogram((1...1000).map { $0 * 1000 }), histogram((1...1000).map { $0 * 3000 }),
        ].map(\.percentilePoints)
        let drawing = LatencyPlot(curves: curves).drawing(title: "a < b & \"c\"")
        let parts = drawing.split(separator: "points=\"").dropFirst()
        #expect(parts.count == 2)
        for part in parts {
            let places = part.prefix { $0 != "\"" }.split(separator: " ").map {
                $0.split(separator: ",").compactMap { Double($0) }
            }
            #expect(
                places.allSatisfy {
                    $0.count == 2 && (80...860).contains($0[0]) && (50...450).contains($0[1])
                })
            #expect(places.map { $0[0] } == places.map { $0[0] }.sorted())
            #expect(places.map { -$0[1] } == places.map { -$0[1] }.sorted())
        }
        #expect(drawing.contains(">a &lt; b &amp; &quot;c&quot;<"))
        for label in ["0 %", "90 %", "99 %", "99.9 %", "run 1", "run 2", "1 ms", "5 ms"] {
            #expect(drawing.contains(">\(label)<"), "\(label)")
        }
        #expect(elements(drawing) == 0)
    }

    @Test func aPictureOfNothing() {
        let drawing = LatencyPlot(curves: []).drawing(title: "")
        #expect(elements(drawing) == 0 && !drawing.contains("nan") && !drawing.contains("inf"))
    }

    /// Elements that were opened and not closed.
    private func elements(_ text: String) -> Int {
        var depth = 0
        for part in text.split(separator: "<").dropFirst(text.hasPrefix("<") ? 0 : 1) {
            if part.hasPrefix("/") {
                depth -= 1
            } else if !part.contains("/>") {
                depth += 1
            }
        }
        return depth
    }

    @Test func latenciesHaveUnits() {
        #expect([500, 20_000, 1_500_000, 2e9].map(latencyText) == ["500 ns", "20 us", "1.5 ms", "2 s"])
        #expect(shortDecimal(99.9) == "99.9" && shortDecimal(50) == "50" && shortDecimal(100) == "100")
    }

    @Test func theProgressLine() {
        var options = Options()
        options.seconds = 8
        let last = ProgressCounts(time: 2_000_000_000, requests: 100, latencySum: 100_000_000)
        let now = ProgressCounts(time: 3_000_000_000, requests: 300, latencySum: 300_000_000)
        let line = progressLine(options, last, now, runNumber: 1, start: 1_000_000_000)
        #expect(line == "run 1   25 %   2 s   300 requests   200/s   1.000 ms")
        options.seconds = nil
        options.requests = .number(12)
        let preload = progressLine(options, last, now, runNumber: 0, start: 1_000_000_000)
        #expect(preload.hasPrefix("preload   50 %   2 s"))
    }

    @Test func severalRunsAreSummedUp() {
        func result(_ count: UInt64, seconds: Double) -> RunResult {
            var totals = Totals()
            totals.getLatency.record(1_000_000, times: count)
            totals.hits = count
            return RunResult(totals: totals, seconds: seconds)
        }
        let results = [result(100, seconds: 1), result(300, seconds: 1), result(200, seconds: 2)]
        #expect(results.best?.totals.hits == 300 && results.worst?.totals.hits == 100)
        #expect(results.combined.requestsPerSecond == 150)
        let text = summary(Options(), results)
        #expect(
            text.contains("\nBest run\n") && text.contains("\nWorst run\n") && text.contains("\nAll 3 runs\n")
        )
        let json = jsonReport(Options(), results)
        #expect(json.contains("\"RUN #3 RESULTS\"") && json.contains("\"p99.90\""))
    }
}
