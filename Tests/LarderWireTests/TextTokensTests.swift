import Testing

@testable import LarderWire

@Suite struct TextTokensTests {
    @Test(
        arguments: [
            ("", []), ("   ", []), ("a", ["a"]), (" a  bc ", ["a", "bc"]), ("a\tb \rc", ["a\tb", "\rc"]),
        ] as [(String, [String])])
    func words(line: String, words: [String]) {
        withTokens(line) { tokens in
            for word in words {
                #expect(text(tokens.next()) == word)
            }
            #expect(tokens.next().isAbsent)
            #expect(tokens.next().isAbsent)
        }
    }

    @Test(
        arguments: [
            ("7", 7), ("  7 x", 7), ("007", 7), ("123456789012345678", 123_456_789_012_345_678),
            ("1234567890123456789", -1), ("", -1), ("  ", -1), ("x", -1), ("7x", -1), ("-7", -1), ("+7", -1),
            ("7\t", -1),
        ] as [(String, Int64)])
    func plainNumbers(line: String, value: Int64) {
        withTokens(line) { tokens in
            #expect(tokens.nextPlainNumber() == value)
            // A word that was no plain number is still there.
            let next = tokens.next()
            #expect(next.isAbsent == (value >= 0 && !line.hasSuffix("x") || line.allSatisfy { $0 == " " }))
        }
    }

    @Test(arguments: [
        ("set noreply", true), ("set noreply  ", true), ("set k  noreply", true), ("set knoreply", false),
        ("set noreply x", false), ("noreply", false), ("set nOreply", false), ("", false), ("   ", false),
        ("set noreplyy", false),
    ])
    func noReply(line: String, isThere: Bool) {
        var copy = Array(line.utf8)
        copy.withUnsafeMutableBufferPointer { buffer in
            guard let base = buffer.baseAddress else { return }
            #expect(TextTokens.endWithNoReply(base, base + buffer.count) == isThere)
        }
    }

    @Test(arguments: [("a b", "b"), ("a b  ", "b"), ("a", "a"), ("   ", ""), ("", "")])
    func lastWord(line: String, word: String) {
        let bytes = Array(line.utf8) + [0]
        bytes.withUnsafeBufferPointer { buffer in
            guard let base = buffer.baseAddress else { return }
            #expect(text(TextTokens.last(base, base + line.utf8.count)) == word)
        }
    }

    private func text(_ token: TextTokens.Token) -> String {
        String(decoding: UnsafeBufferPointer(start: token.start, count: token.length), as: UTF8.self)
    }

    private func withTokens(_ line: String, _ body: (inout TextTokens) -> Void) {
        let bytes = Array(line.utf8) + [0]
        bytes.withUnsafeBufferPointer { buffer in
            guard let base = buffer.baseAddress else { return }
            var tokens = TextTokens(from: base, to: base + line.utf8.count)
            body(&tokens)
        }
    }
}
