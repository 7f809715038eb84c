import Foundation
import LarderTesting
import Testing

@testable import LarderReplication

/// The program `larder-log`.
@Suite(.serialized) struct LogToolTests {
    private let place: ReplicationPlace

    init() throws { place = try ReplicationPlace() }

    /// Runs the program.
    /// - Returns: all that it printed, and whether its exit code was 0.
    private func run(_ words: String..., environment: [String: String] = [:]) throws -> (text: String, isDone: Bool) {
        let output = place.path + "/tool-\(UUID().uuidString)"
        let child = try ChildProcess(
            executable: Probe.program("larder-log"), arguments: words,
            environment: ["SWIFT_BACKTRACE": "enable=no"].merging(environment) { $1 }, outputPath: output)
        child.awaitEnd()
        return (try ReplicationPlace.content(of: output).text, child.hasSucceeded)
    }

    /// A log that is not made yet.
    private func newLog(_ kind: LogKind) throws -> String {
        if kind == .file { return place.path + "/new" }
        return try TestDatabase.shared(kind).url(table: "tool" + UUID().uuidString.prefix(8).lowercased())
    }

    @Test(arguments: LogKind.all) func aLogIsMadeReadAndShortened(_ kind: LogKind) async throws {
        let url = try newLog(kind)
        let missing = try run("status", url)
        #expect(!missing.isDone)
        #expect(missing.text.hasPrefix("larder log status: cannot use the log "), "\(missing.text)")
        if kind != .file {
            let schema = try run("init", "--sql", url)
            #expect(schema.isDone && schema.text.contains("CREATE TABLE"), "\(schema.text)")
            #expect(try !run("status", url).isDone)
        }
        for _ in 0..<2 { #expect(try run("init", url) == ("", true)) }
        #expect(try run("status", url) == ("latest 0\nsnapshot 0\nrecords 0\n", true))
        #expect(try run("tail", url) == ("", true))
        let log = try TestDatabase.log(url)
        for number in 1...12 { _ = try log.append([record(("key \(number)", "value"))]) }
        _ = try log.append([UpdateRecord([.delete(key: "key 1".bytes), .set(key: "%".bytes, value: [], flags: 0)])])
        let last = "12 set key%2012 5\n13 delete key%201\n13 set %25 0\n"
        #expect(try run("tail", "--after", "11", url) == (last, true))
        let usual = try run("tail", environment: ["LARDER_LOG_URL": url])
        #expect(usual.text.hasPrefix("4 set key%204 5\n") && usual.text.hasSuffix(last), "\(usual.text)")
        #expect(try run("rewrite", "--before", "5", url) == ("snapshot 5\n", true))
        #expect(try run("status", url) == ("latest 13\nsnapshot 5\nrecords 8\n", true))
        #expect(try run("tail", "--after", "1", url).text.contains("replaced the records before 6"))
        #expect(try run("rewrite", url) == ("snapshot 13\n", true))
        #expect(try !run("rewrite", "--before", "14", url).isDone)
        let cache = try place.cache("replica", log: log)
        #expect(try cache.keys().count == 12)
    }

    /// All users of the machine can read a command line.
    @Test(arguments: ["u:secret@/d", "u@/d?password=secret"]) func aPasswordInTheCommandLineIsRefused(
        url: String
    ) throws {
        let refused = try run("status", "postgresql://" + url)
        #expect(!refused.isDone)
        #expect(refused.text.contains("a command line has no password"), "\(refused.text)")
        #expect(!refused.text.contains("secret"), "\(refused.text)")
    }

    @Test(arguments: [
        [], ["status"], ["init", "--after", "1", "log"], ["tail", "--after", "log"], ["rewrite", "a", "b"],
        ["other", "a"],
    ]) func otherWordsAreRefused(words: [String]) throws {
        let child = try ChildProcess(
            executable: Probe.program("larder-log"), arguments: words, environment: ["LARDER_LOG_URL": ""],
            outputPath: place.path + "/usage")
        child.awaitEnd()
        #expect(!child.hasSucceeded)
        #expect(try ReplicationPlace.content(of: place.path + "/usage").text.hasPrefix("usage: larder log init"))
    }
}
