import Testing

@testable import Soak

/// Answers of all dialects, complete and cut at every byte.
struct SoakAnswerTests {
    private func answer(_ bytes: [UInt8], isMeta: Bool = false, isBinary: Bool = false) -> Answer {
        bytes.withUnsafeBufferPointer { buffer in
            guard let start = buffer.baseAddress else { return Answer(.incomplete) }
            return isBinary
                ? packetAnswer(start, buffer.count) : lineAnswer(start, buffer.count, isMeta: isMeta)
        }
    }

    @Test func valuesAreReadAndNeverBefore() {
        let text = Array("VALUE some-key 77 5 42\r\nhello\r\n".utf8)
        let whole = answer(text)
        #expect(whole.kind == .value)
        #expect(whole.consumed == text.count)
        #expect((whole.flags, whole.unique, whole.valueCount) == (77, 42, 5))
        #expect(
            String(decoding: text[whole.keyStart..<whole.keyStart + whole.keyCount], as: UTF8.self)
                == "some-key")
        for count in 1..<text.count { #expect(answer(Array(text[..<count])).kind == .incomplete) }

        let meta = Array("VA 5 ksome-key f77 c42\r\nhello\r\n".utf8)
        let found = answer(meta, isMeta: true)
        #expect(found.kind == .value)
        #expect((found.flags, found.unique, found.valueCount) == (77, 42, 5))
        for count in 1..<meta.count {
            #expect(answer(Array(meta[..<count]), isMeta: true).kind == .incomplete)
        }
    }

    @Test func aValueThatDoesNotEndWhereItSaysIsNone() {
        #expect(answer(Array("VALUE k 0 5\r\nhello!\r\n".utf8)).kind == .unknown)
        #expect(answer(Array("VALUE k 0 x\r\nhello\r\n".utf8)).kind == .unknown)
    }

    @Test func packetsAreRead() {
        let head: [UInt8] = [0x81, 0x0d, 0, 3, 4, 0, 0, 0, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 42]
        let packet = head + [0, 0, 0, 77] + Array("keyhello".utf8)
        let found = answer(packet, isBinary: true)
        #expect((found.kind, found.valueCount, found.flags, found.unique) == (.value, 5, 77, 42))
        for count in 1..<packet.count {
            #expect(answer(Array(packet[..<count]), isBinary: true).kind == .incomplete)
        }
    }

    @Test(arguments: [
        ("END", Answer.Kind.end), ("MN", .end), ("STORED", .done), ("HD", .done), ("OK", .done),
        ("DELETED", .done),
        ("NOT_FOUND", .notFound), ("EN", .notFound), ("NF", .notFound), ("NOT_STORED", .notStored),
        ("NS", .notStored),
        ("EXISTS", .exists), ("EX", .exists), ("42", .number), ("ERROR", .unknown),
        ("SERVER_ERROR out of memory storing object", .refused),
    ])
    func words(text: String, kind: Answer.Kind) {
        #expect(answer(Array((text + "\r\n").utf8)).kind == kind)
    }
}
