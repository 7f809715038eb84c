import Foundation
import Testing

/// A page of LarderClient's documentation, and the test's file that has its code.
struct Article: Sendable, CustomTestStringConvertible {
    let name: String
    let text: String

    var testDescription: String { name }

    /// Every page; none when one cannot be read, which is a test of its own.
    static let all: [Article] = (try? read()) ?? []

    private static let root = URL(fileURLWithPath: #filePath.components(separatedBy: "/Tests/")[0])
    static let sources = root.appending(path: "Sources/LarderClient")
    private static let catalog = sources.appending(path: "LarderClient.docc")
    private static let tests = root.appending(path: "Tests/LarderClientTests/Documentation")
    private static let testSuffix = "Snippets.swift"

    private static func read() throws -> [Article] {
        try FileManager.default.contentsOfDirectory(atPath: catalog.path).filter { $0.hasSuffix(".md") }
            .sorted().map { file in
                Article(
                    name: String(file.dropLast(3)),
                    text: try String(contentsOf: catalog.appending(path: file), encoding: .utf8))
            }
    }

    /// The code blocks of a language.
    func blocks(_ language: String) -> [String] {
        var blocks: [String] = []
        var block: [Substring]?
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            if line == "```", let lines = block {
                blocks.append(lines.joined(separator: "\n"))
                block = nil
            } else if block != nil {
                block?.append(line)
            } else if line == "```" + language {
                block = []
            }
        }
        return blocks
    }

    /// The pages whose code tests run.
    static func tested() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: tests.path).filter { $0.hasSuffix(testSuffix) }
            .map { String($0.dropLast(testSuffix.count)) }
    }

    /// What stands in the test's file between `// snippet: name` and `// end`, in order. What has the same name is one
    /// snippet, with an empty line between.
    func snippets() throws -> [String] {
        let file = Self.tests.appending(path: name + Self.testSuffix)
        guard FileManager.default.fileExists(atPath: file.path) else { return [] }
        var names: [Substring] = []
        var snippets: [Substring: [String]] = [:]
        var lines: [Substring]?
        for line in try String(contentsOf: file, encoding: .utf8)
            .split(separator: "\n", omittingEmptySubsequences: false)
        {
            let text = line.drop { $0 == " " }
            if text.hasPrefix("// snippet: ") {
                let name = text.dropFirst(12)
                if !names.contains(name) { names.append(name) } else { snippets[name]?.append("") }
                lines = []
            } else if text == "// end", let name = names.last, let part = lines {
                snippets[name, default: []] += Self.unindented(part)
                lines = nil
            } else {
                lines?.append(line)
            }
        }
        return names.map { (snippets[$0] ?? []).joined(separator: "\n") }
    }

    private static func unindented(_ lines: [Substring]) -> [String] {
        let depth = lines.filter { !$0.isEmpty }.map { $0.prefix { $0 == " " }.count }.min() ?? 0
        return lines.map { String($0.dropFirst(depth)) }
    }

    /// The symbols that are linked to, as paths. A link ends in its line; a fence of three does not.
    var symbolLinks: [[Substring]] {
        text.matches(of: /``([^`\n]+)``/).map { $0.output.1.split(separator: "/") }
    }

    /// The pages that are linked to.
    var articleLinks: [String] { text.matches(of: /<doc:(\w+)>/).map { String($0.output.1) } }
}
