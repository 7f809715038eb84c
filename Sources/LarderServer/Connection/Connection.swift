import Glibc
import LarderEventLoop
import LarderStore
import LarderWire

/// One client: what it has sent that is not answered, and what is answered and not sent.
///
/// Knows nothing of sockets: whoever drives it reads into `inputRoom`, says `didRead`, lets it
/// `advance`, and sends what is in `output`. A server does that with a descriptor, tests with arrays.
struct Connection {
    enum Phase: UInt8 {
        case readingCommand
        /// Nothing but a name and a password is listened to.
        case loggingIn
        /// Collecting a value that was not all in the input buffer.
        case readingValue
        /// Throwing away a value that cannot be stored.
        case skipping
        /// Writing an answer that is made piece by piece.
        case streaming
        /// What comes next needs a store that is not there yet.
        case parked
        /// An attempt to log in was made; its result waits in `heldLogin`.
        case holdingLogin
        /// A change waits for the log of a replicated cache, in `replicaWrite`.
        case holdingWrite
        case closing
    }

    /// What the driver is to do next.
    enum Action {
        /// Wait for more input; send what there is first.
        case read
        /// Send before going on.
        case send
        /// Let others have their turn, then go on.
        case yield
        /// Send what there is, then read nothing until the store is there.
        case park
        /// Send what there is, then read nothing until `continueLogin` has answered the attempt.
        case holdLogin
        /// Send what there is, then read nothing until `continueWrite` has answered the change.
        case holdWrite
        /// Send what there is, then close.
        case close
    }

    var phase: Phase
    var login = TextLogin()
    /// Whose bytes are spoken here; the first byte tells when the listener does not.
    var dialect: Dialect
    /// What its first bytes must be in; undecided: they tell.
    var expectedDialect: Dialect
    var parser = TextParser()
    var binaryParser = BinaryParser()
    var uwsgiParser = UwsgiParser()
    /// SASL has begun and waits for a further step.
    var isAuthenticating = false
    var heldLogin: HeldLogin?
    /// The login by the SASL library, until it succeeds. Unmanaged, as `stream`; `endExchange` releases it.
    var exchange: Unmanaged<SASLExchange>?
    /// The change that waits for a log. Unmanaged, as `stream`; `endWrite` releases it.
    var replicaWrite: Unmanaged<ReplicaWrite>?
    /// Failed attempts to log in since the last successful one.
    var loginFailures = 0
    /// Bytes that the client has sent before it logged in by SASL.
    var loginBytes = 0
    var request = Request()
    var input = Buffer.empty
    var output = Output()
    /// Key and value of a `.store` whose value comes in pieces: the key first.
    var body: UnsafeMutablePointer<UInt8>?
    /// Where the value goes, where that is not in `body`: to its place in the store.
    var incoming: IncomingValue?
    /// Bytes of `body`, or of the incoming value.
    var bodyFilled = 0
    var bodyNeeded = 0
    var bytesToSkip = 0
    /// The answer to a request whose value is thrown away: it follows the value's last byte, since clients and proxies
    /// take an answer that comes before for one to an earlier request.
    var replyAfterSkip: Reply?
    /// What a connection that is `.streaming` writes. Unmanaged, so that a connection stays a plain
    /// value: `endStream` releases it.
    var stream: Unmanaged<AnswerStream>?
    /// The cache of the listener that it came by.
    var cacheNumber = 0
    /// With `--key-route`: the cache that the request's key names, and the length of the name and its `/`.
    var routedCacheNumber = 0
    var routePrefixLength = 0
    /// Its socket, for the log and `stats conns`.
    var number: Int32
    /// Why it is `.closing`, for watchers.
    var closeReason = CloseReason.normal
    /// This connection's part of the server's `unreadBytes`.
    var unreadBytesCounted = 0
    /// Neighbours in the worker's list of clients with unread answers, in the order of their last activity.
    var unreadPrevious: ClientHandle?
    var unreadNext: ClientHandle?
    /// Bytes in the socket's send buffer at the last check; -1: not checked yet.
    var unsentBytes: Int32 = -1
    /// Steps whose durations are recorded when the answer is sent.
    var timed = TimedSteps()

    /// - Parameter bindingProtocol: what the listener says; nil: what `-B` says.
    init(number: Int32, _ bindingProtocol: Settings.BindingProtocol?, _ context: borrowing WorkerContext) {
        let beginning = RestingConnection(bindingProtocol, cacheNumber: 0, context)
        self.number = number
        phase = context.login == .text && beginning.dialect != .uwsgi ? .loggingIn : .readingCommand
        dialect = beginning.dialect
        expectedDialect = beginning.expectedDialect
        binaryParser.isAuthenticated = beginning.isAuthenticated
        binaryParser.offersAuthentication = beginning.offersAuthentication
    }

    /// A get line may be of any length; this is where its memory ends: a million keys of 128 bytes.
    private static let inputBytesMax = 128 << 20

    /// Bytes that a value on its way or a long line holds, beyond a buffer of the pool.
    var heldBytes: Int { bodyFilled + longLineBytes }
    /// Whether a request stands still in memory until the client goes on.
    var holdsRequest: Bool { heldBytes > 0 || dialect == .uwsgi && input.count > 0 }
    private var longLineBytes: Int { max(0, input.capacity - BufferPool.bufferBytes) }

    // MARK: Input

    /// Where the next bytes go, and how many; nil when there is no memory for them.
    @inline(__always)
    mutating func inputRoom(_ context: inout WorkerContext) -> UnsafeMutableRawBufferPointer? {
        if case .readingCommand = phase, input.end == 0, input.isAllocated {
            return UnsafeMutableRawBufferPointer(start: input.base, count: input.capacity)
        }
        return furtherRoom(&context)
    }

    @inline(never)
    private mutating func furtherRoom(_ context: inout WorkerContext) -> UnsafeMutableRawBufferPointer? {
        if phase == .readingValue, let body {
            let start = incoming?.value ?? UnsafeMutableRawPointer(body)
            return UnsafeMutableRawBufferPointer(start: start + bodyFilled, count: bodyNeeded - bodyFilled)
        }
        if !input.isAllocated {
            guard let taken = context.pool.take() else { return nil }
            input = taken
        }
        if input.room == 0 {
            input.compact()
            if input.room == 0 {
                let before = longLineBytes
                guard input.capacity < Self.inputBytesMax, input.grow(to: input.capacity * 2) else { return nil }
                context.heldBytes += longLineBytes - before
            }
        }
        return UnsafeMutableRawBufferPointer(start: input.base + input.end, count: input.room)
    }

    /// Takes note of bytes that were put into `inputRoom`.
    @inline(__always)
    mutating func didRead(_ count: Int, _ context: inout WorkerContext) {
        context.select(cacheNumber)
        context.counters.add(.bytesRead, Int64(count))
        if phase == .readingValue {
            bodyFilled &+= count
            context.heldBytes &+= count
        } else {
            input.end &+= count
        }
    }

    /// Half a line that waits for its rest moves out of the pool's buffer into one of its size.
    mutating func shrinkInput(_ context: inout WorkerContext) {
        guard phase == .readingCommand || phase == .loggingIn, input.capacity == BufferPool.bufferBytes,
            input.count > 0,
            input.count <= TextParser.lineLengthMax, let small = Buffer(copying: input)
        else { return }
        context.pool.giveBack(&input)
        input = small
    }

    /// Whether a request has begun and is not complete.
    var isInRequest: Bool { phase == .readingValue || phase == .skipping || input.count > 0 }

    // MARK: Requests

    /// What a request takes of its client's share of a turn. A key of a longer retrieval takes 1.
    static let requestCost = 64

    /// Carries out what has arrived, as far as it may in one go.
    @inline(__always)
    mutating func advance(_ context: inout WorkerContext) -> Action {
        context.select(cacheNumber)
        var budget = context.requestsPerEventMax &* Self.requestCost
        // Most of what arrives is a plain request, and whole.
        while case .readingCommand = phase, input.count > 0, budget > 0, !output.isFull, step(&context, &budget) {
            if input.count == 0, case .readingCommand = phase {
                emptyInput(&context)
                return .read
            }
        }
        return advance(&context, budget)
    }

    /// As above, whatever it is that comes next.
    @inline(never)
    private mutating func advance(_ context: inout WorkerContext, _ budgetLeft: Int) -> Action {
        var budget = budgetLeft
        while true {
            switch phase {
            case .readingCommand:
                if output.isFull { return .send }
                guard input.count > 0 else { return idle(&context) }
                guard budget > 0 else {
                    context.counters.add(.connYields)
                    return .yield
                }
                guard step(&context, &budget) else { return idle(&context) }
            case .loggingIn:
                if output.isFull { return .send }
                guard input.count > 0, logIn(&context) else { return idle(&context) }
            case .readingValue:
                guard bodyFilled == bodyNeeded else { return idle(&context) }
                if context.waitsForStore, request.verb.needsStore { return .park }
                finishBody(&context)
                budget &-= Self.requestCost
            case .skipping:
                let skipped = min(bytesToSkip, input.count)
                input.start &+= skipped
                bytesToSkip &-= skipped
                guard bytesToSkip == 0 else { return idle(&context) }
                finishSkip(&context)
            case .streaming:
                if output.isFull { return .send }
                guard budget > 0 else { return .yield }
                budget &-= Self.requestCost
                switch streamPiece(&context) {
                case .more: break
                case .waiting: return waitInStream(&context)
                case .done: if phase == .streaming { phase = .readingCommand }
                }
            case .parked:
                if context.waitsForStore { return .park }
                phase = .readingCommand
            case .holdingLogin:
                return .holdLogin
            case .holdingWrite:
                return .holdWrite
            case .closing:
                return .close
            }
        }
    }

    /// Nothing more to do with what has arrived.
    @inline(__always)
    private mutating func idle(_ context: inout WorkerContext) -> Action {
        if input.isAllocated, input.count == 0 { emptyInput(&context) }
        return .read
    }

    /// The buffer stays for what comes next, unless a long line has made it larger.
    @inline(__always)
    private mutating func emptyInput(_ context: inout WorkerContext) {
        if input.capacity == BufferPool.bufferBytes { return input.empty() }
        giveBackInput(&context)
    }

    /// Gives back the buffers that hold nothing, of a connection that waits for its client with something in hand.
    mutating func giveBackEmptyBuffers(_ context: inout WorkerContext) {
        if input.isAllocated, input.count == 0 { giveBackInput(&context) }
        if output.isEmpty { output.giveBack(&context.pool) }
    }

    /// Nothing to say to a client that listens only; what it says itself is passed over.
    private mutating func waitInStream(_ context: inout WorkerContext) -> Action {
        input.start = input.end
        return idle(&context)
    }

    @inline(__always)
    private mutating func giveBackInput(_ context: inout WorkerContext) {
        context.heldBytes &-= longLineBytes
        context.pool.giveBack(&input)
    }

    // MARK: Replies

    /// - Parameter cas: what the item has now, where the dialect tells it.
    @inline(__always)
    mutating func reply(_ reply: Reply, cas: UInt64 = 0, _ context: inout WorkerContext) {
        if case .binary = dialect { return replyInBinary(reply, cas: cas, &context) }
        replyInText(reply, &context)
    }

    /// `STORED` and a line end, to a client that speaks text and is not observed.
    @inline(__always)
    mutating func writeStored(_ context: inout WorkerContext) {
        let lengthMax = 8
        guard let out = output.room(lengthMax, &context.pool) else { return outOfReplyMemory(&context) }
        output.didWrite(TextEncoder.encodeStored(at: out))
    }

    @inline(never)
    private mutating func replyInText(_ reply: Reply, _ context: inout WorkerContext) {
        if case .uwsgi = dialect { return replyInUwsgi(reply, &context) }
        guard let out = output.room(TextEncoder.replyLengthMax, &context.pool) else {
            return outOfReplyMemory(&context)
        }
        output.didWrite(TextEncoder.encode(reply, at: out))
        if context.verbosity > 1 { logReply(reply) }
    }

    /// There is no memory for an answer: without it the client would take the next one for it.
    mutating func outOfReplyMemory(_ context: inout WorkerContext) {
        context.counters.add(.responseOutOfMemory)
        phase = .closing
    }

    /// Gives back everything but the connection itself.
    mutating func dispose(_ context: inout WorkerContext) {
        endStream(&context)
        endExchange(&context)
        endWrite()
        dropBody(&context)
        giveBackInput(&context)
        output.discard(&context.pool, context.session)
    }
}
