/// One metric, as `# HELP` and `# TYPE` describe it.
struct Metric {
    enum Kind: String {
        case counter, gauge, histogram
    }

    let name: String
    let kind: Kind
    let help: String

    init(_ name: String, _ kind: Kind, _ help: String) {
        self.name = name
        self.kind = kind
        self.help = help
    }
}

/// Metrics in Prometheus' text format. Every value is taken from the lists of `stats`.
struct MetricsText {
    static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    private(set) var bytes: [UInt8] = []

    /// One value of a metric. A nil value: the statistic is not there, and neither is the sample.
    struct Sample {
        /// Of a histogram: `_bucket`, `_sum` or `_count`.
        var suffix = ""
        var labels: [(name: String, value: String)] = []
        var value: String?
    }

    /// Writes a metric and its samples; nothing without samples.
    mutating func add(_ metric: Metric, _ samples: [Sample]) {
        guard samples.contains(where: { $0.value != nil }) else { return }
        bytes += "# HELP \(metric.name) \(Self.escaped(metric.help, quotes: false))\n".utf8
        bytes += "# TYPE \(metric.name) \(metric.kind.rawValue)\n".utf8
        for sample in samples {
            guard let value = sample.value else { continue }
            bytes += (metric.name + sample.suffix).utf8
            if !sample.labels.isEmpty {
                let labels = sample.labels.map { "\($0.name)=\"\(Self.escaped($0.value, quotes: true))\"" }
                bytes += "{\(labels.joined(separator: ","))}".utf8
            }
            bytes += " \(value)\n".utf8
        }
    }

    mutating func add(_ metric: Metric, _ value: String?) { add(metric, [Sample(value: value)]) }

    private static func escaped(_ text: String, quotes: Bool) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\"" where quotes: result += "\\\""
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}

extension MetricsText {
    /// What `/metrics` answers.
    static func all(of state: ServerState) -> [UInt8] {
        let now = state.clock.now()
        var text = MetricsText()
        let caches = state.caches.map { CacheFigures($0, state, now: now) }
        if let first = caches.first { text.addMemcached(first) }
        text.addCaches(caches)
        if state.settings.showsHotKeys, state.settings.dumpEnabled { text.addHotKeys(state, now: now) }
        text.addServer(caches)
        text.addDurations(state.durations)
        return text.bytes
    }
}

/// The lists of `stats` for one cache, by name.
struct CacheFigures {
    let name: String
    let general: [String: String]
    let settings: [String: String]
    let items: [String: String]
    let slabs: [String: String]
    let larder: [String: String]

    init(_ cache: ServedCache, _ state: ServerState, now: Int64) {
        name = cache.name
        var lines = StatisticsList()
        Statistics.general(state, cache, now: now, &lines)
        general = lines.byName
        lines = StatisticsList()
        SettingsStatistics.write(state, cache, &lines)
        settings = lines.byName
        lines = StatisticsList()
        Statistics.items(state, cache, now: now, &lines)
        items = lines.byName
        lines = StatisticsList()
        Statistics.slabs(cache, &lines)
        slabs = lines.byName
        lines = StatisticsList()
        Statistics.own(state, cache, &lines)
        larder = lines.byName
    }
}

extension StatisticsList {
    /// The values by their names.
    var byName: [String: String] {
        var values: [String: String] = [:]
        visitAll { name, value in values[String(decoding: name, as: UTF8.self)] = String(decoding: value, as: UTF8.self)
        }
        return values
    }
}
