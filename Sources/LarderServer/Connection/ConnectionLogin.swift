import CLarderSystem
import LarderWire

/// An attempt to log in whose outcome the client is not told yet.
struct HeldLogin {
    var succeeds: Bool
    /// Whether it had its turn among those of its address.
    var hadTurn = false
    /// When to look again, in milliseconds of the monotonic clock. Not the server's clock, which tests may stop.
    var milliseconds: Int64
}

/// What a connection does before its client has logged in.
extension Connection {
    /// One attempt; false when it takes more input.
    mutating func logIn(_ context: inout WorkerContext) -> Bool {
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
        let succeeds = context.state.access.authenticator?.accepts(
            name: UnsafeRawBufferPointer(rebasing: bytes[name]),
            password: UnsafeRawBufferPointer(rebasing: bytes[password])) ?? false
        holdLogin(succeeds: succeeds, &context)
    }

    /// Tells the client what came of its attempt, at once or when the time for it has come.
    mutating func holdLogin(succeeds: Bool, _ context: inout WorkerContext) {
        let now = larder_milliseconds(false)
        heldLogin = HeldLogin(succeeds: succeeds, milliseconds: now)
        phase = .holdingLogin
        continueLogin(now: now, &context)
    }

    /// Goes on with the attempt at hand if its time has come.
    mutating func continueLogin(now: Int64, _ context: inout WorkerContext) {
        guard var held = heldLogin, held.milliseconds <= now else { return }
        held.milliseconds = now
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

    /// The attempt counts, whether or not its client waits for the answer.
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

    /// Counts what a step took of a client that has not logged in by SASL, and what is to come of it; `TextLogin` counts for
    /// itself. False: it is too much, and a message that is too long is answered.
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

/// Where a client is, for whom all attempts of the same place count together.
enum LoginOrigin {
    /// The address of a socket's other end: of IPv6 the network, in which one client may have any address; of a Unix socket
    /// the user. What it is not: the same in another process.
    static func of(_ fd: Int32) -> UInt64 {
        var hasher = Hasher()
        if let address = SocketAddress.peer(of: fd) {
            address.combineNetwork(into: &hasher)
            if address.port == nil { hasher.combine(larder_peer_user(fd)) }
        }
        return UInt64(bitPattern: Int64(hasher.finalize()))
    }
}
