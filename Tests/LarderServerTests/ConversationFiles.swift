import Foundation
import LarderTesting

/// The conversations of `Tests/Conversations`.
enum ConversationFiles {
    /// Every conversation of every file, in order of the files' names.
    static let all: [Conversation] = {
        do {
            return try read()
        } catch {
            fatalError("\(error)")
        }
    }()

    private static func read() throws -> [Conversation] {
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
