import CLarderSystem
import Glibc
import LarderEventLoop
import LarderStore
import Synchronization

/// Serves until SIGTERM, SIGINT or SIGUSR1, and returns the process's exit code.
package func serve(_ settings: Settings) -> Int32 {
    do {
        larder_tune_malloc()
        // What only root may read is read as root, and relative paths before a daemon leaves the directory.
        let access = try Access(settings)
        try ProcessSetup.prepare(settings)
        let server = try Server(settings, access)
        try server.run()
        return ExitCode.success
    } catch let error as StartupError {
        StandardError.write(error.message)
        return error.exitCode
    } catch let error as StoreError {
        StandardError.write("larder: \(error)")
        return ExitCode.badValue
    } catch {
        StandardError.write("larder: \(error)")
        return ExitCode.osError
    }
}

/// A server: listeners on the thread that runs it, clients dealt out to the workers in turn.
final class Server: ConnectionSink {
    /// Whose process it is in.
    enum Role {
        /// Its own: it takes the signals, says where it serves, and writes the files that were asked for.
        case host
        /// Somebody else's, who hears when it serves.
        case guest(whenReady: (ServerState, [Worker]) -> Void)
    }

    private let state: ServerState
    private var workers: [Worker] = []
    private var listeners: [Listener]
    private let datagramSockets: [DatagramSocket]
    private var nextWorker = 0
    private var isStopping = false

    /// - Parameter shift: moves the clock; nil: nobody does, or a command where the settings allow that.
    init(
        _ settings: Settings, _ access: Access, clock: ServerClock = ServerClock(), shift: ClockShift? = nil
    ) throws {
        // Before anything is allocated for a server that cannot listen.
        listeners = try Listener.openAll(settings)
        datagramSockets = try DatagramSocket.openAll(settings)
        do {
            state = try ServerState(
                settings, clock: clock, shift: shift, access: access, defersRecovery: true)
        } catch {
            for listener in listeners { close(listener.fd) }
            throw error
        }
    }

    func run(_ role: Role = .host) throws {
        defer { stopWorkers() }
        let loop = try EventLoop()
        // Clients are dealt out from here, so that all workers have as many. To hand one over costs more than to accept it.
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
        if acceptor == nil, let only = workers.first { try only.accept(from: listeners) }
        let recovery = try Recovery(state) { [workers] in
            for worker in workers { worker.wake() }
        }
        defer { recovery.stop() }
        for listener in listeners {
            state.connectionTable.set(listener.fd, .listening, atMilliseconds: state.clock.startMilliseconds)
        }
        let stopped = try Wakeup(on: loop) { [unowned self] in isStopping = true }
        let waker = stopped.waker
        state.stopRequest.withLock { $0 = { waker.wake() } }
        let ticker = Timer(on: loop) { [unowned self] in
            for worker in workers { worker.tick() }
            for cache in state.caches {
                cache.reportIfFull()
                cache.reportDamage()
            }
        }
        ticker.start(afterMilliseconds: 1000, repeats: true)
        // Where expired memory is to come back sooner than a tick may be late.
        let tender = Timer(on: loop) { [unowned self] in workers.first?.tend() }
        if let interval = state.tendMilliseconds { tender.start(afterMilliseconds: interval, repeats: true) }
        let signals = try begin(role, loop)

        while !isStopping { loop.turn(block: true) }

        acceptor?.stop()
        stopWorkers()
        if state.settings.daemonizes, let path = state.settings.pidFilePath { PidFile.remove(at: path) }
        withExtendedLifetime((signals, stopped, ticker, tender)) {}
    }

    /// What comes between being able to serve and serving.
    private func begin(_ role: Role, _ loop: EventLoop) throws -> [SignalWatch] {
        switch role {
        case .guest(let whenReady):
            adoptDatagramSockets()
            whenReady(state, workers)
            return []
        case .host:
            var signals = try [SIGTERM, SIGINT, SIGUSR1].map { signal in
                try SignalWatch(on: loop, signal: signal) { [unowned self] in isStopping = true }
            }
            // Watched even when there is nothing to read again: without a handler it would end the server.
            signals.append(
                try SignalWatch(on: loop, signal: SIGHUP) { [unowned self] in state.access.reload() })
            announce()
            adoptDatagramSockets()
            if let path = state.settings.pidFilePath { PidFile.write(to: path) }
            PortFile.writeIfRequested(listeners, datagramSockets)
            return signals
        }
    }

    private func adoptDatagramSockets() {
        for (number, socket) in datagramSockets.enumerated() { workers[number % workers.count].adopt(socket) }
    }

    private func stopWorkers() {
        for worker in workers { worker.stop() }
        for worker in workers { worker.join() }
        workers = []
    }

    func adopt(_ fd: Int32, from listener: Listener) {
        workers[nextWorker].adopt(fd, from: listener)
        nextWorker = (nextWorker + 1) % workers.count
    }

    /// The one line that says where, how much, how many, and how to stop.
    private func announce() {
        let streams = listeners.filter { $0.cacheNumber == 0 }.map { $0.address?.text ?? "?" }
        let datagrams = datagramSockets.map { $0.address?.datagramText ?? "?" }
        let places = streams.isEmpty && datagrams.isEmpty ? "nobody" : (streams + datagrams).joined(separator: ", ")
        let settings = state.settings
        let threads = settings.threadCount == 1 ? "1 thread" : "\(settings.threadCount) threads"
        let isDefault = !listeners.isEmpty && settings.listenAddresses.isEmpty && settings.unixSocketPath == nil
        let scope = isDefault ? " (this machine only; -l ADDRESS serves others)" : ""
        StandardError.write(
            "larder \(Version.larder) serves \(places)\(scope) with \(settings.memoryLimitBytes >> 20) MB"
                + " and \(threads); stop it with Ctrl-C or kill \(getpid())")
        for (number, cache) in state.caches.enumerated() where !cache.settings.isMemcachedShaped {
            let places = listeners.filter { $0.cacheNumber == number }.map { $0.address?.text ?? "?" }
            StandardError.write(cache.settings.summary(places: places, isRouted: settings.routesKeys))
        }
    }
}
