import CLarderSystem

/// Stops threads at a point where they use no store, until it is decided whether they go on.
final class PauseGate: @unchecked Sendable {
    // SAFETY: `@unchecked` because the monitor guards everything that changes.
    private enum Decision {
        case goOn, leave
    }

    private let monitor = Monitor()
    private let threadCount: Int
    private var arrived = 0
    private var decision: Decision?
    private var left = 0
    private var isGivenUp = false
    private var clients: [HandedClient] = []

    init(threadCount: Int) { self.threadCount = threadCount }

    // MARK: For the threads

    /// Waits for the decision. True: the thread leaves the stores to another process.
    func wait() -> Bool {
        monitor.lock()
        defer { monitor.unlock() }
        arrived += 1
        monitor.signalAll()
        while decision == nil { monitor.wait() }
        return decision == .leave
    }

    /// Notes that a thread has left, and its clients that the other process serves.
    func noteLeft(_ handed: [HandedClient] = []) {
        monitor.withLock {
            left += 1
            clients += handed
        }
        monitor.signalAll()
    }

    /// Waits until the stores are given up. What the thread then does to them stays in this process.
    func awaitGivenUp() {
        monitor.lock()
        defer { monitor.unlock() }
        while !isGivenUp { monitor.wait() }
    }

    // MARK: For the thread that decides

    /// Waits until all threads have stopped. False: they have not in time.
    func awaitArrivals(withinMilliseconds time: Int64) -> Bool {
        let deadline = larder_milliseconds(false) + time
        monitor.lock()
        defer { monitor.unlock() }
        while arrived < threadCount, monitor.wait(untilMilliseconds: deadline) {}
        return arrived == threadCount
    }

    func goOn() { decide(.goOn) }

    /// Has all threads leave, and returns the clients that the other process serves.
    func leave(withinMilliseconds time: Int64) -> [HandedClient] {
        decide(.leave)
        let deadline = larder_milliseconds(false) + time
        monitor.lock()
        defer { monitor.unlock() }
        while left < threadCount, monitor.wait(untilMilliseconds: deadline) {}
        return clients
    }

    func noteGivenUp() {
        monitor.withLock { isGivenUp = true }
        monitor.signalAll()
    }

    private func decide(_ made: Decision) {
        monitor.withLock { decision = made }
        monitor.signalAll()
    }
}

/// A client without a request in progress, as another process takes it in.
struct HandedClient: Sendable {
    let fd: Int32
    let isUnixSocket: Bool
    /// Whether it has sent nothing yet.
    let isNew: Bool
    let resting: RestingConnection

    /// Bytes of a client in a packet.
    static let packetBytes = 8

    func write(to packet: inout TakeoverPacket) {
        var flags: UInt8 = isUnixSocket ? 1 : 0
        if isNew { flags |= 2 }
        if resting.isAuthenticated { flags |= 4 }
        if resting.offersAuthentication { flags |= 8 }
        packet.body.add(flags)
        packet.body.add(resting.dialect.rawValue)
        packet.body.add(resting.expectedDialect.rawValue)
        packet.body.add(UInt8(0))
        packet.body.add(resting.cacheNumber)
        packet.descriptors.append(fd)
    }

    /// Nil: the packet has no client here, or a cache that there is not.
    init?(_ body: inout PacketReader, fd: Int32, cacheCount: Int) {
        guard let flags = body.number(UInt8.self),
            let dialect = body.number(UInt8.self).flatMap(Dialect.init(rawValue:)),
            let expected = body.number(UInt8.self).flatMap(Dialect.init(rawValue:)), body.number(UInt8.self) != nil,
            let cache = body.number(Int32.self), (0..<Int32(clamping: cacheCount)).contains(cache)
        else { return nil }
        self.fd = fd
        isUnixSocket = flags & 1 != 0
        isNew = flags & 2 != 0
        resting = RestingConnection(
            dialect: dialect, expectedDialect: expected, isAuthenticated: flags & 4 != 0,
            offersAuthentication: flags & 8 != 0, cacheNumber: cache)
    }

    init(fd: Int32, isUnixSocket: Bool, isNew: Bool, resting: RestingConnection) {
        self.fd = fd
        self.isUnixSocket = isUnixSocket
        self.isNew = isNew
        self.resting = resting
    }
}
