import CBenchSystem
import Glibc
import Synchronization

/// The connections of one thread, and the loop that keeps each of them busy.
///
/// SAFETY: all memory is allocated by `init`, used on one thread and freed by `deinit`. `input` has
/// room for a carried-over line, `receiveMax` bytes behind it and 8 more that may be read but mean
/// nothing; `output` has room for a batch of the longest requests.
struct Worker: ~Copyable {
    static let receiveMax = 256 * 1024
    static let readyMax = 512
    /// How long it waits at most, so that it sees the end of the run.
    static let waitMax: Int64 = 100_000_000
    /// How long before a request is due it stays awake: to be woken takes some 30 microseconds, and would be in
    /// the latencies of whatever server is measured.
    static let awakeNanoseconds: Int64 = 50_000

    let options: Options
    let values: ValueSource
    let sizes: ValueSizes
    let writer: RequestWriter
    let login: [UInt8]
    let isOpenLoop: Bool
    let keyPrefix: UnsafeMutablePointer<UInt8>
    let keyPrefixLength: Int

    var target: LoadTarget
    var clock = Clock()
    var schedule: Schedule
    let connections: UnsafeMutablePointer<Connection>
    var connectionCount = 0
    /// Connections that are not done, and those that are not ready for their first request.
    var active = 0
    var opening = 0
    /// Whether the measured time has begun.
    var isRunning = false
    let epoll: Int32
    private let ready: UnsafeMutablePointer<bench_ready>
    let input: UnsafeMutablePointer<UInt8>
    let output: UnsafeMutablePointer<UInt8>

    var totals = Totals()
    /// Why the run must end; set where something is wrong, thrown at the end of the turn.
    var fault: String?

    /// Connects the connections of thread number `thread`.
    init(_ options: Options, target: LoadTarget, values: ValueSource, thread: Int) throws(BenchError) {
        self.options = options
        self.target = target
        self.values = values
        sizes = ValueSizes(options)
        writer = RequestWriter(options, values: values)
        login = options.credentials.map { loginRequest($0, options.dialect) } ?? []
        isOpenLoop = options.ratePerConnection != nil
        schedule = Schedule(options, thread: thread)
        let prefix = Array(options.keyPrefix.utf8)
        keyPrefixLength = prefix.count
        keyPrefix = .allocate(capacity: prefix.count + 1)
        keyPrefix.initialize(from: prefix, count: prefix.count)
        connections = .allocate(capacity: options.connections)
        ready = .allocate(capacity: Self.readyMax)
        input = .allocate(capacity: Connection.partialMax + Self.receiveMax + 8)
        output = .allocate(capacity: max(options.pipeline * writer.longestRequest, login.count))
        epoll = bench_epoll_create()
        for index in 0..<options.connections {
            (connections + index).initialize(
                to: Connection(options, number: thread * options.connections + index))
            connectionCount = index + 1
            open(connections + index, waits: true)
            if let fault { throw BenchError(message: "cannot connect to \(options.place): \(fault)") }
        }
        active = connectionCount
    }

    deinit {
        for index in 0..<connectionCount { connections[index].end() }
        close(epoll)
        writer.end()
        sizes.end()
        keyPrefix.deallocate()
        connections.deallocate()
        ready.deallocate()
        input.deallocate()
        output.deallocate()
    }

    /// Waits until all connections are through with TLS and their password, unless `isCancelled`.
    mutating func finishOpening(isCancelled: () -> Bool) throws(BenchError) {
        let deadline = clock.now() + 30_000_000_000
        while opening > 0 && fault == nil && !isCancelled() {
            turn(waitingAtMost: Self.waitMax)
            if clock.now() > deadline { fault = "\(opening) connections were not let in within 30 s" }
        }
        if let fault { throw BenchError(message: fault) }
    }

    /// Sends and reads until every connection has sent its share, time is up or something is wrong.
    mutating func run(_ run: RunState, _ progress: WorkerProgress, deadline: UInt64) throws(BenchError) {
        let cpuBefore = bench_thread_cpu_nanoseconds()
        if isOpenLoop { bench_wake_precisely() }
        begin(at: clock.now())
        while active > 0 && fault == nil && !run.isFailed && clock.now() < deadline {
            turn(waitingAtMost: Self.waitMax)
            progress.requests.store(totals.requests, ordering: .relaxed)
            progress.latencySum.store(
                totals.setLatency.sum &+ totals.getLatency.sum, ordering: .relaxed)
        }
        end()
        totals.cpuNanoseconds = bench_thread_cpu_nanoseconds() - cpuBefore
        if let fault { throw BenchError(message: fault) }
    }

    /// The measured time begins.
    mutating func begin(at time: UInt64) {
        isRunning = true
        if isOpenLoop {
            schedule.begin(at: time)
            return
        }
        for index in 0..<connectionCount where fault == nil { sendNext(connections + index) }
    }

    /// Notes what was due and has no answer.
    mutating func end() {
        guard isOpenLoop else { return }
        for index in 0..<connectionCount {
            let connection = connections[index]
            totals.unanswered += UInt64(connection.dueCount + connection.requestCount - connection.answered)
        }
    }

    /// One round: what is due, then what has come.
    @inline(__always)
    mutating func turn(waitingAtMost longest: Int64) {
        let wait =
            isOpenLoop && isRunning ? min(longest, max(0, sendDue() &- Self.awakeNanoseconds)) : longest
        let count = bench_epoll_wait(epoll, ready, Int32(Self.readyMax), wait)
        if count < 0 { fault = "epoll_wait: \(String(cString: strerror(errno)))" }
        var index = 0
        while index < Int(count) && fault == nil {
            serve(ready[index])
            index &+= 1
        }
    }

    @inline(__always)
    private mutating func serve(_ event: bench_ready) {
        let connection = connections + Int(event.index)
        if connection.pointee.state == .handshaking {
            handshake(connection)
            return
        }
        if connection.pointee.isUnsent { sendUnsent(connection) }
        guard event.readable != 0, fault == nil else { return }
        repeat {
            // A line that was cut is put in front of what follows it.
            let start = input + (Connection.partialMax - connection.pointee.partialCount)
            memcpy(start, connection.pointee.partial, connection.pointee.partialCount)
            let place = input + Connection.partialMax
            let count = receive(connection, place, Self.receiveMax)
            guard count > 0 else { return }
            totals.bytesReceived &+= UInt64(count)
            connection.pointee.partialCount = 0
            if connection.pointee.state == .loggingIn {
                readLogin(connection, start, place + count)
                return
            }
            readAnswers(connection, start, place + count, now: clock.now())
        } while connection.pointee.tls != nil && fault == nil && hasPending(connection)
        if connection.pointee.answered == connection.pointee.requestCount && fault == nil {
            finishBatch(connection)
        }
    }

    /// All of a batch is answered.
    @inline(__always)
    private mutating func finishBatch(_ connection: UnsafeMutablePointer<Connection>) {
        guard connection.pointee.requestsLeft > 0 else {
            active &-= 1
            return
        }
        if options.reconnectInterval > 0
            && connection.pointee.requestsSinceOpened >= options.reconnectInterval
        {
            reconnect(connection)
        } else {
            sendNext(connection)
        }
    }
}
