/// What an answer has to repeat of its command.
struct ExpectedAnswer: Sendable {
    /// Nil for lines of the classic protocol, which repeat nothing.
    var opaque: UInt64?
    /// As it is on the wire.
    var key: String?
    /// The command, in the binary protocol.
    var opcode: UInt8 = 0
    /// After an error nobody knows where the next command begins: data follow this one, and nothing says how many.
    var isLostAfterError = false

    /// Refuses what answers something else, and what ends a connection.
    func check(_ answer: Answer) throws(MemcacheError) {
        switch answer.code {
        case .error:
            throw MemcacheError(.protocolViolation, "the server does not know a command")
        case .clientError where isLostAfterError:
            throw MemcacheError(.clientError, answer.text)
        case .clientError, .serverError:
            // Lines that say what is wrong, and of what they do not say.
            if answer.opaque == nil { return }
        default: break
        }
        guard answer.opaque == opaque, answer.opcode == opcode, opaque != nil || !answer.isMeta else {
            throw MemcacheError(.protocolViolation, "an answer to another request")
        }
        if let key = answer.key, !key.elementsEqual((self.key ?? "").utf8) {
            throw MemcacheError(.protocolViolation, "an answer about another key")
        }
    }
}
