import LarderWire
import NIOCore

/// Packets to answers.
struct BinaryAnswerDecoder: AnswerDecoder {
    /// Nothing that a server says of an error is longer.
    static let textBytesMax = 2048
    private static let answerMagic: UInt8 = 0x81

    private struct Header {
        let opcode: BinaryOpcode
        let keyLength: Int
        let extrasLength: Int
        let status: UInt16
        let bodyLength: Int
        let opaque: UInt32
        let cas: UInt64
    }

    private let valueBytesMax: Int
    var buffer = ByteBuffer()
    /// The header of an answer of which not all has come.
    private var awaited: Header?

    init(valueBytesMax: Int) {
        self.valueBytesMax = max(0, min(valueBytesMax, Int(UInt32.max >> 1)))
    }

    mutating func next() throws(MemcacheError) -> Answer? {
        if awaited == nil { awaited = try takeHeader() }
        guard let header = awaited, var body = buffer.readSlice(length: header.bodyLength) else { return nil }
        awaited = nil
        guard let extras = body.readSlice(length: header.extrasLength),
            let key = body.readSlice(length: header.keyLength)
        else { throw Self.violation("a packet that does not hold what it says") }
        var answer = Answer(try BinaryAnswers.code(header.opcode, header.status))
        answer.opaque = UInt64(header.opaque)
        answer.opcode = header.opcode.rawValue
        answer.cas = header.cas
        if header.keyLength > 0 { answer.key = key.readableBytesView }
        switch (answer.code, header.opcode) {
        case (.value, .getWithKey):
            guard let flags = extras.getInteger(at: extras.readerIndex, as: UInt32.self),
                header.extrasLength == 4, header.keyLength > 0
            else { throw Self.violation("a value without its key and flags") }
            answer.flags = flags
            answer.bytes = body.readBytes(length: body.readableBytes) ?? []
        case (.value, _):
            guard body.readableBytes == 8, let number = body.readInteger(as: UInt64.self) else {
                throw Self.violation("a number of another length")
            }
            // As the meta protocol says it.
            answer.bytes = Array(String(number).utf8)
        case (.error, _), (.clientError, _), (.serverError, _):
            answer.text = BinaryAnswers.text(body.readableBytesView, header.status)
        default: break
        }
        return answer
    }

    private mutating func takeHeader() throws(MemcacheError) -> Header? {
        // Without waiting for the rest: a server that speaks lines may say no more.
        if let first = buffer.readableBytesView.first, first != Self.answerMagic {
            throw Self.violation("no packet of the binary protocol")
        }
        guard
            let (_, opcode, keyLength, extrasLength, _, status, bodyLength, opaque, cas) =
                buffer.readMultipleIntegers(
                    as: (UInt8, UInt8, UInt16, UInt8, UInt8, UInt16, UInt32, UInt32, UInt64).self)
        else { return nil }
        guard let opcode = BinaryOpcode(rawValue: opcode) else {
            throw Self.violation("an answer to an unknown command")
        }
        let header = Header(
            opcode: opcode, keyLength: Int(keyLength), extrasLength: Int(extrasLength), status: status,
            bodyLength: Int(bodyLength), opaque: opaque, cas: cas)
        let valueLength = header.bodyLength - header.keyLength - header.extrasLength
        guard valueLength >= 0, header.keyLength <= WireKey.bytesMax else {
            throw Self.violation("a packet whose lengths do not fit")
        }
        let isItem = status == BinaryStatus.success.rawValue && opcode == .getWithKey
        guard valueLength <= (isItem ? valueBytesMax : Self.textBytesMax) else {
            throw Self.violation("a value of \(valueLength) bytes")
        }
        return header
    }

    static func violation(_ what: String) -> MemcacheError {
        MemcacheError(.protocolViolation, "the server sends \(what)")
    }
}

/// What the binary protocol's statuses mean.
enum BinaryAnswers {
    static func code(_ opcode: BinaryOpcode, _ status: UInt16) throws(MemcacheError) -> Answer.Code {
        switch BinaryStatus(rawValue: status) {
        case .success: return try success(opcode)
        case .keyNotFound: return opcode == .getWithKey || opcode == .touch ? .miss : .notFound
        case .keyExists: return .exists
        case .notStored: return .notStored
        case .tooLarge, .outOfMemory, .notSupported, .temporaryFailure: return .serverError
        case .invalidArguments, .nonNumericValue, .authenticationError, .authenticationContinues:
            return .clientError
        case .unknownCommand: return .error
        // Others, of servers that have more to say: busy, in trouble, not in charge.
        case nil: return .serverError
        }
    }

    private static func success(_ opcode: BinaryOpcode) throws(MemcacheError) -> Answer.Code {
        switch opcode {
        case .getWithKey, .increment, .decrement: .value
        case .set, .add, .replace, .append, .prepend, .delete, .touch, .authenticate: .done
        case .flush: .ok
        case .noOperation: .noOperation
        default: throw BinaryAnswerDecoder.violation("an answer to what was never asked")
        }
    }

    /// What an error says.
    static func text(_ bytes: ByteBufferView, _ status: UInt16) -> String {
        if status == BinaryStatus.authenticationContinues.rawValue { return "it wants more than PLAIN" }
        return bytes.isEmpty ? "status \(status)" : AnswerLine.printable(bytes)
    }
}
