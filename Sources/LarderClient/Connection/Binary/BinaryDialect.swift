import LarderWire
import NIOCore

/// The binary protocol, which is all that servers with SASL speak.
///
/// It has no leases. A marker that is stored by `add` under the key itself stands in for one, and is overwritten by its
/// cas: so a lease ends when the key is deleted or stored, as in the meta protocol. What is there already comes with
/// the same request, in a second answer.
struct BinaryDialect: WireDialect {
    /// These four bytes come back. To a server that speaks lines only they end one, so that it answers, and is seen for
    /// what it is.
    private static let openingOpaque: UInt32 = 0x0d0a_0d0a

    func opening(_ authentication: Authentication?) -> [OpeningStep] {
        var steps: [OpeningStep] = []
        if case .sasl(let user, let password) = authentication {
            var login = BinaryRequestEncoder(firstOpaque: UInt64(Self.openingOpaque), commandCount: 1)
            login.logIn(user: user, password: password)
            steps.append(Self.step(login, .done, "SASL (was it started without -S?)", isLogin: true))
        }
        // Any stranger may ask for the version, but not for this.
        var test = BinaryRequestEncoder(firstOpaque: UInt64(Self.openingOpaque), commandCount: 1)
        test.ping()
        steps.append(Self.step(test, .noOperation, "the binary protocol (noop)"))
        return steps
    }

    private static func step(
        _ encoder: BinaryRequestEncoder, _ code: Answer.Code, _ what: String, isLogin: Bool = false
    ) -> OpeningStep {
        OpeningStep(
            bytes: encoder.bytes, code: code, expected: encoder.expected.first ?? ExpectedAnswer(),
            what: what,
            isLogin: isLogin)
    }

    func makeEncoder(firstOpaque: UInt64, commandCount: Int) -> any RequestEncoder {
        BinaryRequestEncoder(firstOpaque: firstOpaque, commandCount: commandCount)
    }

    func makeDecoder(valueBytesMax: Int) -> any AnswerDecoder {
        BinaryAnswerDecoder(valueBytesMax: valueBytesMax)
    }

    func lease(_ answers: [Answer]) -> Lease<StoredItem>? {
        guard answers.count == 2 else { return nil }
        switch (answers[0].code, answers[1].code) {
        case (.done, _): return .won(LeaseTicket(answers[0].cas))
        case (.exists, .value), (.notStored, .value):
            let item = StoredItem(answers[1])
            return item.isLeaseMarker ? .lost : .found(item)
        // It came to its end between the two: who asks again wins.
        case (.exists, .miss), (.notStored, .miss): return .lost
        default: return nil
        }
    }
}
