import LarderTesting
import LarderWire
import Testing

/// What the parser does with lines and their ends, and with retrievals.
@Suite struct TextParserTests {
    @Test(arguments: [
        ("get k\r\n", ["key k first", "end"]),
        ("get k\n", ["key k first", "end"]),
        ("get  k  \r\n", ["key k first", "end"]),
        ("get a bb  ccc\r\n", ["key a first", "key bb", "key ccc", "end"]),
        ("get a a\n", ["key a first", "key a", "end"]),
        ("gets k\r\n", ["key k first cas", "end"]),
        ("gets a b\n", ["key a first cas", "key b cas", "end"]),
        ("gat 10 k\r\n", ["key k first exptime=10", "end"]),
        ("gat  -1  a  b \r\n", ["key a first exptime=-1", "key b exptime=-1", "end"]),
        ("gats 0 a b\r\n", ["key a first cas exptime=0", "key b cas exptime=0", "end"]),
        ("gat 2147483647 k\r\n", ["key k first exptime=2147483647", "end"]),
        ("get k\tl \u{1}\r\n", ["key k\tl first", "key \u{1}", "end"]),
        ("get k\r\r\n", ["key k\r first", "end"]),
        ("get a\r\nget b\r\n", ["key a first", "end", "key b first", "end"]),
        // A key of this name is a key: retrievals have no noreply.
        ("get k noreply\r\n", ["key k first", "key noreply", "end"]),
    ])
    func retrievals(input: String, steps: [String]) {
        expectSteps(input, steps)
    }

    @Test(arguments: [
        ("get\r\n", ["reject badCommandLine"]),
        ("get \r\n", ["reject badCommandLine"]),
        ("get    \n", ["reject badCommandLine"]),
        ("gets\n", ["reject badCommandLine"]),
        ("gets  \r\n", ["reject badCommandLine"]),
        ("gat\r\n", ["reject badCommandLine"]),
        ("gat 0\r\n", ["reject badCommandLine"]),
        ("gat x \r\n", ["reject badCommandLine"]),
        ("gats 0  \r\n", ["reject badCommandLine"]),
        ("gat x k\r\n", ["reject invalidExptime"]),
        ("gat 2147483648 k\r\n", ["reject invalidExptime"]),
        ("gats +1 k noreply\r\n", ["reject invalidExptime"]),
        // The rest of the input is untouched.
        ("gat x k\r\nget a\r\n", ["reject invalidExptime", "key a first", "end"]),
        ("get\r\nget a\r\n", ["reject badCommandLine", "key a first", "end"]),
    ])
    func wrongRetrievals(input: String, steps: [String]) {
        expectSteps(input, steps)
    }

    @Test(arguments: [
        ("\r\n", ["reject badCommandLine"]),
        ("\n", ["reject badCommandLine"]),
        (" \r\n", ["reject badCommandLine"]),
        ("ab\n", ["reject badCommandLine"]),
        ("a\r\n", ["reject badCommandLine"]),
        ("ab\r\n", ["reject unknownCommand"]),
        ("abc\n", ["reject unknownCommand"]),
        ("    \r\n", ["reject unknownCommand"]),
        ("\r\n\r\nget k\r\n", ["reject badCommandLine", "reject badCommandLine", "key k first", "end"]),
    ])
    func shortLines(input: String, steps: [String]) {
        expectSteps(input, steps)
    }

    @Test func longestKeyIsTaken() {
        let key = String(repeating: "k", count: TextParser.keyLengthMax)
        expectSteps("get \(key)\r\n", ["key \(key) first", "end"])
        expectSteps("get a \(key) b\r\n", ["key a first", "key \(key)", "key b", "end"])
    }

    @Test(arguments: ["get ", "gets ", "gat 0 ", "gats 0 "])
    func overlongKeySpoilsAllOfTheLine(command: String) {
        let key = String(repeating: "k", count: TextParser.keyLengthMax + 1)
        for keys in [key, "a \(key)", "\(key) a", "a \(key) b", "  a  \(key)  "] {
            expectSteps("\(command)\(keys)\r\nget a\r\n", ["reject badCommandLine", "key a first", "end"])
        }
    }

    @Test func retrievalOfManyKeysIsNotLimited() {
        let keys = (0..<2000).map { "key-\($0)" }
        let input = Array("get \(keys.joined(separator: " "))\r\nversion\r\n".utf8)
        let expected = ["key key-0 first"] + keys.dropFirst().map { "key \($0)" } + ["end", "version"]
        #expect(TextScript.steps(input) == expected)
        #expect(TextScript.steps(input, cuts: [1, 2047, 2049, 5000, input.count - 1]) == expected)
    }

    @Test(arguments: [
        ("get ", ParseStep.needMore), ("gets ", .needMore),
        (String(repeating: " ", count: 100) + "get ", .needMore),
        (String(repeating: " ", count: 101) + "get ", .close),
        ("gat 0 ", .close), ("getx", .close), ("GET ", .close), ("set k 0 0 1 ", .close), ("", .close),
    ])
    func lineWithoutEnd(start: String, step: ParseStep) {
        let bytes = Array(start.utf8) + [UInt8](repeating: UInt8(ascii: "x"), count: 3000)
        var parser = TextParser()
        #expect(firstStep(&parser, bytes.prefix(TextParser.lineLengthMax)) == .needMore)
        #expect(firstStep(&parser, bytes.prefix(TextParser.lineLengthMax + 1)) == step)
    }

    @Test func lineOfAnyLengthIsParsedOnceItEnds() {
        let noise = String(repeating: "x", count: 5000)
        #expect(TextScript.steps("delete k 0 \(noise)\r\n") == ["delete k"])
        #expect(TextScript.steps("\(noise)\r\n") == ["reject unknownCommand"])
    }

    @Test func logSeesTheLineWithoutItsEnd() {
        let bytes = Array("..get a b\r\n".utf8)
        var parser = TextParser()
        var request = Request()
        var cursor = 2
        _ = parser.next(bytes, cursor: &cursor, end: bytes.count, request: &request)
        #expect(parser.lineStart == 2)
        #expect(parser.lineLength == 7)
        #expect(parser.isInRetrieval)
        #expect(cursor == 8)
    }

    @Test func parserIsSmall() {
        // With 48 bytes of what it remembers of the last flags, and 32 of the keys that it has taken. A worker has a few
        // parsers, not each client one.
        #expect(MemoryLayout<TextParser>.size <= 176)
        // With what binary requests carry beside: a delta, a cas and an initial value in one;
        // and 40 bytes of what a meta command's flags say.
        #expect(MemoryLayout<Request>.size <= 136)
    }

    private func firstStep(_ parser: inout TextParser, _ bytes: ArraySlice<UInt8>) -> ParseStep {
        var request = Request()
        var cursor = 0
        return Array(bytes).withUnsafeBufferPointer { buffer in
            guard let base = buffer.baseAddress else { return .needMore }
            return parser.next(base, cursor: &cursor, end: buffer.count, request: &request)
        }
    }
}

/// Expects the steps of `input` when it comes whole, in two pieces cut at every place, and
/// byte by byte.
func expectSteps(_ input: String, _ steps: [String], sourceLocation: SourceLocation = #_sourceLocation) {
    let bytes = Array(input.utf8)
    #expect(TextScript.steps(bytes) == steps, "whole", sourceLocation: sourceLocation)
    for cut in 0...bytes.count where TextScript.steps(bytes, cuts: [cut]) != steps {
        #expect(
            TextScript.steps(bytes, cuts: [cut]) == steps, "cut at \(cut)", sourceLocation: sourceLocation)
    }
    #expect(
        TextScript.steps(bytes, cuts: Array(0..<bytes.count)) == steps, "bytewise",
        sourceLocation: sourceLocation)
}
