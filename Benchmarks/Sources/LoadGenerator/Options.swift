/// What a run does: the command line, checked.
struct Options: Sendable {
    /// How many requests each connection sends.
    enum RequestCount: Equatable, Sendable {
        case number(Int)
        /// As many as bring every key its turn once.
        case allKeys
    }

    var host = "localhost"
    var port = "11211"
    var unixSocket: String?

    var threads = 1
    /// Connections of each thread.
    var connections = 50
    /// nil: as long as `seconds` says.
    var requests: RequestCount?
    var seconds: Double?

    var setRatio = 1
    var getRatio = 10
    var pipeline = 1
    /// Keys of one get; 1 is a plain get.
    var keysPerGet = 1

    var dataSize = 32...32
    /// Seconds until what is stored expires; nil: never.
    var expiry: ClosedRange<Int>?

    var keyPrefix = "memtier-"
    var keys: ClosedRange<UInt64> = 0...10_000_000
    var setPattern = KeyPattern.random
    var getPattern = KeyPattern.random
    var zipfExponent = 1.0

    var seed: UInt64 = 1
    var distinctClientSeed = true

    var preload = false
    var verify = true
    var jsonFile: String?
    var hideHistogram = false
    var progress = false

    var connectionsInAll: Int { threads * connections }

    /// The run that stores every key once, before the measured one.
    var preloading: Options {
        var options = self
        options.setRatio = 1
        options.getRatio = 0
        options.setPattern = .parallel
        options.requests = .allKeys
        options.seconds = nil
        options.connections = min(connections, 4)
        // Some 64 KB in flight: enough to keep a server busy, too little to overrun a socket's buffer.
        options.pipeline = max(1, min(64, 65536 / dataSize.upperBound))
        return options
    }

    /// How many requests connection number `connection` of all sends; nil: until time is up.
    func requests(of connection: Int) -> Int? {
        switch requests {
        case nil: nil
        case .number(let count): count
        case .allKeys:
            {
                let part = setPattern == .parallel || getPattern == .parallel
                let range = part ? keys.part(connection, of: connectionsInAll) : keys
                return Int(range.upperBound - range.lowerBound + 1)
            }()
        }
    }

    func seed(of connection: Int) -> UInt64 {
        distinctClientSeed ? mix(seed ^ mix(UInt64(connection) + 1)) : seed
    }
}
