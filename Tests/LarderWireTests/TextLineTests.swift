import Testing

@testable import LarderWire

@Suite struct TextLineTests {
    @Test(arguments: [
        ("get k\r\n", 5, 2), ("get k\n", 5, 1), ("\r\n", 0, 2), ("\n", 0, 1), ("a\r\r\n", 2, 2),
        ("a\r b\n", 4, 1),
    ])
    func ends(text: String, contentLength: Int, terminatorLength: Int) {
        withLine(text) { line in
            #expect(line.contentEnd - line.start == contentLength)
            #expect(line.terminatorLength == terminatorLength)
            #expect(line.length == text.utf8.count)
        }
    }

    @Test(
        arguments: [
            ("get k\r\n", .get, 3), ("get\r\n", .get, 3), (" get k\r\n", .unknown, 4),
            (" flush_all\r\n", .flushAll, 10),
            ("    \r\n", .unknown, 4), ("get\tk\r\n", .unknown, 5),
        ] as [(String, TextCommand, Int)])
    func commands(text: String, command: TextCommand, arguments: Int) {
        withLine(text) { line in
            let found = line.command()
            #expect(found.0 == command)
            #expect(found.arguments - line.start == arguments)
        }
    }

    private func withLine(_ text: String, _ body: (TextLine) -> Void) {
        let bytes = Array(text.utf8)
        bytes.withUnsafeBufferPointer { buffer in
            guard let base = buffer.baseAddress else { return }
            body(TextLine(start: base, newline: base + (buffer.count - 1)))
        }
    }
}
