/// The figures in the shape of memtier_benchmark's JSON, so that scripts made for it find them; what it
/// has not (keys, errors, own CPU) is added beside.
func jsonReport(_ options: Options, _ results: [RunResult]) -> String {
    var members = [
        ("configuration", configuration(options)),
        (
            "run information",
            object([
                ("Threads count", "\(options.threads)"),
                ("Connections per thread", "\(options.connections)"),
                ("Requests per client", text(requestCount(options))),
            ])
        ),
        ("ALL STATS", statistics(options, results.combined)),
    ]
    if results.count > 1, let best = results.best, let worst = results.worst {
        members += [
            ("BEST RUN RESULTS", statistics(options, best)),
            ("WORST RUN RESULTS", statistics(options, worst)),
            ("AGGREGATED AVERAGE RESULTS (\(results.count) runs)", statistics(options, results.combined)),
        ]
        for (number, result) in results.enumerated() {
            members.append(("RUN #\(number + 1) RESULTS", statistics(options, result)))
        }
    }
    return object(members) + "\n"
}

private func requestCount(_ options: Options) -> String {
    switch options.requests {
    case nil: "until time is up"
    case .number(let count): "\(count)"
    case .allKeys: "allkeys"
    }
}

private func statistics(_ options: Options, _ result: RunResult) -> String {
    let totals = result.totals
    let seconds = result.seconds
    return object([
        (
            "Runtime",
            object([
                ("Total duration", decimal(seconds * 1000, places: 0)),
                ("Time unit", text("MILLISECONDS")),
            ])
        ),
        ("Sets", figures(options, totals.setLatency, nil, seconds)),
        ("Gets", figures(options, totals.getLatency, totals, seconds)),
        ("Totals", figures(options, totals.latency, totals, seconds)),
        ("Keys", "\(totals.operations)"),
        ("Keys/sec", decimal(Double(totals.operations) / seconds, places: 2)),
        ("Errors", "\(totals.errors)"),
        ("First Error", totals.firstError.map(text) ?? "null"),
        ("Reconnections", "\(totals.reconnections)"),
        ("Unanswered", "\(totals.unanswered)"),
        ("Own Delay", percentiles(options, totals.lateness)),
        ("Bytes Sent", "\(totals.bytesSent)"),
        ("Bytes Received", "\(totals.bytesReceived)"),
        ("Own CPU Nanoseconds", "\(totals.cpuNanoseconds)"),
    ])
}

private func figures(_ options: Options, _ latency: LatencyHistogram, _ counts: Totals?, _ seconds: Double)
    -> String
{
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
        ("Percentile Latencies", percentiles(options, latency)),
    ]
    return object(members)
}

/// In milliseconds: those that are always of interest, and those that were asked for.
private func percentiles(_ options: Options, _ latency: LatencyHistogram) -> String {
    let percents = Set([50, 90, 95, 99, 99.9, 99.99] + options.percentiles).sorted()
    var members: [(String, String)] = []
    for percent in percents {
        // As memtier writes them, p50.00; one that needs more places has them.
        let short = shortDecimal(percent)
        let isLonger = short.drop { $0 != "." }.count > 3
        let name = "p" + (isLonger ? short : decimal(percent, places: 2))
        members.append((name, decimal(Double(latency.percentile(percent)) / 1e6, places: 4)))
    }
    return object(members)
}

private func configuration(_ options: Options) -> String {
    object(configurationMembers(options))
}

/// For --debug: a line for each option.
func configurationText(_ options: Options) -> String {
    configurationMembers(options).map { "\($0.0) = \($0.1)\n" }.joined()
}

private func configurationMembers(_ options: Options) -> [(String, String)] {
    [
        ("server", text(options.host)), ("port", text(options.port)),
        ("unix socket", text(options.unixSocket ?? "")), ("protocol", text(options.dialect.rawValue)),
        ("tls", "\(options.tls != nil)"), ("authenticate", text(options.credentials?.user ?? "")),
        ("threads", "\(options.threads)"), ("clients", "\(options.connections)"),
        ("test_time", decimal(options.seconds ?? 0, places: 3)), ("run_count", "\(options.runCount)"),
        ("rate_limiting", "\(options.ratePerConnection ?? 0)"),
        ("reconnect_interval", "\(options.reconnectInterval)"),
        ("ratio", text("\(options.setRatio):\(options.getRatio)")),
        ("pipeline", "\(options.pipeline)"), ("multi_key_get", "\(options.keysPerGet)"),
        ("data_size_range", text("\(options.dataSize.lowerBound)-\(options.dataSize.upperBound)")),
        (
            "data_size_list",
            text(options.sizeWeights.map { "\($0.size):\($0.weight)" }.joined(separator: ","))
        ),
        ("data_size_pattern", text(String(options.sizePattern.rawValue))),
        ("expiry_range", text(options.expiry.map { "\($0.lowerBound)-\($0.upperBound)" } ?? "")),
        ("client_flags", "\(options.clientFlags)"),
        ("key_prefix", text(options.keyPrefix)), ("key_minimum", "\(options.keys.lowerBound)"),
        ("key_maximum", "\(options.keys.upperBound)"),
        ("key_pattern", text("\(options.setPattern.rawValue):\(options.getPattern.rawValue)")),
        ("key_zipf_exp", decimal(options.zipfExponent, places: 4)),
        ("key_stddev", options.keyDeviation.map { decimal($0, places: 4) } ?? "null"),
        ("key_median", options.keyMedian.map { decimal($0, places: 4) } ?? "null"),
        ("seed", "\(options.seed)"), ("distinct_client_seed", "\(options.distinctClientSeed)"),
        ("verify", "\(options.verify)"),
    ]
}
