import NIOCore

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
        guard isAbout(answer.key) else {
            throw MemcacheError(.protocolViolation, "an answer about another key")
        }
    }

    private func isAbout(_ echo: ByteBufferView?) -> Bool {
        guard let echo else { return true }
        guard let key else { return false }
        // In base64 where whoever stored the item wrote its key so, needlessly.
        return echo.elementsEqual(key.utf8)
            || opcode == 0 && echo.elementsEqual(MetaKey.base64(key.utf8).utf8)
    }
}
