import CLarderSystem
import LarderWire

/// An attempt to log in that has not been answered yet.
struct HeldLogin {
    var succeeds: Bool
    /// Whether the outcome of the attempt is known. The SASL library may need time.
    var isJudged = true
    /// Whether the attempt had its turn among the attempts from its address.
    var hadTurn = false
    /// When to check again, in milliseconds since the machine's boot. Not the server's clock, which a test may stop.
    var milliseconds: Int64
}

/// What a connection does before its client has logged in.
extension Connection {
    /// One attempt; false when it takes more input.
    mutating func logIn(_ context: inout WorkerContext) -> Bool {
        if case .undecided = dialect {
            switch begin(&context) {
            case .needMore: return false
            case .closing: return true
            case .decided, .emptyLine: break
            }
        }
        switch login.next(UnsafePointer(input.base), cursor: &input.start, end: input.end) {
        case .needMore: return false
        case .credentials(let name, let password): check(name, password, &context)
        case .reject(let answer): reply(answer, &context)
        case .rejectAndClose(let answer):
            reply(answer, &context)
            phase = .closing
        case .close: phase = .closing
        }
        return true
    }

    private mutating func check(_ name: Range<Int>, _ password: Range<Int>, _ context: inout WorkerContext) {
        // SAFETY: the parser's ranges lie inside the input buffer.
        let bytes = UnsafeRawBufferPointer(start: input.base, count: input.end)
        let succeeds =
            context.state.access.authenticator?.accepts(
                name: UnsafeRawBufferPointer(rebasing: bytes[name]),
                password: UnsafeRawBufferPointer(rebasing: bytes[password])) ?? false
        holdLogin(succeeds: succeeds, &context)
    }

    /// Answers an attempt to log in, at once or after its delay.
    mutating func holdLogin(succeeds: Bool, _ context: inout WorkerContext) {
        let now = larder_milliseconds(false)
        heldLogin = HeldLogin(succeeds: succeeds, milliseconds: now)
        phase = .holdingLogin
        continueLogin(now: now, &context)
    }

    /// Time between two checks whether the SASL library has answered.
    private static let libraryPollMilliseconds: Int64 = 2

    /// Gives a step of a login to the SASL library.
    /// - Parameter mechanism: the mechanism of the first step; nil: a later step.
    mutating func ask(
        _ sasl: SASLService, mechanism: [UInt8]?, message: [UInt8], _ context: inout WorkerContext
    ) {
        let isPossible = mechanism != nil || isAuthenticating
        isAuthenticating = false
        guard isPossible else { return holdLogin(succeeds: false, &context) }
        let exchange = exchange ?? Unmanaged.passRetained(SASLExchange())
        self.exchange = exchange
        sasl.judge(exchange.takeUnretainedValue(), mechanism: mechanism, message: message)
        let next = larder_milliseconds(false) + Self.libraryPollMilliseconds
        heldLogin = HeldLogin(succeeds: false, isJudged: false, milliseconds: next)
        phase = .holdingLogin
    }

    /// Writes the library's outcome to the held attempt; false if the library has not answered, or a challenge was
    /// sent.
    private mutating func takeOutcome(_ held: inout HeldLogin, _ context: inout WorkerContext) -> Bool {
        switch exchange?.takeUnretainedValue().takeOutcome() {
        case nil:
            held.milliseconds += Self.libraryPollMilliseconds
            heldLogin = held
            return false
        case .continues(let challenge):
            heldLogin = nil
            isAuthenticating = true
            phase = .readingCommand
            writeContinuation(challenge, &context)
            return false
        case .succeeded:
            held.succeeds = true
            endExchange(&context)
        case .failed: held.succeeds = false
        }
        held.isJudged = true
        return true
    }

    /// Ends the login by the SASL library, and frees its session.
    mutating func endExchange(_ context: inout WorkerContext) {
        guard let ended = exchange?.takeRetainedValue() else { return }
        exchange = nil
        context.state.access.sasl?.end(ended)
    }

    /// Continues the held attempt if its time has come.
    mutating func continueLogin(now: Int64, _ context: inout WorkerContext) {
        guard var held = heldLogin, held.milliseconds <= now else { return }
        held.milliseconds = now
        if !held.isJudged, !takeOutcome(&held, &context) { return }
        if !held.hadTurn {
            let wait = context.state.loginThrottle.wait(LoginOrigin.of(number), succeeds: held.succeeds, now: now)
            if wait == 0 { takeTurn(&held, &context) }
            held.milliseconds += wait
            heldLogin = held
        }
        guard held.hadTurn, held.milliseconds <= now else { return }
        heldLogin = nil
        finishLogin(succeeds: held.succeeds, &context)
    }

    /// Counts the attempt, whether or not the client waits for the answer.
    private mutating func takeTurn(_ held: inout HeldLogin, _ context: inout WorkerContext) {
        held.hadTurn = true
        context.select(cacheNumber)
        context.counters.add(.authCmds)
        guard !held.succeeds else { return }
        context.counters.add(.authErrors)
        held.milliseconds += LoginThrottle.delayMilliseconds(failures: loginFailures)
        loginFailures &+= 1
    }

    private mutating func finishLogin(succeeds: Bool, _ context: inout WorkerContext) {
        guard succeeds else {
            phase = context.login == .text ? .loggingIn : .readingCommand
            return reply(.authenticationFailure, &context)
        }
        loginFailures = 0
        loginBytes = 0
        phase = .readingCommand
        if dialect == .text { return reply(.stored, &context) }
        binaryParser.isAuthenticated = true
        writeText("Authenticated", &context)
    }

    /// Counts the bytes of a step of a client that has not logged in by SASL, and the bytes that must follow.
    /// `TextLogin` counts its own. False if there are too many; a message that is too long is answered.
    mutating func spendLogin(on step: ParseStep, from start: Int, _ context: inout WorkerContext) -> Bool {
        let coming =
            switch step {
            case .value: request.valueLength
            case .reject: binaryParser.rejection.swallowBytes
            default: 0
            }
        let count = input.start &- start &+ coming
        guard count > TextLogin.bytesMax &- loginBytes else {
            loginBytes &+= count
            return true
        }
        let isLogin = step == .reject ? coming > 0 : request.verb == .authenticate
        if isLogin { reply(.outOfMemory, &context) }
        phase = .closing
        return false
    }
}

/// The origin of a client. All attempts of the same origin are counted together.
enum LoginOrigin {
    /// The peer address of a socket. For IPv6 it is the network, since one client may use every address in it; for a
    /// Unix socket it is the user. The number differs from process to process.
    static func of(_ fd: Int32) -> UInt64 {
        var hasher = Hasher()
        if let address = SocketAddress.peer(of: fd) {
            address.combineNetwork(into: &hasher)
            if address.port == nil { hasher.combine(larder_peer_user(fd)) }
        }
        return UInt64(bitPattern: Int64(hasher.finalize()))
    }
}
