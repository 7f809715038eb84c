import NIOCore

/// One life of a connection, on its event loop: sends commands, and gives each answer to whom it belongs.
///
/// Answers come in the order of the commands, and each says again the opaque and the key of its command. What does not
/// fit ends the connection, so that nobody can get another's answer.
final class PipelineHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private struct InFlight {
        let batch: PendingBatch
        let deadline: NIODeadline
        var answers: [Answer] = []
        var answerCount = 0
    }

    private enum Phase {
        /// Waits for the socket, and for TLS.
        case connecting
        case loggingIn
        /// Waits for the server to say what it is, and then that it knows the meta protocol.
        case greeting, testing
        case open
        case ended
    }

    /// Servers that want a login do not answer lines as short as the second.
    private static let greeting = "version\r\nmn\r\n"

    private let settings: LinkSettings
    private let isReady: EventLoopPromise<Void>
    private let events: LinkEvents
    private var decoder: AnswerDecoder
    private var phase = Phase.connecting
    private var context: ChannelHandlerContext?
    private var inFlight = CircularBuffer<InFlight>()
    /// How many at the front of `inFlight` have been told that their time is over.
    private var overdueCount = 0
    private var failure: MemcacheError?
    private var hasAnswered = false
    /// When the server last sent anything.
    private var lastRead = NIODeadline.now()
    private var lastRequest = NIODeadline.now()
    /// What was asked for while the connection was closing.
    private var unsent: [PendingBatch] = []
    /// Closed because nobody asked for anything.
    private var isIdle = false
    private var isFlushScheduled = false
    private var timer: (task: Scheduled<Void>, time: NIODeadline)?

    init(_ settings: LinkSettings, isReady: EventLoopPromise<Void>, _ events: LinkEvents) {
        self.settings = settings
        self.isReady = isReady
        self.events = events
        decoder = AnswerDecoder(valueBytesMax: settings.valueBytesMax)
    }

    // MARK: Commands

    func enqueue(_ batch: PendingBatch) {
        guard let context, phase == .open, failure == nil, !isIdle else {
            // Nothing of it was sent: the next connection may carry it.
            return phase == .ended ? events.resend(batch) : unsent.append(batch)
        }
        // Whoever left before anything was sent costs nothing.
        guard !batch.isFinished else { return armIdle() }
        let now = NIODeadline.now()
        lastRequest = now
        inFlight.append(InFlight(batch: batch, deadline: now + settings.requestTimeout))
        context.write(wrapOutboundOut(batch.bytes), promise: nil)
        scheduleFlush(context)
        arm(now + settings.requestTimeout)
    }

    /// What is asked for in one turn of the loop goes out together.
    private func scheduleFlush(_ context: ChannelHandlerContext) {
        guard !isFlushScheduled else { return }
        isFlushScheduled = true
        context.eventLoop.assumeIsolated().execute {
            self.isFlushScheduled = false
            self.context?.flush()
        }
    }

    // MARK: The channel

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { begin(context) }
    }

    func channelActive(context: ChannelHandlerContext) {
        begin(context)
        context.fireChannelActive()
    }

    private func begin(_ context: ChannelHandlerContext) {
        guard phase == .connecting else { return }
        var bytes = ByteBuffer()
        if case .ascii(let user, let password) = settings.authentication {
            phase = .loggingIn
            let login = "\(user) \(password)"
            bytes.writeString("set login 0 0 \(login.utf8.count)\r\n\(login)\r\n")
        } else {
            phase = .greeting
            bytes.writeString(Self.greeting)
        }
        context.writeAndFlush(wrapOutboundOut(bytes), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard failure == nil else { return }
        lastRead = NIODeadline.now()
        var incoming = unwrapInboundIn(data)
        decoder.append(&incoming)
        do {
            while failure == nil, let answer = try decoder.next() { try receive(answer, context) }
        } catch {
            end(error)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        end(
            MemcacheError(
                phase == .open ? .connectionLost : .cannotConnect, "\(settings.address)", underlying: error))
    }

    func channelInactive(context: ChannelHandlerContext) {
        finish()
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        finish()
        self.context = nil
    }

    /// Ends the connection; everybody who waits gets the error.
    func end(_ error: MemcacheError) {
        guard phase != .ended else { return }
        if failure == nil { failure = error }
        if let context { context.close(promise: nil) } else { finish() }
    }

    private func finish() {
        guard phase != .ended else { return }
        let wasOpen = phase == .open
        phase = .ended
        timer?.task.cancel()
        timer = nil
        let error =
            failure
            ?? MemcacheError(
                wasOpen ? .connectionLost : .cannotConnect, "\(settings.address) closed the connection")
        failure = error
        let waiting = inFlight
        inFlight = []
        for (place, request) in waiting.enumerated() {
            // Only the oldest asked for what the server calls wrong.
            let isInnocent = place > 0 && error.code == .clientError
            request.batch.finish(
                .failure(
                    isInnocent
                        ? MemcacheError(.connectionLost, "\(settings.address)", underlying: error) : error))
        }
        if wasOpen {
            events.ended(LinkEnd(error: isIdle ? nil : error, hasAnswered: hasAnswered))
        } else {
            isReady.fail(error)
        }
        for batch in unsent { events.resend(batch) }
        unsent = []
    }

    // MARK: Answers

    private func receive(_ answer: Answer, _ context: ChannelHandlerContext) throws(MemcacheError) {
        switch phase {
        case .connecting, .ended: throw MemcacheError(.protocolViolation, "an answer before any question")
        case .loggingIn:
            guard answer.code == .stored else { throw refusal(answer, of: "the login") }
            phase = .greeting
            var bytes = ByteBuffer()
            bytes.writeString(Self.greeting)
            context.writeAndFlush(wrapOutboundOut(bytes), promise: nil)
        case .greeting:
            guard answer.code == .version else { throw refusal(answer, of: "version") }
            phase = .testing
        case .testing:
            guard answer.code == .noOperation else { throw refusal(answer, of: "the meta protocol (mn)") }
            phase = .open
            isReady.succeed()
        case .open: try deliver(answer)
        }
    }

    private func refusal(_ answer: Answer, of what: String) -> MemcacheError {
        answer.code == .clientError
            ? MemcacheError(.authenticationFailed, "\(settings.address): \(answer.text)")
            : MemcacheError(.protocolViolation, "\(settings.address) does not take \(what): \(answer.text)")
    }

    private func deliver(_ answer: Answer) throws(MemcacheError) {
        guard let batch = inFlight.first?.batch else {
            throw MemcacheError(.protocolViolation, "an answer that nobody asked for")
        }
        let index = inFlight.startIndex
        try check(answer, against: batch, number: inFlight[index].answerCount)
        hasAnswered = true
        inFlight[index].answerCount += 1
        if !batch.isFinished { inFlight[index].answers.append(answer) }
        guard inFlight[index].answerCount == batch.commandCount else { return }
        let answers = inFlight[index].answers
        inFlight.removeFirst()
        if overdueCount > 0 { overdueCount -= 1 }
        batch.finish(.success(answers))
        armIdle()
    }

    private func check(_ answer: Answer, against batch: PendingBatch, number: Int) throws(MemcacheError) {
        switch answer.code {
        case .error:
            throw MemcacheError(.protocolViolation, "the server does not know a command")
        case .clientError:
            guard batch.kind == .metaWithData else { return }
            throw MemcacheError(.clientError, answer.text)
        case .serverError: return
        default: break
        }
        guard batch.kind != .line else {
            if answer.isMeta { throw MemcacheError(.protocolViolation, "an answer to another question") }
            return
        }
        guard answer.isMeta, answer.opaque == batch.firstOpaque &+ UInt64(number), number < batch.keys.count
        else { throw MemcacheError(.protocolViolation, "an answer to another request") }
        if let key = answer.key, !key.elementsEqual(batch.keys[number].wire.utf8) {
            throw MemcacheError(.protocolViolation, "an answer about another key")
        }
    }

    // MARK: Time

    /// Looks again at that time, or earlier.
    private func arm(_ time: NIODeadline) {
        guard let context, phase == .open else { return }
        if let timer {
            guard time < timer.time else { return }
            timer.task.cancel()
        }
        let task = context.eventLoop.assumeIsolated().scheduleTask(deadline: time) { self.look() }
        timer = (task, time)
    }

    /// Only after a first request: a connection is opened for one, which is on its way.
    private func armIdle() {
        guard let idle = settings.idleTimeout, inFlight.isEmpty else { return }
        arm(max(lastRead, lastRequest) + idle)
    }

    private func look() {
        timer = nil
        let now = NIODeadline.now()
        while overdueCount < inFlight.count {
            let request = inFlight[inFlight.index(inFlight.startIndex, offsetBy: overdueCount)]
            guard request.deadline <= now else {
                arm(request.deadline)
                break
            }
            overdueCount += 1
            request.batch.finish(.failure(MemcacheError(.timedOut, "no answer from \(settings.address)")))
        }
        if let oldest = inFlight.first {
            // One that answers others is slow; one that says nothing is gone.
            let patience = max(oldest.deadline, lastRead + settings.requestTimeout)
            guard patience > now else {
                return end(MemcacheError(.timedOut, "\(settings.address) is silent"))
            }
            arm(patience)
        } else if let idle = settings.idleTimeout {
            let end = max(lastRead, lastRequest) + idle
            guard end > now else {
                isIdle = true
                context?.close(promise: nil)
                return
            }
            arm(end)
        }
    }
}
