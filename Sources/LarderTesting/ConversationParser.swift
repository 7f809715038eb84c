/// Why a conversation file cannot be read.
package struct ConversationSyntaxError: Error, CustomStringConvertible, Sendable {
    package let file: String
    package let line: Int
    package let problem: String
    package var description: String { "\(file):\(line): \(problem)" }
}

/// Reads `*.conversation` files. See `Tests/Conversations/README.md` for the format.
package struct ConversationParser {
    private let file: String
    private var lineNumber = 0
    private var fileOptions: [String] = []
    private var conversations: [Conversation] = []

    /// The conversations in `contents`, in order.
    package static func parse(
        _ contents: String, file: String
    ) throws(ConversationSyntaxError) -> [Conversation] {
        var parser = ConversationParser(file: file)
        for line in contents.split(separator: "\n", omittingEmptySubsequences: false) {
            parser.lineNumber += 1
            try parser.read(line)
        }
        return parser.conversations
    }

    private init(file: String) {
        self.file = file
    }

    private func failure(_ problem: String) -> ConversationSyntaxError {
        ConversationSyntaxError(file: file, line: lineNumber, problem: problem)
    }

    private mutating func read(_ line: Substring) throws(ConversationSyntaxError) {
        if line.isEmpty || line.hasPrefix("#") { return }
        if let title = argument(of: "==", in: line) {
            conversations.append(
                Conversation(file: file, title: String(title), line: lineNumber, options: fileOptions))
        } else if let options = argument(of: "options:", in: line) {
            let words = options.split(separator: " ").map(String.init)
            if conversations.isEmpty {
                fileOptions = words
            } else {
                conversations[conversations.count - 1].options += words
            }
        } else {
            guard var conversation = conversations.popLast() else {
                throw failure("no conversation has begun: a line \"== title\" is missing")
            }
            try readStep(line, into: &conversation)
            conversations.append(conversation)
        }
    }

    private func readStep(
        _ line: Substring, into conversation: inout Conversation
    ) throws(ConversationSyntaxError) {
        if let text = argument(of: "->", in: line) {
            conversation.steps.append(.send(try parseText(text, endsLine: true), line: lineNumber))
        } else if let text = argument(of: "=>", in: line) {
            conversation.steps.append(.send(try parseText(text, endsLine: false), line: lineNumber))
        } else if let text = argument(of: "<-", in: line) {
            expect(.text(try parseText(text, endsLine: true)), in: &conversation)
        } else if let text = argument(of: "<=", in: line) {
            expect(.text(try parseText(text, endsLine: false)), in: &conversation)
        } else if let packet = argument(of: ">>", in: line) {
            conversation.steps.append(.send(try parsePacket(packet, isAnswer: false), line: lineNumber))
        } else if let packet = argument(of: "<<", in: line) {
            expect(.text(try parsePacket(packet, isAnswer: true)), in: &conversation)
        } else if line == "closed" {
            expect(.closes, in: &conversation)
        } else if let rest = argument(of: "peer", in: line) {
            try readPeer(rest, into: &conversation)
        } else if let reason = argument(of: "larder only:", in: line) {
            conversation.larderOnlyReason = String(reason)
        } else if line == "nothing yet" {
            conversation.steps.append(.expectNothing)
        } else if let time = argument(of: "advance:", in: line) {
            conversation.steps.append(.advance(milliseconds: try parseTime(time)))
        } else if let number = argument(of: "connection:", in: line) {
            guard let number = Int(number), number > 0 else {
                throw failure("a connection is a number from 1")
            }
            conversation.steps.append(.switchTo(connection: number))
        } else {
            throw failure("a line of no known kind")
        }
    }

    /// What follows `keyword` and one space; nil when the line is of another kind.
    private func argument(of keyword: String, in line: Substring) -> Substring? {
        guard line.hasPrefix(keyword) else { return nil }
        let rest = line.dropFirst(keyword.count)
        if rest.isEmpty { return rest }
        return rest.first == " " ? rest.dropFirst() : nil
    }

    private func expect(_ answer: Conversation.Answer, in conversation: inout Conversation) {
        conversation.steps.append(.expect(.init(line: lineNumber, answer: answer)))
    }

    /// `1.6.18: TEXT`, `1.6.18 << PACKET`, `1.6.18 nothing` or `1.6.18 closed`, after the line it stands for.
    private func readPeer(
        _ rest: Substring, into conversation: inout Conversation
    ) throws(ConversationSyntaxError) {
        guard case .expect(var expectation)? = conversation.steps.popLast() else {
            throw failure("a peer line follows the expected line that it stands for")
        }
        let versionEnd = rest.firstIndex { $0 == ":" || $0 == " " } ?? rest.endIndex
        let version = String(rest[..<versionEnd])
        let what = rest[versionEnd...]
        var answers = expectation.answersByVersion[version] ?? []
        switch what {
        case " nothing": break
        case " closed": answers.append(.closes)
        case ":": answers.append(.text(try parseText("", endsLine: true)))
        case _ where what.hasPrefix(" << "):
            answers.append(.text(try parsePacket(what.dropFirst(4), isAnswer: true)))
        default:
            guard what.hasPrefix(": ") else { throw failure("peer VERSION: TEXT, or nothing, or closed") }
            answers.append(.text(try parseText(what.dropFirst(2), endsLine: true)))
        }
        expectation.answersByVersion[version] = answers
        conversation.steps.append(.expect(expectation))
    }

    private func parseTime(_ text: Substring) throws(ConversationSyntaxError) -> Int {
        if text.hasSuffix("ms"), let milliseconds = Int(text.dropLast(2)) { return milliseconds }
        if text.hasSuffix("s"), let seconds = Int(text.dropLast()) { return seconds * 1000 }
        throw failure("a time is 500ms or 2s")
    }

    // MARK: Text

    private func parsePacket(
        _ text: Substring, isAnswer: Bool
    ) throws(ConversationSyntaxError) -> ConversationText {
        if isAnswer, text == "{packets}" { return ConversationText([.packets]) }
        var problem = ""
        guard let elements = ConversationPacket.elements(text, isAnswer: isAnswer, problem: &problem) else {
            throw failure(problem)
        }
        return ConversationText(merged(elements))
    }

    private func parseText(
        _ text: Substring, endsLine: Bool
    ) throws(ConversationSyntaxError) -> ConversationText {
        var scanner = ConversationTextScanner(bytes: Array(text.utf8))
        guard var elements = scanner.scan() else { throw failure(scanner.problem) }
        if endsLine { elements.append(.bytes([0x0D, 0x0A])) }
        return ConversationText(merged(elements))
    }

    /// Neighbouring pieces of bytes as one.
    private func merged(_ elements: [ConversationText.Element]) -> [ConversationText.Element] {
        var result: [ConversationText.Element] = []
        var pending: [UInt8] = []
        for element in elements {
            if case .bytes(let bytes) = element {
                pending += bytes
                continue
            }
            if !pending.isEmpty { result.append(.bytes(pending)) }
            pending = []
            result.append(element)
        }
        if !pending.isEmpty { result.append(.bytes(pending)) }
        return result
    }
}

/// Turns escapes into bytes and `{...}` into blanks.
struct ConversationTextScanner {
    var bytes: [UInt8]
    var position = 0
    var problem = ""

    init(bytes: [UInt8]) {
        self.bytes = bytes
    }

    /// nil: `problem` says why.
    mutating func scan() -> [ConversationText.Element]? {
        var elements: [ConversationText.Element] = []
        while position < bytes.count {
            if bytes[position] == UInt8(ascii: "{") {
                guard let element = scanBlank() else { return nil }
                elements.append(element)
            } else {
                guard let byte = scanByte() else { return nil }
                elements.append(.bytes([byte]))
            }
        }
        return elements
    }

    /// One byte, escaped or not.
    private mutating func scanByte() -> UInt8? {
        defer { position += 1 }
        guard bytes[position] == UInt8(ascii: "\\") else { return bytes[position] }
        position += 1
        guard position < bytes.count else { return fail("a backslash at the end of the line") }
        switch UnicodeScalar(bytes[position]) {
        case "r": return 0x0D
        case "n": return 0x0A
        case "t": return 0x09
        case "0": return 0
        case "\\", "{", "\"": return bytes[position]
        case "x":
            let digits = bytes[(position + 1)...].prefix(2)
            position += 2
            guard digits.count == 2, let byte = UInt8(String(decoding: digits, as: UTF8.self), radix: 16)
            else {
                return fail("\\x wants two hexadecimal digits")
            }
            return byte
        default: return fail("an unknown escape")
        }
    }

    /// From `{` to `}`.
    private mutating func scanBlank() -> ConversationText.Element? {
        position += 1
        if position < bytes.count, bytes[position] == UInt8(ascii: "\"") { return scanRepeat() }
        guard let end = bytes[position...].firstIndex(of: UInt8(ascii: "}")) else {
            return fail("} is missing")
        }
        let name = String(decoding: bytes[position..<end], as: UTF8.self)
        position = end + 1
        switch name {
        case "number": return .number
        case "word": return .word
        case "rest": return .rest
        case "lines": return .lines
        case "now": return .now(0)
        default:
            if name.hasPrefix("cas ") { return .cas(String(name.dropFirst(4))) }
            if name.hasSuffix("s"), let seconds = Int64(name.dropLast()), abs(seconds) < 1 << 32 {
                return .seconds(seconds)
            }
            if name.hasPrefix("now"), let offset = Int64(name.dropFirst(3)) { return .now(offset) }
            return fail("an unknown blank {\(name)}; a brace itself is written \\{")
        }
    }

    /// `"text"*count}`
    private mutating func scanRepeat() -> ConversationText.Element? {
        position += 1
        var unit: [UInt8] = []
        while position < bytes.count, bytes[position] != UInt8(ascii: "\"") {
            guard let byte = scanByte() else { return nil }
            unit.append(byte)
        }
        guard let end = bytes[min(position, bytes.count)...].firstIndex(of: UInt8(ascii: "}")) else {
            return fail("} is missing")
        }
        let rest = String(decoding: bytes[position..<end], as: UTF8.self)
        position = end + 1
        guard rest.hasPrefix("\"*"), let count = Int(rest.dropFirst(2)), count >= 0 else {
            return fail("a repetition is {\"text\"*count}")
        }
        // By doubling: there are values of megabytes.
        var bytes: [UInt8] = []
        var power = unit
        var remaining = count
        while remaining > 0 {
            if remaining % 2 == 1 { bytes += power }
            remaining /= 2
            if remaining > 0 { power += power }
        }
        return .bytes(bytes)
    }

    private mutating func fail<Result>(_ problem: String) -> Result? {
        self.problem = problem
        return nil
    }
}
