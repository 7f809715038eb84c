import CBenchSystem
import CBenchTLS
import Glibc

/// What was asked and is not answered yet.
struct PendingRequest {
    enum Kind: UInt8 {
        case set
        /// A get whose answers end with `END`, or with its one value.
        case get
        /// Quiet gets with a no-op behind them.
        case quietGets
    }

    var kind = Kind.set
    /// Keys of a get.
    var keyCount: Int32 = 0
    /// When it was due, in an open loop.
    var due: UInt64 = 0
}

/// One connection: what it will ask, what it has asked, and how far its answers have been read.
///
/// SAFETY: the pointers are allocated by `init`, owned by the one worker that holds the connection and
/// freed by `end`; `requests` has room for a batch, `keys` for the keys of a batch, `partial` for
/// `partialMax` bytes, `unsent` for `unsentRoom`.
struct Connection {
    enum State {
        case handshaking, loggingIn, ready
    }

    /// No line or head of an answer that we wait for is longer.
    static let partialMax = 512

    var descriptor: Int32 = -1
    /// OpenSSL's session, where there is one.
    var tls: OpaquePointer?
    var state = State.ready
    var random: SeededRandom
    var sets: KeySequence
    var gets: KeySequence
    var requestsLeft: Int
    /// Requests since it was connected.
    var requestsSinceOpened = 0
    /// When a connection was made anew of which the first request is not sent yet.
    var openedAt: UInt64 = 0
    /// In an open loop: requests that are due and not sent, and how many have been sent.
    var dueCount = 0
    var sentCount = 0
    /// Where in SETS:GETS we are.
    var setsInTurn = 0
    var getsInTurn = 0

    // The batch under way.
    let requests: UnsafeMutablePointer<PendingRequest>
    let keys: UnsafeMutablePointer<UInt64>
    var requestCount = 0
    var answered = 0
    var keysSeen = 0
    /// The end of the keys of the get that is being answered.
    var keysOfAnswer = 0
    var sentAt: UInt64 = 0

    // Of the value that is being read: what is missing of it and its line end (0: between values).
    var valueLeft = 0
    var valueLength = 0
    /// A line or head of which the end has not come yet.
    let partial: UnsafeMutablePointer<UInt8>
    var partialCount = 0

    // What the socket did not take at once.
    var unsent: UnsafeMutablePointer<UInt8>?
    var unsentRoom = 0
    var unsentStart = 0
    var unsentEnd = 0

    /// Connection number `number` of all.
    init(_ options: Options, number: Int) {
        random = SeededRandom(seed: options.seed(of: number))
        func sequence(_ pattern: KeyPattern) -> KeySequence {
            KeySequence(
                pattern: pattern, keys: options.keys, exponent: options.zipfExponent,
                median: options.keyMedian,
                deviation: options.keyDeviation, connection: number, connections: options.connectionsInAll)
        }
        sets = sequence(options.setPattern)
        gets = sequence(options.getPattern)
        requestsLeft = options.requests(of: number) ?? Int.max
        requests = .allocate(capacity: options.pipeline)
        requests.initialize(repeating: PendingRequest(), count: options.pipeline)
        keys = .allocate(capacity: options.pipeline * options.keysPerGet)
        partial = .allocate(capacity: Self.partialMax)
    }

    var isUnsent: Bool { unsentStart < unsentEnd }

    /// Nothing is under way.
    var isIdle: Bool { state == .ready && answered == requestCount }

    /// Keeps bytes that the socket had no room for.
    mutating func keepUnsent(_ bytes: UnsafePointer<UInt8>, _ count: Int) {
        var room = unsentRoom >= count ? unsent : nil
        if room == nil {
            unsent?.deallocate()
            room = .allocate(capacity: count)
            (unsent, unsentRoom) = (room, count)
        }
        room?.update(from: bytes, count: count)
        (unsentStart, unsentEnd) = (0, count)
    }

    /// Hangs up.
    mutating func close() {
        if let tls { bench_tls_session_end(tls) }
        if descriptor >= 0 { _ = Glibc.close(descriptor) }
        (tls, descriptor, unsentStart, unsentEnd, partialCount) = (nil, -1, 0, 0, 0)
    }

    mutating func end() {
        close()
        requests.deallocate()
        keys.deallocate()
        partial.deallocate()
        unsent?.deallocate()
    }
}
