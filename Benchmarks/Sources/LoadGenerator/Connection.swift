import CBenchSystem
import Glibc

/// What was asked and is not answered yet.
struct PendingRequest {
    var isSet = false
    /// Keys of a get.
    var keyCount: Int32 = 0
}

/// One connection: what it will ask, what it has asked, and how far its answers have been read.
///
/// SAFETY: the pointers are allocated by `init`, owned by the one worker that holds the connection and
/// freed by `end`; `requests` has room for a batch, `keys` for the keys of a batch, `partial` for
/// `partialMax` bytes, `unsent` for `unsentRoom`.
struct Connection {
    /// No line of an answer that we wait for is longer.
    static let partialMax = 512

    let descriptor: Int32
    var random: SeededRandom
    var sets: KeySequence
    var gets: KeySequence
    var requestsLeft: Int
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
    /// A line of which the end has not come yet.
    let partial: UnsafeMutablePointer<UInt8>
    var partialCount = 0

    // What the socket did not take at once.
    var unsent: UnsafeMutablePointer<UInt8>?
    var unsentRoom = 0
    var unsentStart = 0
    var unsentEnd = 0

    /// Connection number `number` of all.
    init(_ options: Options, number: Int) throws(BenchError) {
        descriptor = try connect(options)
        random = SeededRandom(seed: options.seed(of: number))
        func sequence(_ pattern: KeyPattern) -> KeySequence {
            KeySequence(
                pattern: pattern, keys: options.keys, exponent: options.zipfExponent, connection: number,
                connections: options.connectionsInAll)
        }
        sets = sequence(options.setPattern)
        gets = sequence(options.getPattern)
        requestsLeft = options.requests(of: number) ?? Int.max
        requests = .allocate(capacity: options.pipeline)
        keys = .allocate(capacity: options.pipeline * options.keysPerGet)
        partial = .allocate(capacity: Self.partialMax)
    }

    var isUnsent: Bool { unsentStart < unsentEnd }

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

    func end() {
        requests.deallocate()
        keys.deallocate()
        partial.deallocate()
        unsent?.deallocate()
    }
}

/// Opens a socket to the server under test.
private func connect(_ options: Options) throws(BenchError) -> Int32 {
    let place = options.unixSocket ?? "\(options.host):\(options.port)"
    let descriptor =
        options.unixSocket.map { bench_connect_unix($0) } ?? bench_connect_tcp(options.host, options.port)
    if descriptor >= 0 { return descriptor }
    let reason =
        descriptor <= -1000
        ? String(cString: gai_strerror(descriptor + 1000)) : String(cString: strerror(errno))
    throw BenchError(message: "cannot connect to \(place): \(reason)")
}
