import CLarderSystem
import Glibc
import LarderEventLoop
import LarderStore
import Synchronization

/// A worker's state, at a fixed address in its own thread.
struct WorkerCore: ~Copyable {
    var context: WorkerContext
    let loop: Unmanaged<EventLoop>
    let connectionTable: ConnectionTable
    /// What was last added to the server's `heldBytes` for this worker.
    var heldBytesReported = 0
    /// What clients use while they have something in hand.
    var connections = ConnectionFreeList()
    /// What a client at rest has for a connection: one with nothing in it, which nobody ever changes.
    let resting: ConnectionHandle
    var clients: ClientHandle?
    /// Of those that hold unread answers, the one that was active longest ago, and the one that was last.
    var unreadFirst: ClientHandle?
    var unreadLast: ClientHandle?
    var clientCount = 0
    var yieldedFirst: ClientHandle?
    var yieldedLast: ClientHandle?
    /// Clients whose attempt to log in waits for its time, the timer for the next of them, and clients that wait for a
    /// log.
    var heldLogins: [ClientHandle] = []
    var loginTimer: Timer?
    var heldWrites: [ClientHandle] = []
    /// Clients whose unread answers were dropped, to be closed at the end of the turn.
    var cutOff: [ClientHandle] = []
    /// Clients whose answer goes on when there is more to tell.
    var listening: [ClientHandle] = []
    var isInTurn = false
    /// How many events came in the last turn after its first.
    var furtherEvents = 0
    /// The next cache whose upkeep is to be looked after; none when it is the number of caches.
    var cacheToMaintain = Int.max
    /// `StoreDamage.count` when unsent answers were last judged by it, and when damaged stores were last emptied.
    var damagesSeen = StoreDamage.count
    var damagesRepaired = StoreDamage.count
    var isStopping = false
    var stopDeadlineMilliseconds: Int64 = 0
    /// Where records of TLS are put together; nil until one is.
    var recordBuffer: UnsafeMutableRawBufferPointer?
    var datagramPorts: [DatagramPortHandle] = []
    var syncPorts: [SyncPortHandle] = []
    /// Sends the remaining keys of a flush to other servers.
    var flushTimer: Timer?
    /// Of the only worker: what takes its clients in.
    var acceptor: WorkerAcceptor?
}

extension WorkerHandle {
    /// Reads the clock and begins a turn, unless one is under way.
    @inline(__always)
    func beginTurn() {
        guard !pointee.isInTurn else {
            pointee.furtherEvents &+= 1
            if pointee.furtherEvents & (Self.eventsPerClockRead - 1) == 0 {
                pointee.context.readClock()
                if pointee.context.sendsChanges { pointee.context.sendChanges() }
            }
            return
        }
        pointee.isInTurn = true
        pointee.furtherEvents = 0
        if pointee.context.damages != pointee.damagesRepaired { repairStores() }
        pointee.context.beginTurn()
    }

    /// A power of two. The clock is read again after so many events, so that a long turn does not use an old time.
    private static var eventsPerClockRead: Int { 32 }

    func endTurn() {
        guard pointee.isInTurn else { return }
        checkBriefPins()
        pointee.isInTurn = false
        pointee.context.endTurn()
    }
}

/// The upkeep of all caches, those that nobody asks anything of included: begun by a tick, and gone on
/// with between looks at the sockets, a slice at a time.
extension WorkerHandle {
    var hasUpkeep: Bool { pointee.cacheToMaintain < pointee.context.cacheCount }

    /// Caches that have nothing to do are looked at in one go.
    private static var cachesTendedMax: Int { 64 }

    func maintain() {
        beginTurn()
        for _ in 0..<Self.cachesTendedMax where hasUpkeep {
            pointee.context.select(pointee.cacheToMaintain)
            if pointee.context.session.maintain(now: pointee.context.now) { return }
            pointee.cacheToMaintain += 1
        }
    }
}

/// A thread with a loop of its own, and the clients that were dealt to it.
final class Worker: Sendable {
    let number: Int
    private let state: ServerState
    private let ended = Atomic(false)
    private let arrivals = Mutex<[Arrival]>([])
    private let datagramSockets = Mutex<[DatagramSocket]>([])
    private let jobs = Mutex<[Job]>([])
    private let stops = Atomic(false)
    private let ticks = Atomic(false)
    private let maintenance = Atomic(false)
    private let waker = Mutex<Waker?>(nil)
    private let thread = Mutex<SystemThread?>(nil)

    /// How long a value or a long line may stand still half-sent.
    private static let stallMillisecondsMax: Int64 = 60_000
    /// How long half a line keeps a whole buffer.
    private static let partialLineMilliseconds: Int64 = 1_000
    /// How long clients have to finish when the server stops.
    private static let stopMillisecondsMax: Int64 = 2_000
    private static let stopTickMilliseconds = 100
    /// How many events after its first make a turn a busy one.
    private static let busyFurtherEvents = 4

    init(_ state: ServerState, number: Int) {
        self.state = state
        self.number = number
    }

    /// Something that is done in the worker's thread.
    typealias Job = @Sendable (WorkerHandle) -> Void

    /// Starts the thread; returns when it is ready to take clients, or why it cannot.
    func start() throws(StartupError) {
        let readiness = Readiness()
        let started = try SystemThread(name: "larder-\(number)") { [self] in run(readiness) }
        thread.withLock { $0 = started }
        if let error = readiness.wait() { throw error }
    }

    private struct Arrival {
        var fd: Int32
        var listener: Listener
    }

    /// Hands a client over, and where it comes from. Called by the accepting thread.
    func adopt(_ fd: Int32, from listener: Listener) {
        arrivals.withLock { $0.append(Arrival(fd: fd, listener: listener)) }
        waker.withLock { $0 }?.wake()
    }

    /// Has the thread accept clients itself, who then need not be handed over: it is the only worker. The listeners are
    /// its own from now on.
    func accept(from listeners: [Listener]) throws(StartupError) {
        let readiness = Readiness()
        perform { core in
            do throws(EventLoopError) {
                core.pointee.acceptor = try WorkerAcceptor(core, listeners)
                readiness.succeed()
            } catch {
                readiness.fail(.worker("\(error)"))
            }
        }
        if let error = readiness.wait() { throw error }
    }

    /// Hands a UDP socket over.
    func adopt(_ socket: DatagramSocket) {
        datagramSockets.withLock { $0.append(socket) }
        waker.withLock { $0 }?.wake()
    }

    /// Has the thread do something, within a turn.
    func perform(_ job: @escaping Job) {
        jobs.withLock { $0.append(job) }
        waker.withLock { $0 }?.wake()
    }

    /// Asks the thread to finish what is in hand and end.
    func stop() {
        stops.store(true, ordering: .releasing)
        waker.withLock { $0 }?.wake()
    }

    /// Has the thread look whether the stores are there.
    func wake() { waker.withLock { $0 }?.wake() }

    /// Asks the thread to look after what time has done. Called once a second by the main thread,
    /// which spares the worker's loop a timer, and with it two clock calls in every turn.
    func tick() {
        ticks.store(true, ordering: .relaxed)
        waker.withLock { $0 }?.wake()
    }

    /// Asks the thread to look after the upkeep only.
    func maintain() {
        maintenance.store(true, ordering: .relaxed)
        waker.withLock { $0 }?.wake()
    }

    func join() { thread.withLock { $0 }?.join() }

    /// Whether the thread has ended.
    var hasEnded: Bool { ended.load(ordering: .relaxed) }

    // MARK: In the thread

    private func run(_ readiness: Readiness) {
        let watch = state.watchFilesInThread()
        defer { extendLifetime(watch) }
        if number == 0, !watch.isComplete { state.reportUnwatchedFiles() }
        let loop: EventLoop
        let core: WorkerHandle
        do {
            loop = try EventLoop()
            let context = try WorkerContext(state, number: number)
            let resting = ConnectionFreeList.make(context)
            core = WorkerHandle(
                WorkerCore(
                    context: context, loop: Unmanaged.passUnretained(loop),
                    connectionTable: state.connectionTable, resting: resting))
        } catch {
            return readiness.fail(.worker("\(error)"))
        }
        do {
            let timer = Timer(on: loop) { [self] in tick(core) }
            let wakeup = try Wakeup(on: loop) { [self] in
                awake(core)
                if core.pointee.isStopping { timer.start(afterMilliseconds: Self.stopTickMilliseconds, repeats: true) }
            }
            waker.withLock { $0 = wakeup.waker }
            core.pointee.context.waker = wakeup.waker
            readiness.succeed()
            withExtendedLifetime((wakeup, timer)) { turn(core, loop) }
        } catch {
            readiness.fail(.worker("\(error)"))
        }
        waker.withLock { $0 = nil }
        closeClients(core)
        core.pointee.acceptor = nil
        while let connection = core.pointee.connections.take() {
            ConnectionFreeList.free(connection, &core.pointee.context)
        }
        ConnectionFreeList.free(core.pointee.resting, &core.pointee.context)
        free(core.pointee.recordBuffer?.baseAddress)
        core.deallocate()
        ended.store(true, ordering: .relaxed)
    }

    private func turn(_ core: WorkerHandle, _ loop: EventLoop) {
        let processors = Int(larder_available_processors())
        let isCrowded = processors > 0 && state.settings.threadCount > processors
        while !core.pointee.isStopping || core.pointee.clients != nil {
            loop.turn(block: core.pointee.yieldedFirst == nil && !core.hasUpkeep)
            // Twice before the next look at the sockets: most batches are then answered whole, in one
            // system call, and nobody waits longer than for two shares of `-R` requests.
            for _ in 0..<2 where core.pointee.yieldedFirst != nil {
                core.beginTurn()
                core.serveYielded()
            }
            if core.hasUpkeep { core.maintain() }
            if !core.pointee.cutOff.isEmpty { core.closeCutOff() }
            core.endTurn()
            // Where workers share a processor, a busy one lets the others go first, rather than sleep and be woken by
            // its next request, which interrupts them: so there is more to do when its turn comes. The kernel may give
            // who yields a much later one, so one that has little to do keeps its place.
            if isCrowded, core.pointee.furtherEvents >= Self.busyFurtherEvents { sched_yield() }
        }
    }

    private func awake(_ core: WorkerHandle) {
        core.beginTurn()
        adoptArrivals(core)
        let sockets = datagramSockets.withLock { sockets in
            defer { sockets = [] }
            return sockets
        }
        for socket in sockets { core.adopt(socket) }
        if core.pointee.context.waitsForStore, state.isReady { core.unparkAll() }
        core.serveListening()
        core.sendFlushedKeys()
        if ticks.exchange(false, ordering: .relaxed) { tick(core) }
        if maintenance.exchange(false, ordering: .relaxed) { core.pointee.cacheToMaintain = 0 }
        let asked = jobs.withLock { jobs in
            defer { jobs = [] }
            return jobs
        }
        for job in asked { job(core) }
        if stops.load(ordering: .acquiring), !core.pointee.isStopping { beginStop(core) }
    }

    private func adoptArrivals(_ core: WorkerHandle) {
        let arrived = arrivals.withLock { arrivals in
            let taken = arrivals
            arrivals.removeAll(keepingCapacity: true)
            return taken
        }
        for arrival in arrived { core.adopt(arrival.fd, from: arrival.listener) }
    }

    /// Lets all clients go, those among them that nobody has looked at yet. Called in the worker's thread.
    func closeClients(_ core: WorkerHandle) {
        adoptArrivals(core)
        core.closeCutOff()
        while let client = core.pointee.clients { core.close(client) }
    }

    /// Once a second, and on an idle server too: expired memory comes back, and clients that stand
    /// still are let go.
    private func tick(_ core: WorkerHandle) {
        core.beginTurn()
        core.pointee.cacheToMaintain = 0
        if core.pointee.context.pool.shrink() { larder_trim_malloc() }
        core.pointee.context.tendSampling()
        if number == 0 {
            state.spareBody.shrink()
            for cache in state.caches { cache.sync?.sendGreeting() }
        }
        let idleMax = Int64(state.idleTimeoutSeconds.load(ordering: .relaxed)) * 1000
        let loginTimeout =
            core.pointee.context.login == .none ? 0 : state.loginTimeoutSeconds.load(ordering: .relaxed)
        var next = core.pointee.clients
        while let client = next {
            next = client.pointee.next
            let silent = core.pointee.context.now - client.pointee.lastActivityMilliseconds
            if silent > Self.partialLineMilliseconds {
                client.pointee.connection.pointee.shrinkInput(&core.pointee.context)
            }
            if client.pointee.isParked { continue }
            if loginTimeout > 0, core.closeIfLoginIsLate(client, timeoutSeconds: loginTimeout) { continue }
            if client.pointee.tlsState.isShakingHands {
                if silent > WorkerHandle.handshakeMillisecondsMax {
                    core.pointee.context.counters.add(.tlsHandshakeErrors)
                    core.close(client)
                }
            } else if client.pointee.isSending {
                core.closeIfUnread(client, silentMilliseconds: silent)
            } else if client.pointee.connection.pointee.holdsRequest {
                if silent > Self.stallMillisecondsMax {
                    state.droppedAsStalled.add(1, ordering: .relaxed)
                    core.close(client)
                }
            } else if idleMax > 0, silent > idleMax, isIdle(client) {
                core.pointee.context.counters.add(.idleKicks)
                core.close(client, .idleTimeout)
            }
        }
        core.closeCutOff()
        if core.pointee.isStopping, core.pointee.context.now >= core.pointee.stopDeadlineMilliseconds {
            while let client = core.pointee.clients { core.close(client) }
        }
    }

    /// Whether memcached's idle timeout means a client: one on TCP, between values, that takes its answers.
    private func isIdle(_ client: ClientHandle) -> Bool {
        let phase = client.pointee.connection.pointee.phase
        return !client.pointee.isUnixSocket && !client.pointee.isSending
            && (phase == .readingCommand || phase == .loggingIn)
    }

    /// What has been received is answered; clients with nothing in hand are let go at once.
    private func beginStop(_ core: WorkerHandle) {
        core.pointee.isStopping = true
        core.pointee.acceptor?.close()
        core.closeDatagramPorts()
        core.closeSyncPorts()
        core.pointee.stopDeadlineMilliseconds = core.pointee.context.now + Self.stopMillisecondsMax
        var next = core.pointee.clients
        while let client = next {
            next = client.pointee.next
            if client.pointee.isSending || client.pointee.isYielded || client.pointee.waitsForLog { continue }
            if client.pointee.isParked || client.pointee.connection.pointee.phase == .holdingLogin {
                core.close(client)
                continue
            }
            // One more look at the socket: a request may be waiting in it.
            core.receiveLast(client)
        }
    }
}
