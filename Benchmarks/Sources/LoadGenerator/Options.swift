/// What a run does: the command line, checked.
struct Options: Sendable {
    /// How many requests each connection sends.
    enum RequestCount: Equatable, Sendable {
        case number(Int)
        /// As many as bring every key its turn once.
        case allKeys
    }

    /// memcached's three ways to say the same.
    enum Dialect: String, Sendable {
        case text = "memcache_text"
        case meta = "memcache_meta"
        case binary = "memcache_binary"
    }

    struct TLS: Equatable, Sendable {
        var authorities: String?
        var certificate: String?
        var key: String?
        var serverName: String?
        var verifies = true
    }

    struct Credentials: Equatable, Sendable {
        var user: String
        var password: String
    }

    // Where to.
    var host = "localhost"
    var port = "11211"
    /// 4, 6, or 0 for either.
    var addressFamily: Int32 = 0
    var unixSocket: String?
    var dialect = Dialect.text
    var tls: TLS?
    var credentials: Credentials?

    // How much.
    var threads = 1
    /// Connections of each thread.
    var connections = 50
    /// nil: as long as `seconds` says.
    var requests: RequestCount?
    var seconds: Double?
    var pipeline = 1
    /// Requests of each connection in a second, sent when they are due; nil: as fast as answers come.
    var ratePerConnection: Int?
    /// Requests after which a connection is made anew; 0: never.
    var reconnectInterval = 0
    var runCount = 1
    var seed: UInt64 = 1
    var distinctClientSeed = true

    // What.
    var setRatio = 1
    var getRatio = 10
    /// Keys of one get; 1 is a plain get.
    var keysPerGet = 1
    /// The shortest and the longest value.
    var dataSize = 32...32
    var sizePattern = SizePattern.random
    /// Sizes by weight; empty: all of `dataSize` alike.
    var sizeWeights: [SizeWeight] = []
    /// Seconds until what is stored expires; nil: never.
    var expiry: ClosedRange<Int>?
    /// Sets store these client flags. A value that comes back with others is a fault.
    var clientFlags: UInt32 = 0
    var keyPrefix = "memtier-"
    var keys: ClosedRange<UInt64> = 0...10_000_000
    var setPattern = KeyPattern.random
    var getPattern = KeyPattern.random
    var zipfExponent = 1.0
    /// nil: a sixth of the range, as in memtier.
    var keyDeviation: Double?
    /// nil: the middle of the range.
    var keyMedian: Double?
    var preload = false
    var verify = true

    // Output.
    var outFile: String?
    var jsonFile: String?
    var svgFile: String?
    var histogramPrefix: String?
    var hideHistogram = false
    var printsAllRuns = false
    var percentiles = [50, 90, 99, 99.9]
    var progress = false
    var debug = false

    var connectionsInAll: Int { threads * connections }

    /// The server, for people.
    var place: String { unixSocket ?? "\(host):\(port)" }

    /// The run that stores every key once, before the measured one.
    var preloading: Options {
        var options = self
        options.setRatio = 1
        options.getRatio = 0
        options.setPattern = .parallel
        options.requests = .allKeys
        options.seconds = nil
        options.ratePerConnection = nil
        options.reconnectInterval = 0
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

    /// Runs differ in what they ask for, unless clients may not.
    func run(number: Int) -> Options {
        var options = self
        if distinctClientSeed { options.seed = seed &+ UInt64(number) &* 0x1_0000_0001 }
        return options
    }
}
