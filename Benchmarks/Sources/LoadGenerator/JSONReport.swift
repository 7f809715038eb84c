/// The figures in the shape of memtier_benchmark's JSON, so that scripts made for it find them; what it
/// has not (keys, errors, own CPU) is added beside.
func jsonReport(_ options: Options, _ result: RunResult) -> String {
    let totals = result.totals
    let seconds = result.seconds
    return object([
        ("configuration", configuration(options)),
        (
            "run information",
            object([
                ("Threads count", "\(options.threads)"),
                ("Connections per thread", "\(options.connections)"),
                ("Requests per client", text(options.requests.map { "\($0)" } ?? "until time is up")),
            ])
        ),
        (
            "ALL STATS",
            object([
                (
                    "Runtime",
                    object([
                        ("Total duration", decimal(seconds * 1000, places: 0)),
                        ("Time unit", text("MILLISECONDS")),
                    ])
                ),
                ("Sets", figures(totals.setLatency, nil, seconds)),
                ("Gets", figures(totals.getLatency, totals, seconds)),
                ("Totals", figures(totals.latency, totals, seconds)),
                ("Keys", "\(totals.operations)"),
                ("Keys/sec", decimal(Double(totals.operations) / seconds, places: 2)),
                ("Errors", "\(totals.errors)"),
                ("First Error", totals.firstError.map(text) ?? "null"),
                ("Bytes Sent", "\(totals.bytesSent)"),
                ("Bytes Received", "\(totals.bytesReceived)"),
                ("Own CPU Nanoseconds", "\(totals.cpuNanoseconds)"),
            ])
        ),
    ]) + "\n"
}

private func figures(_ latency: LatencyHistogram, _ counts: Totals?, _ seconds: Double) -> String {
    var members = [
        ("Count", "\(latency.count)"),
        ("Ops/sec", decimal(Double(latency.count) / seconds, places: 2)),
    ]
    if let counts {
        members += [
            ("Hits", "\(counts.hits)"), ("Misses", "\(counts.misses)"),
            ("Hits/sec", decimal(Double(counts.hits) / seconds, places: 2)),
            ("Misses/sec", decimal(Double(counts.misses) / seconds, places: 2)),
        ]
    }
    members += [
        ("Average Latency", decimal(latency.mean / 1e6, places: 4)),
        ("Min Latency", milliseconds(latency.count == 0 ? 0 : latency.minimum)),
        ("Max Latency", milliseconds(latency.maximum)),
        (
            "Percentile Latencies",
            object(
                [50, 90, 95, 99, 99.9, 99.99].map {
                    ("p" + decimal($0, places: 2), decimal(Double(latency.percentile($0)) / 1e6, places: 4))
                })
        ),
    ]
    return object(members)
}

private func configuration(_ options: Options) -> String {
    object([
        ("server", text(options.host)), ("port", text(options.port)),
        ("unix socket", text(options.unixSocket ?? "")), ("protocol", text("memcache_text")),
        ("threads", "\(options.threads)"), ("clients", "\(options.connections)"),
        ("test_time", decimal(options.seconds ?? 0, places: 3)),
        ("ratio", text("\(options.setRatio):\(options.getRatio)")),
        ("pipeline", "\(options.pipeline)"), ("multi_key_get", "\(options.keysPerGet)"),
        ("data_size_range", text("\(options.dataSize.lowerBound)-\(options.dataSize.upperBound)")),
        ("key_prefix", text(options.keyPrefix)), ("key_minimum", "\(options.keys.lowerBound)"),
        ("key_maximum", "\(options.keys.upperBound)"),
        ("key_pattern", text("\(options.setPattern.rawValue):\(options.getPattern.rawValue)")),
        ("key_zipf_exp", decimal(options.zipfExponent, places: 4)), ("seed", "\(options.seed)"),
        ("distinct_client_seed", "\(options.distinctClientSeed)"), ("verify", "\(options.verify)"),
    ])
}

private func object(_ members: [(String, String)]) -> String {
    "{" + members.map { "\(text($0.0)): \($0.1)" }.joined(separator: ", ") + "}"
}

/// A JSON string.
func text(_ string: String) -> String {
    var result = "\""
    for scalar in string.unicodeScalars {
        switch scalar {
        case "\"": result += "\\\""
        case "\\": result += "\\\\"
        case _ where scalar.value < 0x20:
            let digits = String(scalar.value, radix: 16)
            result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
        default: result.unicodeScalars.append(scalar)
        }
    }
    return result + "\""
}
