import CLarderSystem
import Glibc
import LarderEventLoop
import LarderStore
import Synchronization

/// Serves until SIGTERM, SIGINT or SIGUSR1, and returns the process's exit code.
///
/// - Parameter reread: reads the settings again, on SIGHUP.
package func serve(_ settings: Settings, reread: @escaping () -> CommandLineRequest) -> Int32 {
    let deadline = StopDeadline()
    let code = serve(settings, SettingsReload(settings, reread: reread), deadline)
    StandardError.finish(withinMilliseconds: lastLinesMilliseconds)
    deadline.finish()
    return code
}

/// How long writing the last lines of the log may take.
private let lastLinesMilliseconds: Int64 = 1_000

private func serve(_ settings: Settings, _ reload: SettingsReload, _ deadline: StopDeadline) -> Int32 {
    do {
        larder_tune_malloc()
        var settings = try settings.withAbsolutePaths()
        // Read before the process gives up root: some of these files may be readable by root only.
        let access = try Access(settings)
        let notifier = ServiceNotifier.take(from: .process)
        (settings.inheritedSockets, settings.keptMemories) = try InheritedSocket.takeAll(from: .process)
        settings.checkKeptMemory(notifier)
        let notice = try ProcessSetup.prepare(&settings)
        try deadline.begin()
        try StandardError.beginThread()
        if let notice { StandardError.write(notice, .warning) }
        let predecessor = try Predecessor.find(settings)
        if let predecessor, settings.inheritedSockets.isEmpty {
            settings.inheritedSockets = predecessor.inheritedSockets
        }
        let clock = predecessor.map { ServerClock(offsetMilliseconds: $0.clockOffsetMilliseconds) } ?? ServerClock()
        let server = try Server(settings, access, clock: clock, predecessor: predecessor)
        try server.run(.host(deadline, reload, notifier))
        return ExitCode.success
    } catch let error as StartupError {
        StandardError.write(error.message, .error)
        return error.exitCode
    } catch let error as StoreError {
        StandardError.write("larder: \(error)", .error)
        return ExitCode.badValue
    } catch {
        StandardError.write("larder: \(error)", .error)
        return ExitCode.osError
    }
}

/// A server: listeners on the thread that runs it, clients dealt out to the workers in turn.
final class Server: ConnectionSink {
    /// Whose process it is in.
    enum Role {
        /// Its own: it takes the signals, says where it serves, and writes the files that were asked for.
        case host(StopDeadline, SettingsReload, ServiceNotifier)
        /// Somebody else's, who hears when it serves.
        case guest(whenReady: (ServerState, [Worker]) -> Void)
    }

    let state: ServerState
    private(set) var workers: [Worker] = []
    private(set) var listeners: [Listener]
    let datagramSockets: [DatagramSocket]
    /// nil without `--admin` and `--stats`.
    let admin: AdminServer?
    /// The server that this one takes over from; nil: none.
    private let predecessor: Predecessor?
    /// Where a successor connects; nil without `--takeover`.
    let takeoverSocket: Int32?
    /// nil without `--takeover`.
    var successorWatch: SuccessorWatch?
    /// The successor that SIGUSR2 has started; 0: none.
    var successorProcess: pid_t = 0
    private let dumpLoads: DumpLoads
    private var nextWorker = 0
    private var isStopping = false
    /// nil for a guest: its host decides how long to wait.
    private var deadline: StopDeadline?
    /// nil for a guest.
    private(set) var notifier: ServiceNotifier?
    /// Whether the service manager knows that clients are served.
    private var hasNotedReady = false
    private var losses = ClientLossReport()

    /// - Parameters:
    ///   - shift: moves the clock; nil: the clock stays, unless the settings allow a command to move it.
    ///   - predecessor: the server that this one takes over from.
    init(
        _ settings: Settings, _ access: Access, clock: ServerClock = ServerClock(), shift: ClockShift? = nil,
        predecessor: Predecessor? = nil
    ) throws {
        self.predecessor = predecessor
        // Before anything is allocated for a server that cannot listen.
        listeners = try Listener.openAll(settings)
        var adminListeners: [Listener] = []
        var statisticsListeners: [Listener] = []
        var datagramSockets: [DatagramSocket] = []
        do {
            // Behind the listeners: a second server at the same port does not get here.
            takeoverSocket = try predecessor?.takeoverSocket ?? TakeoverSocket.listen(settings)
            datagramSockets = try DatagramSocket.openAll(settings)
            adminListeners = try Listener.openAdmin(settings)
            statisticsListeners = try Listener.openStatistics(settings)
            let syncs = try CacheSync.openAll(settings)
            state = try ServerState(
                settings, clock: clock, shift: shift, access: access, defersRecovery: true, syncs: syncs,
                predecessor: predecessor)
            AdoptedSockets.closeRest()
            dumpLoads = try DumpLoads(state, listeners, hasItems: predecessor != nil)
        } catch {
            for listener in listeners + adminListeners + statisticsListeners { close(listener.fd) }
            for socket in datagramSockets { close(socket.fd) }
            throw error
        }
        self.datagramSockets = datagramSockets
        let hasNone = adminListeners.isEmpty && statisticsListeners.isEmpty
        admin = hasNone ? nil : AdminServer(state, adminListeners, statistics: statisticsListeners)
    }

    func run(_ role: Role) throws {
        // Answers before the workers begin, and until they have ended.
        if predecessor == nil { try admin?.start() }
        defer { admin?.stop() }
        defer { stopWorkers() }
        let loop = try EventLoop()
        let stopped = try Wakeup(on: loop) { [unowned self] in isStopping = true }
        takeStops(role, stopped.waker)
        // Clients are dealt out from here, so that all workers have as many. To hand one over costs more than to accept
        // it.
        let acceptor =
            state.settings.threadCount == 1
            ? nil
            : try Acceptor(
                listeners, on: loop, limit: state.connectionLimit,
                refusesOverLimit: state.settings.refusesConnectionsOverLimit, sink: self)
        for number in 0..<state.settings.threadCount {
            let worker = Worker(state, number: number)
            try worker.start()
            workers.append(worker)
        }
        try takeOver()
        if acceptor == nil, let only = workers.first { try only.accept(from: listeners) }
        let recovered = try Wakeup(on: loop) { [unowned self] in noteReady() }
        let recovery = try Recovery(state) { [workers, waker = recovered.waker] in
            for worker in workers { worker.wake() }
            waker.wake()
        }
        defer {
            deadline?.note { "the recovery of a store has not ended" }
            recovery.stop()
            deadline?.note { "the stores are not closed" }
        }
        for listener in listeners {
            state.connectionTable.set(listener.fd, .listening, atMilliseconds: state.clock.startMilliseconds)
        }
        try dumpLoads.start()
        defer { dumpLoads.end() }
        try DumpGiver.start(state, listeners)
        defer { DumpGiver.end(state) }
        let timers = startTimers(on: loop)
        let signals = try begin(role, loop)
        let takeovers = try beginTakeovers(on: loop)
        admin?.noteServing()
        noteReady()

        while !isStopping { loop.turn(block: true) }
        successorWatch?.end()
        admin?.noteStopping()
        notifier?.noteStopping()

        let clientCount = state.connectionLimit.current
        acceptor?.stop()
        stopWorkers()
        let failure = state.startFailure.withLock { $0 }
        if case .host = role, failure == nil { losses.reportEnd(state, clientCount: clientCount) }
        if state.settings.daemonizes, let path = state.settings.pidFilePath { PidFile.remove(at: path) }
        withExtendedLifetime((signals, takeovers, stopped, recovered, timers)) {}
        if let failure { throw failure }
    }

    /// Takes the stores and the clients of the predecessor, if there is one.
    private func takeOver() throws {
        guard let predecessor else { return }
        try predecessor.takeStores(state)
        for worker in workers { worker.wake() }
        try predecessor.takeClients(state, workers)
        // The former server has answered until now.
        try admin?.start()
    }

    private func startTimers(on loop: EventLoop) -> [Timer] {
        let ticker = Timer(on: loop) { [unowned self] in
            for worker in workers { worker.tick() }
            for cache in state.caches {
                cache.reportIfFull()
                cache.reportDamage()
            }
            losses.report(state)
            if !hasNotedReady { noteRestoring() }
            reapSuccessor()
        }
        ticker.start(afterMilliseconds: 1000, repeats: true)
        // Where expired memory is to come back sooner than a tick may be late.
        let maintenance = Timer(on: loop) { [unowned self] in workers.first?.maintain() }
        if let interval = state.maintenanceMilliseconds {
            maintenance.start(afterMilliseconds: interval, repeats: true)
        }
        return [ticker, maintenance]
    }

    /// Connects the stop signals, or the host's request, to the main loop.
    private func takeStops(_ role: Role, _ waker: Waker) {
        switch role {
        case .guest:
            state.stopRequest.withLock { $0 = { waker.wake() } }
        case .host(let deadline, _, let notifier):
            self.deadline = deadline
            self.notifier = notifier
            deadline.onSignal { waker.wake() }
            state.stopRequest.withLock { $0 = StopDeadline.request }
        }
    }

    /// What comes between being able to serve and serving.
    private func begin(_ role: Role, _ loop: EventLoop) throws -> [SignalWatch] {
        switch role {
        case .guest(let whenReady):
            adoptDatagramSockets()
            whenReady(state, workers)
            return []
        case .host(_, var reload, let notifier):
            // Watched even when there is nothing to read again: without a handler it would end the server.
            let hangup = try SignalWatch(on: loop, signal: SIGHUP) { [unowned self] in
                // During the start a message READY=1 would tell the service manager that clients are served.
                if hasNotedReady { notifier.noteReloading() }
                reload.run(state)
                if hasNotedReady { notifier.noteReady(places: places) }
            }
            announce()
            adoptDatagramSockets()
            if let path = state.settings.pidFilePath { PidFile.write(to: path) }
            PortFile.writeIfRequested(listeners, datagramSockets)
            if let interval = notifier.watchdogMilliseconds {
                workers.first?.perform { core in core.beginWatchdog(notifier, everyMilliseconds: interval) }
            }
            larder_drop_start_pages()
            return [hangup]
        }
    }

    /// Tells the service manager once that clients are served: the listeners are open, and the stores are restored.
    private func noteReady() {
        guard let notifier, !hasNotedReady, state.isReady else { return }
        hasNotedReady = true
        keepMemory(notifier)
        notifier.noteReady(places: places)
    }

    private func noteRestoring() {
        guard let notifier else { return }
        for cache in state.caches where !cache.store.isReady {
            return notifier.noteRestoring(percent: cache.store.fileStatistics?.recoveredPercent ?? 0)
        }
    }

    private func adoptDatagramSockets() {
        for (number, socket) in datagramSockets.enumerated() { workers[number % workers.count].adopt(socket) }
        // Begins with the last worker, because UDP listeners begin with the first.
        var next = 0
        for (number, cache) in state.caches.enumerated() {
            guard let sync = cache.sync else { continue }
            for socket in sync.sockets where socket.isReceiver {
                next = (next + workers.count - 1) % workers.count
                workers[next].perform { core in core.adopt(socket, of: sync, cacheNumber: number) }
            }
        }
    }

    private func stopWorkers() {
        guard !workers.isEmpty else { return }
        for worker in workers { worker.stop() }
        deadline?.note { [workers] in
            let threads = workers.filter { !$0.hasEnded }.map { "larder-\($0.number)" }
            return "still running: \(threads.joined(separator: ", "))"
        }
        for worker in workers { worker.join() }
        workers = []
    }

    func adopt(_ fd: Int32, from listener: Listener) {
        workers[nextWorker].adopt(fd, from: listener)
        nextWorker = (nextWorker + 1) % workers.count
    }

    /// The addresses of the main cache.
    private var places: String {
        let streams = listeners.filter { $0.cacheNumber == 0 && $0.bindingProtocol != .uwsgi }.map {
            $0.address?.text ?? "?"
        }
        let datagrams = datagramSockets.map { $0.address?.datagramText ?? "?" }
        return streams.isEmpty && datagrams.isEmpty ? "no address" : (streams + datagrams).joined(separator: ", ")
    }

    /// The one line that says where, how much, how many, and how to stop.
    private func announce() {
        let settings = state.settings
        let threads = settings.threadCount == 1 ? "1 thread" : "\(settings.threadCount) threads"
        let isDefault =
            !listeners.isEmpty && settings.listenAddresses.isEmpty && settings.unixSocketPath == nil
            && settings.inheritedSockets.isEmpty
        let scope = isDefault ? " (this machine only; -l ADDRESS serves others)" : ""
        StandardError.write(
            "larder \(Version.larder) serves \(places)\(scope) with \(settings.memoryLimitBytes >> 20) MB"
                + " and \(threads); stop it with Ctrl-C or kill \(getpid())")
        if !settings.inheritedSockets.isEmpty {
            StandardError.write("larder: the service manager opened these listeners; -l, -p and -s have no effect")
        }
        let uwsgi = listeners.filter { $0.bindingProtocol == .uwsgi }.map { $0.address?.text ?? "?" }
        if !uwsgi.isEmpty {
            StandardError.write("the uwsgi protocol reaches every cache at \(uwsgi.joined(separator: ", "))")
        }
        if let places = admin?.statisticsPlaces, !places.isEmpty {
            StandardError.write("larder: uWSGI's statistics at \(places.joined(separator: ", "))")
        }
        if let places = admin?.places, !places.isEmpty {
            StandardError.write("larder: metrics and health over HTTP at \(places.joined(separator: ", "))")
        }
        for (number, cache) in state.caches.enumerated() where !cache.settings.isMemcachedShaped {
            let own = listeners.filter { $0.cacheNumber == number && $0.bindingProtocol != .uwsgi }
            let places = own.map { $0.address?.text ?? "?" } + (uwsgi.isEmpty ? [] : ["uWSGI's clients"])
            StandardError.write(cache.settings.summary(places: places, isRouted: settings.routesKeys))
            if let sync = cache.sync { StandardError.write(sync.summary) }
        }
        if let sum = settings.automaticMemory { StandardError.write("larder: \(sum.text)") }
        if let given = ConfigurationReport.summary(settings) { StandardError.write("larder: settings: \(given)") }
    }
}
