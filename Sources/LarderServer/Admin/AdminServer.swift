import Glibc
import LarderEventLoop
import LarderStore
import Synchronization

/// The listeners of `--admin` and `--stats`: metrics, health and the console over HTTP, and uWSGI's statistics. They have
/// a thread of their own, and are outside of `-c`.
final class AdminServer: Sendable {
    private enum Phase: Int {
        case starting, serving, stopping
    }

    private let state: ServerState
    private let listeners: [Listener]
    private let statisticsListeners: [Listener]
    private let phase = Atomic(Phase.starting.rawValue)
    private let mustEnd = Atomic(false)
    private let gate = Mutex<PauseGate?>(nil)
    private let waker = Mutex<Waker?>(nil)
    private let thread = Mutex<SystemThread?>(nil)

    private static let limits = HTTPLimits()
    private static let statisticsLimits = OneAnswerLimits()

    /// Open files: the clients, one client more that is accepted and then refused, two listeners for each address of
    /// `--stats`, and the descriptors of the event loop.
    static func openFilesMax(_ settings: Settings) -> Int {
        let places = settings.statisticsPlaces.count
        guard settings.admin != nil || places > 0 else { return 0 }
        let clients = settings.admin == nil ? 0 : limits.clientsMax
        return clients + (places == 0 ? 0 : statisticsLimits.clientsMax + 2 * places) + 8
    }

    /// Takes over the listeners.
    /// - Parameters:
    ///   - listeners: for HTTP.
    ///   - statistics: for uWSGI's statistics.
    init(_ state: ServerState, _ listeners: [Listener], statistics: [Listener]) {
        self.state = state
        self.listeners = listeners
        statisticsListeners = statistics
    }

    /// Starts the thread; returns when it answers, or why it cannot.
    func start() throws(StartupError) {
        let readiness = Readiness()
        let started = try SystemThread(name: "larder-admin") { [self] in run(readiness) }
        thread.withLock { $0 = started }
        if let error = readiness.wait() { throw error }
    }

    /// The server serves: from now on it is ready as soon as the stores are.
    func noteServing() { phase.store(Phase.serving.rawValue, ordering: .relaxed) }
    /// The server stops, and is not ready any more.
    func noteStopping() { phase.store(Phase.stopping.rawValue, ordering: .relaxed) }

    /// Ends the thread and closes all clients. Call it once.
    func stop() {
        mustEnd.store(true, ordering: .releasing)
        waker.withLock { $0 }?.wake()
        thread.withLock { $0 }?.join()
    }

    /// Has the thread wait at a gate, between two requests.
    func pause(at gate: PauseGate) {
        self.gate.withLock { $0 = gate }
        waker.withLock { $0 }?.wake()
    }

    /// All listening sockets.
    var descriptors: [Int32] { (listeners + statisticsListeners).map(\.fd) }
    /// The addresses of HTTP, for the log.
    var places: [String] { listeners.compactMap { $0.address?.text } }
    /// The addresses of uWSGI's statistics, for the log.
    var statisticsPlaces: [String] { statisticsListeners.compactMap { $0.address?.text } }

    // MARK: In the thread

    private func run(_ readiness: Readiness) {
        let watch = state.watchFilesInThread()
        defer { extendLifetime(watch) }
        do {
            let loop = try EventLoop()
            let wakeup = try Wakeup(on: loop) { [self] in waitAtGate() }
            let server = try HTTPServer(on: loop, listeners: listeners.map(\.fd), limits: Self.limits) { [self] in
                answer($0)
            }
            let statistics = try OneAnswerServer(
                on: loop, listeners: statisticsListeners.map(\.fd), limits: Self.statisticsLimits
            ) { [state] in UwsgiStatistics.json(of: state) }
            waker.withLock { $0 = wakeup.waker }
            readiness.succeed()
            while !mustEnd.load(ordering: .acquiring) { loop.turn(block: true) }
            waker.withLock { $0 = nil }
            withExtendedLifetime((wakeup, server, statistics)) {}
        } catch {
            readiness.fail(.adminListener(state.settings.admin?.text, reason: "\(error)"))
        }
    }

    private func waitAtGate() {
        let gate = gate.withLock { gate in
            defer { gate = nil }
            return gate
        }
        guard let gate, gate.wait() else { return }
        mustEnd.store(true, ordering: .relaxed)
        gate.noteLeft()
    }

    private func answer(_ request: HTTPRequest) -> HTTPAnswer {
        switch request.path {
        case "/healthz": return HTTPAnswer(body: Array(("ok\n" + readOnlyCaches).utf8))
        case "/readyz":
            guard let reason = reasonNotReady else { return HTTPAnswer(body: Array(("ok\n" + readOnlyCaches).utf8)) }
            return HTTPAnswer(status: 503, body: Array((reason + "\n").utf8))
        case "/metrics":
            return HTTPAnswer(contentType: MetricsText.contentType, body: MetricsText.all(of: state))
        default:
            return Console.answer(request, state, reasonNotReady: reasonNotReady)
                ?? HTTPAnswer(status: 404, body: Array("404: try / for the list of pages\n".utf8))
        }
    }

    /// A line for each replicated cache whose log cannot be used. The server answers reads, so it is ready.
    private var readOnlyCaches: String {
        state.caches.map { cache in
            cache.replica?.status.error.map { "cache \(cache.name) is read-only: \($0)\n" } ?? ""
        }.joined()
    }

    /// Nil: requests are answered.
    private var reasonNotReady: String? {
        if phase.load(ordering: .relaxed) == Phase.stopping.rawValue { return "the server stops" }
        for cache in state.caches where !cache.isReady {
            if let replica = cache.replica, cache.store.isReady {
                return "cache \(cache.name) has not read its log: \(replica.status.error ?? "it reads")"
            }
            let percent = cache.store.fileStatistics?.recoveredPercent ?? 0
            return "cache \(cache.name) reads its file: \(percent) % done"
        }
        return phase.load(ordering: .relaxed) == Phase.starting.rawValue ? "the server starts" : nil
    }
}
