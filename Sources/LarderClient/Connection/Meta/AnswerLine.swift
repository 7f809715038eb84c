import NIOCore

/// The first line of an answer.
enum AnswerLine {
    /// - Returns: the answer, and the length of the data that follows it.
    static func parse(_ line: ByteBufferView) throws(MemcacheError) -> (Answer, Int?) {
        var words = Words(rest: line)
        guard let first = words.next() else { throw violation(line) }
        switch first.count {
        case 2: return try parseMeta(first, words, line)
        default: return try parseClassic(first, words, line)
        }
    }

    private static func parseMeta(
        _ code: ByteBufferView, _ following: Words, _ line: ByteBufferView
    ) throws(MemcacheError) -> (Answer, Int?) {
        var words = following
        var length: Int?
        var answer: Answer
        switch (code[code.startIndex], code[code.startIndex + 1]) {
        case (0x56, 0x41):
            answer = Answer(.value)
            guard let size = words.next().flatMap(decimal), let size = Int(exactly: size) else {
                throw violation(line)
            }
            length = size
        case (0x48, 0x44): answer = Answer(.done)
        case (0x45, 0x4E): answer = Answer(.miss)
        case (0x4E, 0x53): answer = Answer(.notStored)
        case (0x45, 0x58): answer = Answer(.exists)
        case (0x4E, 0x46): answer = Answer(.notFound)
        case (0x4D, 0x4E): answer = Answer(.noOperation)
        case (0x4F, 0x4B): answer = Answer(.ok)
        default: throw violation(line)
        }
        answer.words = words.rest
        while let word = words.next() {
            guard read(word, into: &answer) else { throw violation(line) }
        }
        return (answer, length)
    }

    /// False for a flag that cannot be.
    private static func read(_ word: ByteBufferView, into answer: inout Answer) -> Bool {
        guard let flag = word.first else { return false }
        let argument = word[(word.startIndex + 1)...]
        switch flag {
        case UInt8(ascii: "O"): answer.opaque = decimal(argument)
        case UInt8(ascii: "k"): answer.key = argument
        case UInt8(ascii: "f"):
            guard let flags = decimal(argument).flatMap({ UInt32(exactly: $0) }) else { return false }
            answer.flags = flags
        case UInt8(ascii: "c"):
            guard let cas = decimal(argument) else { return false }
            answer.cas = cas
        case UInt8(ascii: "t"):
            guard let left = timeLeft(argument) else { return false }
            answer.left = left
        case UInt8(ascii: "s"):
            guard let size = decimal(argument) else { return false }
            answer.size = size
        case UInt8(ascii: "W"): answer.isWon = true
        case UInt8(ascii: "Z"): answer.isTaken = true
        default: break
        }
        return true
    }

    /// -1 stands for no end.
    private static func timeLeft(_ argument: ByteBufferView) -> TimeLeft? {
        if argument.elementsEqual("-1".utf8) { return .unlimited }
        return decimal(argument).flatMap { Int64(exactly: $0) }.map { .limited(.seconds($0)) }
    }

    private static func parseClassic(
        _ first: ByteBufferView, _ following: Words, _ line: ByteBufferView
    ) throws(MemcacheError) -> (Answer, Int?) {
        var words = following
        func saying(_ code: Answer.Code) -> (Answer, Int?) {
            var answer = Answer(code)
            answer.text = printable(words.rest.dropFirst())
            return (answer, nil)
        }
        if first.elementsEqual("CLIENT_ERROR".utf8) { return saying(.clientError) }
        if first.elementsEqual("SERVER_ERROR".utf8) { return saying(.serverError) }
        if first.elementsEqual("ERROR".utf8) { return saying(.error) }
        if first.elementsEqual("STORED".utf8) { return saying(.stored) }
        if first.elementsEqual("VERSION".utf8) { return saying(.version) }
        if first.elementsEqual("CONFIG".utf8) {
            guard words.next() != nil, words.next() != nil, let length = words.next().flatMap(decimal),
                let length = Int(exactly: length), words.rest.isEmpty
            else { throw violation(line) }
            return (Answer(.cluster), length)
        }
        throw violation(line)
    }

    private static func violation(_ line: ByteBufferView) -> MemcacheError {
        MemcacheError(.protocolViolation, "the server sends \"\(printable(line.prefix(100)))\"")
    }

    static func printable(_ bytes: ByteBufferView) -> String {
        String(decoding: bytes.map { $0 < 0x20 || $0 > 0x7E ? UInt8(ascii: "?") : $0 }, as: UTF8.self)
    }

    /// The number that all of the bytes are; nil when they are none, or too large a one.
    static func decimal(_ digits: ByteBufferView) -> UInt64? {
        guard !digits.isEmpty else { return nil }
        var number: UInt64 = 0
        for digit in digits {
            guard digit >= 0x30, digit <= 0x39 else { return nil }
            let (tens, isFar) = number.multipliedReportingOverflow(by: 10)
            let (sum, isBeyond) = tens.addingReportingOverflow(UInt64(digit &- 0x30))
            guard !isFar, !isBeyond else { return nil }
            number = sum
        }
        return number
    }

    /// What stands between spaces.
    private struct Words {
        var rest: ByteBufferView

        mutating func next() -> ByteBufferView? {
            while let first = rest.first, first == 0x20 { rest = rest[(rest.startIndex + 1)...] }
            guard !rest.isEmpty else { return nil }
            let end = rest.firstIndex(of: 0x20) ?? rest.endIndex
            defer { rest = rest[end...] }
            return rest[rest.startIndex..<end]
        }
    }
}
