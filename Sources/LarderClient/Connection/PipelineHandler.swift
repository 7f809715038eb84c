import NIOCore

/// One life of a connection, on its event loop: sends commands, and gives each answer to whom it belongs.
///
/// Answers come in the order of the commands, and each says again the opaque of its command, and its key where the
/// dialect has that. What does not fit ends the connection, so that nobody can get another's answer.
final class PipelineHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private enum Phase: Equatable {
        /// Waits for the socket, and for TLS.
        case connecting
        /// Waits for the server's answer to so many steps, of which the last has been said.
        case opening(Int)
        case open
        case ended
    }

    private let settings: LinkSettings
    private let isReady: EventLoopPromise<Void>
    private let events: LinkEvents
    private let opening: [OpeningStep]
    private var decoder: any AnswerDecoder
    private var phase = Phase.connecting
    private var context: ChannelHandlerContext?
    private var inFlight = InFlightRequests()
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
        opening = settings.dialect.opening(settings.authentication)
        decoder = settings.dialect.makeDecoder(valueBytesMax: settings.valueBytesMax)
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
        inFlight.append(batch, deadline: now + settings.requestTimeout)
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
        say(0, context)
    }

    /// Says a step of the opening, if there is one more.
    private func say(_ step: Int, _ context: ChannelHandlerContext) {
        guard step < opening.count else {
            phase = .open
            return isReady.succeed()
        }
        phase = .opening(step)
        guard opening[step].bytes.readableBytes > 0 else { return }
        context.writeAndFlush(wrapOutboundOut(opening[step].bytes), promise: nil)
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
        let context = context
        // Who waits is told now: to say good-bye over TLS may take a while.
        finish()
        context?.close(promise: nil)
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
        for (place, batch) in inFlight.takeAll().enumerated() {
            // Only the oldest asked for what the server calls wrong.
            let isInnocent = place > 0 && error.code == .clientError
            batch.finish(
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
        case .opening(let step):
            guard answer.code == opening[step].code else { throw refusal(answer, of: opening[step]) }
            try opening[step].expected.check(answer)
            say(step + 1, context)
        case .open: try deliver(answer)
        }
    }

    private func refusal(_ answer: Answer, of step: OpeningStep) -> MemcacheError {
        if answer.code == .clientError {
            return MemcacheError(.authenticationFailed, "\(settings.address): \(answer.text)")
        }
        return MemcacheError(
            step.isLogin ? .authenticationFailed : .protocolViolation,
            "\(settings.address) does not take \(step.what): \(answer.text)")
    }

    private func deliver(_ answer: Answer) throws(MemcacheError) {
        let isWhole = try inFlight.receive(answer)
        if !hasAnswered {
            hasAnswered = true
            events.answered()
        }
        if isWhole { armIdle() }
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
        while let batch = inFlight.takeOverdue(at: now) {
            batch.finish(.failure(MemcacheError(.timedOut, "no answer from \(settings.address)")))
        }
        if let next = inFlight.nextDeadline { arm(next) }
        if let oldest = inFlight.firstDeadline {
            // One that answers others is slow; one that says nothing is gone.
            let patience = max(oldest, lastRead + settings.requestTimeout)
            guard patience > now else {
                return end(MemcacheError(.timedOut, "\(settings.address) is silent"))
            }
            arm(patience)
        } else if let idle = settings.idleTimeout {
            let end = max(lastRead, lastRequest) + idle
            guard end > now else {
                isIdle = true
                let context = context
                finish()
                context?.close(promise: nil)
                return
            }
            arm(end)
        }
    }
}
