import Glibc
import LarderServer

/// Prints the rates of a server once a second, in place on a terminal.
/// - Parameter once: one table, over one second.
func printRates(_ server: PingSettings, once: Bool, _ talk: inout ServerTalk) throws(ServerFailure) {
    let isTerminal = isatty(STDOUT_FILENO) == 1
    // The cursor to the first line, and the rest of the screen cleared.
    let beginning = isTerminal && !once ? "\u{1B}[H\u{1B}[J" : ""
    var output = StandardOutput()
    var before = try ServerSample(&talk)
    while true {
        poll(nil, 0, sampleMilliseconds)
        let after = try ServerSample(&talk)
        let table = RateTable(server.placeText, before, after)
        try output.add((beginning + table.text).utf8)
        if once { return try output.flush() }
        if !isTerminal { try output.add("\n".utf8) }
        try output.flush()
        before = after
    }
}

private let sampleMilliseconds: Int32 = 1000

/// The statistics of a server at one time.
struct ServerSample {
    /// A server has about a hundred.
    private static let linesMax = 10_000
    private(set) var values: [String: String] = [:]
    /// The monotonic clock.
    private(set) var milliseconds = 0

    init(_ talk: inout ServerTalk) throws(ServerFailure) {
        try talk.send(Array("stats\r\n".utf8))
        for _ in 0..<Self.linesMax {
            let line = try talk.line()
            if line.elementsEqual("END".utf8) {
                milliseconds = larder.milliseconds()
                return
            }
            let words = line.split(separator: UInt8(ascii: " "), maxSplits: 2, omittingEmptySubsequences: false)
            guard words.count >= 2, words[0].elementsEqual("STAT".utf8) else { throw .answered(line) }
            values[PrintableText.string(words[1])] = words.count > 2 ? PrintableText.string(words[2]) : ""
        }
        throw ServerFailure(message: "the list of statistics does not end")
    }

    /// nil: the server does not have all of them, as numbers.
    func sum(_ names: [String]) -> Int64? {
        var total: Int64 = 0
        for name in names {
            guard let text = values[name], let value = Int64(text) else { return nil }
            total &+= value
        }
        return total
    }
}

/// What `larder top` prints: rates between two samples, and what the server has now.
struct RateTable {
    let text: String

    init(_ place: String, _ before: ServerSample, _ after: ServerSample) {
        let seconds = Double(max(1, after.milliseconds - before.milliseconds)) / 1000
        func change(_ names: [String]) -> Double? {
            guard let first = before.sum(names), let last = after.sum(names) else { return nil }
            // `stats reset` sets the counters back.
            return Double(max(0, last.subtractingReportingOverflow(first).partialValue))
        }
        var text = "\(place)  version \(after.values["version"] ?? "-")  up \(Self.duration(after.sum(["uptime"])))\n\n"
        text += Self.row("a second", "")
        for (title, names) in Self.rates { text += Self.row(title, Self.whole(change(names).map { $0 / seconds })) }
        let hits = change(["get_hits"]) ?? 0
        let gets = hits + (change(["get_misses"]) ?? 0)
        text += Self.row("hit ratio, %", gets > 0 ? Self.percent(hits / gets) : "-")
        text += "\n" + Self.row("now", "")
        for (title, name) in Self.gauges { text += Self.row(title, Self.whole(after.sum([name]).map { Double($0) })) }
        let use = after.sum(["bytes"]).flatMap { used in
            after.sum(["limit_maxbytes"]).flatMap { $0 > 0 ? Self.percent(Double(used) / Double($0)) : nil }
        }
        self.text = text + Self.row("memory used, %", use ?? "-")
    }

    private static let rates: [(title: String, names: [String])] = [
        ("gets", ["get_hits", "get_misses"]), ("sets", ["cmd_set"]), ("deletes", ["delete_hits", "delete_misses"]),
        ("incrs and decrs", ["incr_hits", "incr_misses", "decr_hits", "decr_misses"]), ("touches", ["cmd_touch"]),
        ("new connections", ["total_connections"]), ("evictions", ["evictions"]), ("expirations", ["reclaimed"]),
        ("bytes received", ["bytes_read"]), ("bytes sent", ["bytes_written"]),
    ]

    private static let gauges: [(title: String, name: String)] = [
        ("connections", "curr_connections"), ("items", "curr_items"), ("bytes", "bytes"),
        ("limit, bytes", "limit_maxbytes"),
    ]

    private static func row(_ title: String, _ value: String) -> String {
        guard !value.isEmpty else { return title + "\n" }
        return "  " + title + String(repeating: " ", count: max(1, 34 - title.count - value.count)) + value + "\n"
    }

    private static func whole(_ value: Double?) -> String {
        guard let value, value.isFinite, value.magnitude < 1e18 else { return "-" }
        return String(Int64(value.rounded()))
    }

    private static func percent(_ ratio: Double) -> String {
        guard ratio.isFinite, ratio.magnitude < 1e6 else { return "-" }
        let tenths = Int64((ratio * 1000).rounded())
        return "\(tenths / 10).\(abs(tenths % 10))"
    }

    private static func duration(_ seconds: Int64?) -> String {
        guard let seconds, seconds >= 0 else { return "-" }
        let (days, rest) = seconds.quotientAndRemainder(dividingBy: 86_400)
        func two(_ number: Int64) -> String { number < 10 ? "0\(number)" : "\(number)" }
        let time = "\(two(rest / 3600)):\(two(rest / 60 % 60)):\(two(rest % 60))"
        return days > 0 ? "\(days) d \(time)" : time
    }
}

extension PingSettings {
    /// Where the server is, for people.
    fileprivate var placeText: String { unixSocketPath ?? "\(host ?? "this machine"), port \(port)" }
}
