import LarderWire
import Testing

@Suite struct TextEncoderTests {
    @Test(arguments: Reply.allCases)
    func replies(reply: Reply) {
        let text = TextEncoder.bytes(of: reply)
        #expect(text.utf8CodeUnitCount + 8 <= TextEncoder.replyLengthMax)
        let written = write(TextEncoder.replyLengthMax) { TextEncoder.encode(reply, at: $0) }
        #expect(written == "\(text)")
        #expect(written.hasSuffix("\r\n"))
        #expect(!written.dropLast().contains { $0.isNewline })
    }

    /// But for those that only binary tells apart.
    @Test func repliesDiffer() {
        let replies = Reply.allCases.filter { $0 != .noSuchStatistics }
        #expect(Set(replies.map { "\(TextEncoder.bytes(of: $0))" }).count == replies.count)
    }

    @Test(
        arguments: [
            (.stored, "STORED\r\n"), (.notStored, "NOT_STORED\r\n"), (.unknownCommand, "ERROR\r\n"),
            (.badCommandLine, "CLIENT_ERROR bad command line format\r\n"),
            (.badDataChunk, "CLIENT_ERROR bad data chunk\r\n"),
            (.shutdownNotEnabled, "SERVER_ERROR: shutdown not enabled\r\n"),
        ] as [(Reply, String)])
    func wording(reply: Reply, text: String) {
        #expect(write(TextEncoder.replyLengthMax) { TextEncoder.encode(reply, at: $0) } == text)
    }

    @Test func endAndNumbers() {
        #expect(write(TextEncoder.replyLengthMax) { TextEncoder.encodeEnd(at: $0) } == "END\r\n")
        for value in [0, 9, 10, 123, UInt64.max] {
            let line = write(TextEncoder.replyLengthMax) { TextEncoder.encodeNumber(value, at: $0) }
            #expect(line == "\(value)\r\n")
        }
    }

    @Test(
        arguments: [
            ("k", 0, 0, nil, "VALUE k 0 0\r\n"),
            ("key", 12, 345, nil, "VALUE key 12 345\r\n"),
            ("key", 12, 345, 0, "VALUE key 12 345 0\r\n"),
            (
                "a", UInt32.max, Int.max, UInt64.max,
                "VALUE a 4294967295 9223372036854775807 18446744073709551615\r\n"
            ),
        ] as [(String, UInt32, Int, UInt64?, String)])
    func valueHeaders(key: String, flags: UInt32, length: Int, cas: UInt64?, line: String) {
        #expect(header(key, flags, length, cas) == line)
    }

    @Test func longestValueHeaderFits() {
        let key = String(repeating: "k", count: TextParser.keyLengthMax)
        let line = header(key, UInt32.max, Int.max, UInt64.max)
        #expect(line == "VALUE \(key) 4294967295 9223372036854775807 18446744073709551615\r\n")
        #expect(line.utf8.count <= TextEncoder.valueHeaderLengthMax)
    }

    private func header(_ key: String, _ flags: UInt32, _ length: Int, _ cas: UInt64?) -> String {
        let bytes = Array(key.utf8)
        return write(TextEncoder.valueHeaderLengthMax) { out in
            TextEncoder.encodeValueHeader(
                key: bytes, keyLength: bytes.count, clientFlags: flags, valueLength: length, cas: cas, at: out
            )
        }
    }

    /// What `encode` writes into exactly `room` bytes.
    private func write(_ room: Int, _ encode: (UnsafeMutablePointer<UInt8>) -> Int) -> String {
        let out = UnsafeMutablePointer<UInt8>.allocate(capacity: room)
        defer { out.deallocate() }
        let count = encode(out)
        return String(decoding: UnsafeBufferPointer(start: out, count: count), as: UTF8.self)
    }
}
