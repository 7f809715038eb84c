import NIOCore

/// The meta protocol, with lines of the classic one for what concerns no item.
struct MetaDialect: WireDialect {
    func opening(_ authentication: Authentication?) -> [OpeningStep] {
        var steps: [OpeningStep] = []
        if case .ascii(let user, let password) = authentication {
            let login = "\(user) \(password)"
            steps.append(
                OpeningStep(
                    bytes: ByteBuffer(string: "set login 0 0 \(login.utf8.count)\r\n\(login)\r\n"),
                    code: .stored, what: "the login", isLogin: true))
        }
        // Servers that want a login do not answer lines as short as the second.
        steps.append(
            OpeningStep(bytes: ByteBuffer(string: "version\r\nmn\r\n"), code: .version, what: "version"))
        steps.append(OpeningStep(code: .noOperation, what: "the meta protocol (mn)"))
        return steps
    }

    func makeEncoder(firstOpaque: UInt64, commandCount: Int) -> any RequestEncoder {
        MetaRequestEncoder(firstOpaque: firstOpaque, commandCount: commandCount)
    }

    func makeDecoder(valueBytesMax: Int) -> any AnswerDecoder {
        MetaAnswerDecoder(valueBytesMax: valueBytesMax)
    }

    func lease(_ answers: [Answer]) -> Lease<StoredItem>? {
        guard let answer = answers.first, answer.code == .value else { return nil }
        if answer.isWon { return .won(LeaseTicket(answer.cas)) }
        let item = StoredItem(answer)
        // The stand-in is empty; what is stale has a value that may still be used.
        return answer.isTaken && item.bytes.isEmpty || item.isLeaseMarker ? .lost : .found(item)
    }
}
