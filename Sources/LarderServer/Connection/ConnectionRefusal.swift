import LarderWire

/// Requests that are refused before all of them is there.
extension Connection {
    mutating func reject(_ rejection: Rejection, _ context: inout WorkerContext) {
        if rejection.closes {
            reply(rejection.reply, &context)
            phase = .closing
        } else {
            skip(rejection.swallowBytes, then: rejection.isSilent ? nil : rejection.reply, &context)
        }
    }

    /// Throws away the next `count` bytes, and then answers.
    mutating func skip(_ count: Int, then reply: Reply?, _ context: inout WorkerContext) {
        bytesToSkip = count
        replyAfterSkip = reply
        phase = .skipping
        if count == 0 { finishSkip(&context) }
    }

    mutating func finishSkip(_ context: inout WorkerContext) {
        phase = .readingCommand
        guard let reply = replyAfterSkip else { return }
        replyAfterSkip = nil
        self.reply(reply, &context)
    }

    /// Whether a request has begun, and no more of it has come than the first packet may hold.
    var isBeginningOfRequest: Bool {
        let packetBytes = 1400
        switch phase {
        case .readingCommand, .loggingIn: return input.count > 0 && input.count < packetBytes
        case .readingValue: return bodyFilled < packetBytes
        case .skipping: return bytesToSkip < packetBytes
        default: return false
        }
    }
}
