import Foundation
import LarderTesting

/// The conversations of `Tests/Conversations`.
enum ConversationFiles {
    /// Every conversation of every file, in order of the files' names; none when a file cannot be
    /// read, which is a test of its own.
    static let all: [Conversation] = (try? read()) ?? []

    static func read() throws -> [Conversation] {
        let directory = URL(fileURLWithPath: #filePath)
            .deletingLastPathComponent().deletingLastPathComponent().appending(path: "Conversations")
        let names = try FileManager.default.contentsOfDirectory(atPath: directory.path)
            .filter { $0.hasSuffix(".conversation") }
            .sorted()
        return try names.flatMap { name in
            let contents = try String(contentsOf: directory.appending(path: name), encoding: .utf8)
            return try ConversationParser.parse(contents, file: name)
        }
    }
}
