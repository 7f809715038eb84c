/// What a person reads at the end: one run in full; of several a line each, the best, the worst, and all together.
func summary(_ options: Options, _ results: [RunResult]) -> String {
    guard results.count > 1, let best = results.best, let worst = results.worst else {
        return results.map { summary(options, $0) }.joined()
    }
    var report = "Run   " + heading(options)
    for (number, result) in results.enumerated() {
        let totals = result.totals
        report += row("\(number + 1)", totals.latency, totals, result.seconds, options)
    }
    if options.printsAllRuns {
        for (number, result) in results.enumerated() {
            report += "\nRun \(number + 1)\n" + summary(options, result)
        }
    } else {
        report += "\nBest run\n" + summary(options, best) + "\nWorst run\n" + summary(options, worst)
    }
    return report + "\nAll \(results.count) runs\n" + summary(options, results.combined)
}

private func summary(_ options: Options, _ result: RunResult) -> String {
    let totals = result.totals
    var report = """
        \(options.place): \(options.dialect.rawValue), \(options.threads) thread(s), \
        \(options.connections) connections each, pipeline \(options.pipeline), \
        \(decimal(result.seconds, places: 2)) s

        """
    report += "Type  " + heading(options)
    report += row("Sets", totals.setLatency, nil, result.seconds, options)
    report += row("Gets", totals.getLatency, totals, result.seconds, options)
    report += row("Totals", totals.latency, totals, result.seconds, options)
    report += "\n"
    for (name, value) in facts(options, result) {
        report += name + String(repeating: " ", count: max(1, 14 - name.count)) + value + "\n"
    }
    if !options.hideHistogram { report += "\n" + distribution(totals.latency) }
    return report
}

/// What stands below the table.
private func facts(_ options: Options, _ result: RunResult) -> [(String, String)] {
    let totals = result.totals
    let perRequest = Double(totals.cpuNanoseconds) / 1e3 / Double(max(1, totals.requests))
    let share = Double(totals.cpuNanoseconds) / 1e9 / result.seconds
    var facts = [
        ("Keys/s", decimal(Double(totals.operations) / result.seconds, places: 0)),
        ("Errors", "\(totals.errors)" + (totals.firstError.map { " (first: \($0))" } ?? "")),
        ("Sent", "\(decimal(Double(totals.bytesSent) / 1e6, places: 1)) MB"),
        ("Received", "\(decimal(Double(totals.bytesReceived) / 1e6, places: 1)) MB"),
        ("Own CPU", "\(decimal(perRequest, places: 2)) us a request, \(decimal(share, places: 2)) cores"),
        ("Values", options.verify ? "checked" : "not checked"),
    ]
    if options.reconnectInterval > 0 { facts.append(("Reconnections", "\(totals.reconnections)")) }
    if let rate = options.ratePerConnection {
        let asked = rate * options.connectionsInAll
        let lateness = totals.lateness
        facts += [
            ("Rate", "\(asked)/s asked for; latency counts from when a request was due"),
            ("Unanswered", "\(totals.unanswered) requests that were due when time was up"),
            (
                "Own delay",
                "p50 \(milliseconds(lateness.percentile(50))) ms, p99 \(milliseconds(lateness.percentile(99))) ms "
                    + "from due to sent on idle connections; it is in the latencies"
            ),
        ]
    }
    return facts
}

private func heading(_ options: Options) -> String {
    let percentiles = options.percentiles.map { "p\(shortDecimal($0)) ms" }
    let titles = ["Requests/s", "Hits/s", "Misses/s", "mean ms"] + percentiles + ["max ms"]
    return titles.map { cell($0, 12) }.joined() + "\n"
}

private func row(
    _ name: String, _ latency: LatencyHistogram, _ counts: Totals?, _ seconds: Double, _ options: Options
) -> String {
    var cells = [decimal(Double(latency.count) / seconds, places: 0)]
    cells +=
        counts.map { [$0.hits, $0.misses] }?.map { decimal(Double($0) / seconds, places: 0) } ?? ["-", "-"]
    cells.append(decimal(latency.mean / 1e6, places: 3))
    cells += options.percentiles.map { milliseconds(latency.percentile($0)) }
    cells.append(milliseconds(latency.maximum))
    return name + String(repeating: " ", count: max(0, 6 - name.count)) + cells.map { cell($0, 12) }.joined()
        + "\n"
}

/// The distribution of all latencies, finer towards the slow end.
private func distribution(_ latency: LatencyHistogram) -> String {
    var text = "Percent        ms\n"
    for percent in [1, 10, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 99.99, 99.999, 100] {
        text +=
            cell(decimal(percent, places: 3), 7) + cell(milliseconds(latency.percentile(percent)), 11) + "\n"
    }
    return text
}
