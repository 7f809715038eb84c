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

    let options: Options
    let values: ValueSource
    private let writer: RequestWriter
    let keyPrefix: UnsafeMutablePointer<UInt8>
    let keyPrefixLength: Int

    private let connections: UnsafeMutablePointer<Connection>
    private var connectionCount = 0
    private var active = 0
    private let epoll: Int32
    private let ready: UnsafeMutablePointer<bench_ready>
    private let input: UnsafeMutablePointer<UInt8>
    private let output: UnsafeMutablePointer<UInt8>

    var totals = Totals()
    /// Why the run must end; set where something is wrong, thrown at the end of the turn.
    var fault: String?

    /// Connects the connections of thread number `thread`.
    init(_ options: Options, values: ValueSource, thread: Int) throws(BenchError) {
        self.options = options
        self.values = values
        writer = RequestWriter(options, values: values)
        let prefix = Array(options.keyPrefix.utf8)
        keyPrefixLength = prefix.count
        keyPrefix = .allocate(capacity: prefix.count + 1)
        keyPrefix.initialize(from: prefix, count: prefix.count)
        connections = .allocate(capacity: options.connections)
        ready = .allocate(capacity: Self.readyMax)
        input = .allocate(capacity: Connection.partialMax + Self.receiveMax + 8)
        output = .allocate(capacity: options.pipeline * writer.longestRequest)
        epoll = bench_epoll_create()
        for index in 0..<options.connections {
            let connection = try Connection(options, number: thread * options.connections + index)
            (connections + index).initialize(to: connection)
            connectionCount = index + 1
            guard bench_epoll_watch(epoll, connection.descriptor, UInt32(index), 0, 0) == 0 else {
                throw BenchError(message: "epoll: \(String(cString: strerror(errno)))")
            }
        }
        active = connectionCount
    }

    deinit {
        for index in 0..<connectionCount { connections[index].end() }
        for index in 0..<connectionCount { close(connections[index].descriptor) }
        close(epoll)
        keyPrefix.deallocate()
        connections.deallocate()
        ready.deallocate()
        input.deallocate()
        output.deallocate()
    }

    /// Sends and reads until every connection has sent its share, time is up or something is wrong.
    mutating func run(_ run: RunState, _ progress: WorkerProgress, deadline: UInt64) throws(BenchError) {
        let cpuBefore = bench_thread_cpu_nanoseconds()
        for index in 0..<connectionCount where fault == nil { sendBatch(connections + index) }
        while active > 0 && fault == nil {
            let count = bench_epoll_wait(epoll, ready, Int32(Self.readyMax), 100)
            if count < 0 { fault = "epoll_wait: \(String(cString: strerror(errno)))" }
            if run.isFailed || bench_monotonic_nanoseconds() >= deadline { break }
            var index = 0
            while index < Int(count) && fault == nil {
                serve(ready[index])
                index &+= 1
            }
            progress.requests.store(totals.requests, ordering: .relaxed)
        }
        totals.cpuNanoseconds = bench_thread_cpu_nanoseconds() - cpuBefore
        if let fault { throw BenchError(message: fault) }
    }

    @inline(__always)
    private mutating func serve(_ event: bench_ready) {
        let connection = connections + Int(event.index)
        if event.writable != 0 { sendUnsent(connection, index: event.index) }
        guard event.readable != 0, fault == nil else { return }
        // A line that was cut is put in front of what follows it.
        let start = input + (Connection.partialMax - connection.pointee.partialCount)
        memcpy(start, connection.pointee.partial, connection.pointee.partialCount)
        let target = input + Connection.partialMax
        let count = recv(connection.pointee.descriptor, target, Self.receiveMax, 0)
        guard count > 0 else {
            if count == 0 {
                fault = "the server closed a connection"
            } else if errno != EAGAIN && errno != EINTR {
                fault = "recv: \(String(cString: strerror(errno)))"
            }
            return
        }
        totals.bytesReceived &+= UInt64(count)
        let elapsed = bench_monotonic_nanoseconds() &- connection.pointee.sentAt
        readAnswers(connection, start, target + count, elapsed: elapsed)
        guard connection.pointee.answered == connection.pointee.requestCount, fault == nil else { return }
        if connection.pointee.requestsLeft > 0 {
            sendBatch(connection)
        } else {
            // It stays open until all are done: closing costs the server time that is not ours to cause.
            active -= 1
        }
    }

    /// Writes a batch of requests and sends it with one call.
    @inline(__always)
    private mutating func sendBatch(_ connection: UnsafeMutablePointer<Connection>) {
        let count = min(options.pipeline, connection.pointee.requestsLeft)
        var cursor = output
        var keyCount = 0
        for index in 0..<count {
            if connection.pointee.setsInTurn < options.setRatio {
                cursor = writeSet(connection, at: cursor)
                connection.pointee.requests[index] = PendingRequest(isSet: true)
                connection.pointee.setsInTurn &+= 1
            } else {
                let keys = keysOfNextGet(connection)
                cursor = writer.writeGet(at: cursor)
                for _ in 0..<keys {
                    let key = connection.pointee.gets.next(&connection.pointee.random)
                    connection.pointee.keys[keyCount] = key
                    keyCount &+= 1
                    cursor = writer.writeKey(key, at: cursor)
                }
                cursor = writer.writeLineEnd(at: cursor)
                connection.pointee.requests[index] = PendingRequest(keyCount: Int32(keys))
                connection.pointee.getsInTurn &+= keys
            }
            if connection.pointee.setsInTurn >= options.setRatio
                && connection.pointee.getsInTurn >= options.getRatio
            {
                connection.pointee.setsInTurn = 0
                connection.pointee.getsInTurn = 0
            }
        }
        connection.pointee.requestsLeft &-= count
        connection.pointee.requestCount = count
        connection.pointee.answered = 0
        connection.pointee.keysSeen = 0
        connection.pointee.keysOfAnswer = Int(connection.pointee.requests[0].keyCount)
        connection.pointee.sentAt = bench_monotonic_nanoseconds()
        send(connection, cursor - output)
    }

    /// As in memtier, a get has no more keys than the ratio has gets in a row.
    @inline(__always)
    private func keysOfNextGet(_ connection: UnsafeMutablePointer<Connection>) -> Int {
        min(options.keysPerGet, options.getRatio &- connection.pointee.getsInTurn)
    }

    @inline(__always)
    private func writeSet(
        _ connection: UnsafeMutablePointer<Connection>, at cursor: UnsafeMutablePointer<UInt8>
    ) -> UnsafeMutablePointer<UInt8> {
        let key = connection.pointee.sets.next(&connection.pointee.random)
        var length = options.dataSize.upperBound
        if options.dataSize.lowerBound < length {
            length = Int(
                UInt64(options.dataSize.lowerBound)
                    &+ connection.pointee.random.next(below: UInt64(options.dataSize.count)))
        }
        var expiry = 0
        if let range = options.expiry {
            expiry = range.lowerBound + Int(connection.pointee.random.next(below: UInt64(range.count)))
        }
        return writer.writeSet(key: key, length: length, expiry: expiry, at: cursor)
    }

    @inline(__always)
    private mutating func send(_ connection: UnsafeMutablePointer<Connection>, _ count: Int) {
        let sent = max(0, tryToSend(connection.pointee.descriptor, output, count))
        totals.bytesSent &+= UInt64(sent)
        if sent < count && fault == nil {
            connection.pointee.keepUnsent(output + sent, count - sent)
            let index = UInt32(connection - connections)
            _ = bench_epoll_watch(epoll, connection.pointee.descriptor, index, 1, 1)
        }
    }

    private mutating func sendUnsent(_ connection: UnsafeMutablePointer<Connection>, index: UInt32) {
        guard connection.pointee.isUnsent, let unsent = connection.pointee.unsent else { return }
        let start = connection.pointee.unsentStart
        let sent = tryToSend(
            connection.pointee.descriptor, unsent + start, connection.pointee.unsentEnd - start)
        guard sent > 0 else { return }
        totals.bytesSent += UInt64(sent)
        connection.pointee.unsentStart += sent
        if !connection.pointee.isUnsent {
            _ = bench_epoll_watch(epoll, connection.pointee.descriptor, index, 0, 1)
        }
    }

    @inline(__always)
    private mutating func tryToSend(
        _ descriptor: Int32, _ bytes: UnsafePointer<UInt8>, _ count: Int
    ) -> Int {
        let sent = Glibc.send(descriptor, bytes, count, Int32(MSG_NOSIGNAL))
        if sent < 0 && errno != EAGAIN && errno != EINTR {
            fault = "send: \(String(cString: strerror(errno)))"
        }
        return sent
    }
}
