import Foundation
import LarderReplication
import LarderTesting
import Testing

/// The program `replication-probe` in a process of its own.
final class Probe {
    private let child: ChildProcess
    private let output: String

    init(_ place: ReplicationPlace, state: String = "state", _ command: String, _ arguments: String...) throws {
        output = place.path + "/output-\(UUID().uuidString)"
        child = try ChildProcess(
            executable: Self.program("replication-probe"),
            arguments: [command, place.log, place.state(state)] + arguments,
            environment: ["SWIFT_BACKTRACE": "enable=no"], outputPath: output)
    }

    /// Built beside the test program.
    static func program(_ name: String) -> String {
        let candidates = CommandLine.arguments.map { argument in
            argument.lastIndex(of: "/").map { argument[...$0] + name } ?? "./" + name
        }
        return candidates.first { access($0, X_OK) == 0 } ?? candidates[0]
    }

    /// The lines that it printed to their end.
    var lines: [Substring] {
        guard let bytes = try? ReplicationPlace.content(of: output), let end = bytes.lastIndex(of: 10) else {
            return []
        }
        return bytes[...end].split(separator: 10).map { Substring(String(decoding: $0, as: UTF8.self)) }
    }

    /// The numbers behind a word at the beginning of lines.
    func numbers(_ word: String) -> [Int] {
        lines.filter { $0.hasPrefix(word + " ") }.flatMap {
            $0.split(separator: " ").dropFirst().compactMap { Int($0) }
        }
    }

    func awaitOpen() throws {
        let deadline = Date(timeIntervalSinceNow: 20)
        while lines.isEmpty, Date() < deadline { usleep(1000) }
        try #require(lines.first == "open")
    }

    func awaitEnd() {
        child.awaitEnd()
        #expect(child.hasSucceeded, "\(lines.last ?? "no output")")
    }

    func end() { child.end() }
}

/// A process that sets keys until it is killed, and the processes that continue its work.
final class KilledWriter {
    let name: String
    private let place: ReplicationPlace
    private var probe: Probe
    /// By key: the number that was set last by a set that returned.
    private(set) var last: [String: Int] = [:]
    private(set) var acknowledged = 0
    /// The number whose set may have been under way.
    private(set) var pending = 1
    static let keys = 9
    /// Keys that a set under way had removed when it was killed.
    private var mayBeRemoved: Set<String> = []
    private var isRunning = true

    init(_ place: ReplicationPlace, _ name: String) throws {
        (self.place, self.name) = (place, name)
        probe = try Probe(place, "write", name, "\(Self.keys)", "1")
    }

    func kill() {
        probe.end()
        for line in probe.lines {
            let words = line.split(separator: " ")
            if words.first == "error" { Issue.record("\(line)") }
            guard words.count == 3, words[0] == "set", let number = Int(words[2]) else { continue }
            last[String(words[1])] = number
            mayBeRemoved.remove(String(words[1]))
            if number % 5 == 0 { last["\(name)-pair"] = number }
            acknowledged += 1
            pending = number + 1
        }
        if pending % 7 == 0, pending % 5 != 0 { mayBeRemoved.insert("\(name)-\(pending % Self.keys)") }
        isRunning = false
    }

    /// Starts a process whose numbers are higher than all that may have been written.
    func start() throws {
        pending += 1
        isRunning = true
        probe = try Probe(place, "write", name, "\(Self.keys)", "\(pending)")
    }

    /// Whether a set that did not return may have begun with the removal of a key.
    func mayBeMissing(_ key: String) -> Bool {
        mayBeRemoved.contains(key) || isRunning && !key.hasSuffix("-pair")
    }
}

/// Reads in a process that writes nothing, and remembers the values that it has read.
final class Watch {
    private let cache: ReplicatedCache
    private var newest: [String: Int] = [:]
    private(set) var seen = 0

    init(_ cache: ReplicatedCache) { self.cache = cache }

    /// Checks that each acknowledged value is there, and that no value is older than one that was read before.
    func check(_ writer: KilledWriter, _ moment: String) throws {
        for (key, number) in writer.last {
            guard let value = try cache.get(key) else {
                #expect(writer.mayBeMissing(key), "\(key) is missing, \(moment)")
                continue
            }
            let found = value.text.split(separator: " ").first.flatMap { Int($0) } ?? -1
            let expected = "\(found) ".bytes + [UInt8](repeating: 120, count: max(0, found) * 37 % 3000)
            #expect(value == expected, "\(key) has bytes of no set, \(moment)")
            #expect(found >= number, "\(key) lost \(number) for \(found), \(moment)")
            #expect(found >= newest[key] ?? 0, "\(key) went back from \(newest[key] ?? 0) to \(found), \(moment)")
            newest[key] = found
            seen += 1
        }
    }
}
