/// A number with `places` digits behind the point, without Foundation.
func decimal(_ value: Double, places: Int) -> String {
    guard value.isFinite else { return "0" }
    var scale = 1.0
    for _ in 0..<places { scale *= 10 }
    let scaled = (abs(value) * scale).rounded()
    guard scaled < 1e18 else { return "\(value)" }
    let digits = String(UInt64(scaled))
    let padded = String(repeating: "0", count: max(0, places + 1 - digits.count)) + digits
    let sign = value < 0 && scaled > 0 ? "-" : ""
    return places == 0 ? sign + padded : "\(sign)\(padded.dropLast(places)).\(padded.suffix(places))"
}

/// Latencies in milliseconds, as memtier gives them.
func milliseconds(_ nanoseconds: UInt64) -> String { decimal(Double(nanoseconds) / 1e6, places: 3) }

private func cell(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(1, width - text.count)) + text
}

/// What a person reads at the end of a run.
func summary(_ options: Options, _ result: RunResult) -> String {
    let totals = result.totals
    let place = options.unixSocket ?? "\(options.host):\(options.port)"
    var text = """
        \(place): \(options.threads) thread(s), \(options.connections) connections each, \
        pipeline \(options.pipeline), \(decimal(result.seconds, places: 2)) s

        """
    text +=
        "Type  "
        + ["Requests/s", "Hits/s", "Misses/s", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms"]
        .map { cell($0, 12) }.joined() + "\n"
    let rows = [
        ("Sets  ", totals.setLatency, nil), ("Gets  ", totals.getLatency, totals),
        ("Totals", totals.latency, totals),
    ]
    for (name, latency, counts) in rows { text += row(name, latency, counts, result.seconds) }
    let perRequest = Double(totals.cpuNanoseconds) / 1e3 / Double(max(1, totals.requests))
    text += """

        Keys/s        \(decimal(Double(totals.operations) / result.seconds, places: 0))
        Errors        \(totals.errors)\(totals.firstError.map { " (first: \($0))" } ?? "")
        Sent          \(decimal(Double(totals.bytesSent) / 1e6, places: 1)) MB
        Received      \(decimal(Double(totals.bytesReceived) / 1e6, places: 1)) MB
        Own CPU       \(decimal(perRequest, places: 2)) us a request
        Values        \(options.verify ? "checked" : "not checked")

        """
    if !options.hideHistogram { text += "\n" + distribution(totals.latency) }
    return text
}

private func row(_ name: String, _ latency: LatencyHistogram, _ counts: Totals?, _ seconds: Double) -> String
{
    var cells = [decimal(Double(latency.count) / seconds, places: 0)]
    cells +=
        counts.map { [$0.hits, $0.misses] }?.map { decimal(Double($0) / seconds, places: 0) } ?? ["-", "-"]
    cells += [50, 90, 99, 99.9].map { milliseconds(latency.percentile($0)) }
    cells.append(milliseconds(latency.maximum))
    return name + cells.map { cell($0, 12) }.joined() + "\n"
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
