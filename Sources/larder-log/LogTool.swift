import Glibc
import LarderReplication

/// `larder-log`, which `larder log` runs: makes, reads and shortens a log of replicated caches.
@main
struct LogTool {
    /// As in the server's commands.
    private enum ExitCode {
        static let failed: Int32 = 1
        static let usage: Int32 = 64
    }

    static func main() {
        let words = Array(CommandLine.arguments.dropFirst())
        if words.first == "-h" || words.first == "--help" {
            say(LogRequest.usage, to: STDOUT_FILENO)
            exit(0)
        }
        // SAFETY: no thread of this process changes the environment.
        let given = getenv(LogRequest.variable).map { String(cString: $0) }
        guard let request = LogRequest(words, environment: given) else {
            say(LogRequest.usage, to: STDERR_FILENO)
            exit(ExitCode.usage)
        }
        do throws(ReplicationError) {
            try run(request)
        } catch {
            say("larder log \(words[0]): \(error)\n", to: STDERR_FILENO)
            exit(ExitCode.failed)
        }
    }

    private static func run(_ request: LogRequest) throws(ReplicationError) {
        let place = request.place
        if !request.isFromEnvironment { try place.requireNoPassword() }
        switch request.command {
        case .create(let printsSQL):
            if printsSQL { say(try place.schema(), to: STDOUT_FILENO) } else { try place.create() }
        case .status: try printStatus(try place.open())
        case .tail(let after, let follows): try printRecords(try place.open(), after: after, follows: follows)
        case .rewrite(let before): try rewrite(try place.open(), before: before)
        }
    }

    private static func printStatus(_ log: any UpdateLog) throws(ReplicationError) {
        let snapshot = try log.snapshot()?.id ?? 0
        let latest = try log.latest().id
        say("latest \(latest)\nsnapshot \(snapshot)\nrecords \(latest - min(latest, snapshot))\n", to: STDOUT_FILENO)
    }

    // MARK: Records

    private static let recordsPerRead = 1024
    /// Without `--after`, so many records are printed.
    private static let recordsUsual: UInt64 = 10

    private static func printRecords(
        _ log: any UpdateLog, after id: UInt64?, follows: Bool
    ) throws(ReplicationError) {
        let latest = try log.latest().id
        let snapshot = try log.snapshot()?.id ?? 0
        var last = id ?? max(latest - min(latest, recordsUsual), snapshot)
        while true {
            let entries = try log.read(after: last, limit: recordsPerRead)
            if let first = entries.first, first.id > last + 1 {
                say("larder log tail: a snapshot has replaced the records before \(first.id)\n", to: STDERR_FILENO)
            }
            var text = ""
            for entry in entries { text += lines(entry) }
            say(text, to: STDOUT_FILENO)
            last = entries.last?.id ?? last
            guard entries.isEmpty else { continue }
            guard follows else { return }
            _ = try log.wait(after: last, milliseconds: 1000, wakeups: [])
        }
    }

    private static func lines(_ entry: UpdateEntry) -> String {
        guard let changes = entry.record.changes() else { return "\(entry.id) unreadable\n" }
        var text = ""
        for change in changes {
            switch change {
            case .set(let key, let value, _): text += "\(entry.id) set \(printable(key)) \(value.count)\n"
            case .delete(let key): text += "\(entry.id) delete \(printable(key))\n"
            case .conditional(let key, let value?, _, _):
                text += "\(entry.id) set-if \(printable(key)) \(value.count)\n"
            case .conditional(let key, nil, _, _): text += "\(entry.id) delete-if \(printable(key))\n"
            case .clear: text += "\(entry.id) clear\n"
            }
        }
        return text
    }

    /// A key without blanks and control characters, in the form that `larder keys` prints.
    private static func printable(_ key: [UInt8]) -> String {
        var bytes: [UInt8] = []
        for byte in key {
            if byte > 32, byte != 127, byte != UInt8(ascii: "%") {
                bytes.append(byte)
            } else {
                bytes += Array("%".utf8) + Array((byte < 16 ? "0" : "").utf8) + Array(String(byte, radix: 16).utf8)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    // MARK: History

    private static func rewrite(_ log: any UpdateLog, before id: UInt64?) throws(ReplicationError) {
        var next = seconds() + 1
        func report(_ id: UInt64, of limit: UInt64) {
            guard seconds() >= next else { return }
            next = seconds() + 1
            say("larder log rewrite: read record \(id) of \(limit)\n", to: STDERR_FILENO)
        }
        try History.rewrite(log, before: id, { _ in true }, progress: report)
        say("snapshot \(try log.snapshot()?.id ?? 0)\n", to: STDOUT_FILENO)
    }

    private static func seconds() -> Int {
        var time = timespec()
        // SAFETY: fills in a struct that is lent to it.
        clock_gettime(CLOCK_MONOTONIC, &time)
        return time.tv_sec
    }

    /// Writes all of a text. A reader that has gone ends the program.
    private static func say(_ text: String, to descriptor: Int32) {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { exit(ExitCode.failed) }
            rest = rest.dropFirst(count)
        }
    }
}
