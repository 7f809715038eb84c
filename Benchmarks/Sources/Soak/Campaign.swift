import CBenchSystem
import CBenchTLS
import Glibc
import LoadGenerator
import Synchronization

/// A run with one server, its clients and its faults, for one number of workers.
struct Campaign {
    let options: SoakOptions
    let workers: Int
    let seconds: Int
    /// Whether the main port routes by keys. Routing takes all requests off the server's short path.
    let routesKeys: Bool
    /// Ends the run after so many verified operations; 0: no limit.
    let operations: Int
    let directory: String
    let storeDirectory: String

    struct Result {
        var operations = 0, hits = 0, misses = 0, changes = 0, rechecked = 0, refused = 0, flushes = 0
        var wrong = 0, lost = 0, broken = 0
        var seconds = 0.0
        var faults: [FaultKind: Int] = [:]

        static func += (sum: inout Result, more: Result) {
            sum.operations += more.operations
            sum.hits += more.hits
            sum.misses += more.misses
            sum.changes += more.changes
            sum.rechecked += more.rechecked
            sum.refused += more.refused
            sum.flushes += more.flushes
            sum.wrong += more.wrong
            sum.lost += more.lost
            sum.broken += more.broken
            sum.seconds += more.seconds
            sum.faults.merge(more.faults, uniquingKeysWith: +)
        }
    }

    func run() throws(SoakError) -> Result {
        var plans =
            options.isStress
            ? CachePlan.stress(clients: options.clients) : CachePlan.campaign(clients: options.clients)
        if !options.caches.isEmpty { plans.removeAll { !options.caches.contains($0.name) } }
        guard
            let server = try? ServerUnderTest(
                executable: options.server, directory: directory, storeDirectory: storeDirectory, plans: plans
            )
        else { throw SoakError("no free ports were found") }
        server.workers = workers
        server.routesKeys = routesKeys
        server.clockLibrary = options.faults.contains(.clock) ? clockLibrary() : nil
        server.hasTLS = server.makeCertificate()
        let context = server.hasTLS ? tlsContext(directory) : nil
        if context == nil { say("no TLS: openssl made no certificate. The TLS clients use plain text") }
        let shared = Shared(seed: options.seed &+ UInt64(workers), plans: plans, clients: options.clients)
        let faults = Faults(kinds: options.faults, server: server, shared: shared)
        let threads = startClients(shared, server, context)
        say("server: \(server.commandLine)")
        faults.start()
        let began = bench_monotonic_nanoseconds()
        if faults.failure == nil { conduct(faults) }
        let took = Double(bench_monotonic_nanoseconds() - began) / 1e9
        finish(faults, threads)
        return result(faults, took)
    }

    private func tlsContext(_ directory: String) -> OpaquePointer? {
        var reason = [CChar](repeating: 0, count: 512)
        return bench_tls_context_new(directory + "/server.pem", nil, nil, 0, &reason, reason.count)
    }

    private func startClients(_ shared: Shared, _ server: ServerUnderTest, _ context: OpaquePointer?)
        -> [SystemThread]
    {
        (0..<options.clients).map { number in
            var dialect = Dialect.allCases[number % Dialect.allCases.count]
            if dialect == .tls && context == nil || dialect == .routed && !routesKeys { dialect = .text }
            let client = Client(number: number, dialect: dialect, shared: shared)
            for (place, plan) in server.plans.enumerated() {
                let prefix = dialect == .routed && !plan.isMain ? Array((plan.name + "/").utf8) : []
                client.channels.append(
                    Channel(
                        cache: place, place: server.place(plan, place, dialect),
                        encoder: Encoder(dialect: dialect, prefix: prefix, seed: shared.seed),
                        tls: dialect == .tls ? context : nil, keyCount: plan.keyCount))
            }
            // SAFETY: only the thread that the client is handed to uses it from here on.
            nonisolated(unsafe) let handed = client
            return SystemThread { handed.run() }
        }
    }

    /// Runs faults and checks until the time, the operations or a failure end the run.
    private func conduct(_ faults: Faults) {
        let shared = faults.shared
        var watchdog = Watchdog(shared, patienceSeconds: options.patienceSeconds)
        watchdog.restart()
        let end = shared.now &+ Moment(seconds) * 1000
        var nextFault = shared.now &+ 1500
        var nextWord = shared.now &+ 10_000
        while shared.now < end, faults.failure == nil, Cleanup.isInterrupted == 0 {
            usleep(10_000)
            let done = shared.ledger.sum(shared.ledger.operations)
            if operations > 0, done >= operations { break }
            if !faults.server.isRunning {
                faults.failure = "the server ended by itself (\(faults.server.ending))"
            } else if let stuck = watchdog.look() {
                faults.failure = "stuck: \(stuck); the server is pid \(faults.server.pid)"
            } else if shared.now >= nextFault, !faults.kinds.isEmpty {
                let generation = shared.generation.load(ordering: .relaxed)
                faults.doOne()
                if shared.generation.load(ordering: .relaxed) != generation { watchdog.restart() }
                nextFault = shared.now &+ faults.pause()
            }
            if shared.now >= nextWord {
                nextWord = shared.now &+ 10_000
                say(
                    "\(shared.now / 1000) s: \(done) operations, wrong \(shared.ledger.sum(shared.ledger.wrong)), lost "
                        + "\(shared.ledger.sum(shared.ledger.lost)), faults \(faults.counts.values.reduce(0, +))"
                )
            }
        }
    }

    /// Waits for the outstanding answers, so that a stuck server is told from one that had too little time.
    private func awaitAnswers(_ faults: Faults) {
        let shared = faults.shared
        shared.isEnding.store(true, ordering: .releasing)
        let end = shared.now &+ Moment(options.patienceSeconds) * 1000
        while faults.server.isRunning {
            if shared.lastAnswer.allSatisfy({ $0.hasEnded.load(ordering: .acquiring) }) { return }
            if shared.now > end {
                let waiting = shared.lastAnswer.filter { !$0.hasEnded.load(ordering: .acquiring) }.count
                faults.failure =
                    "stuck: \(waiting) clients got no answer for \(options.patienceSeconds) s after the last request; "
                    + "the server is pid \(faults.server.pid)"
                return
            }
            usleep(1000)
        }
        faults.failure = "the server ended by itself (\(faults.server.ending))"
    }

    private func finish(_ faults: Faults, _ threads: [SystemThread]) {
        let shared = faults.shared
        if faults.failure == nil { awaitAnswers(faults) }
        shared.isDown.store(true, ordering: .releasing)
        shared.isOver.store(true, ordering: .releasing)
        if faults.failure == nil, !faults.server.end(SIGTERM) {
            faults.failure = "the server did not end within 15 s of SIGTERM"
        }
        _ = faults.server.end(SIGKILL)
        for thread in threads { thread.join() }
        if let failure = faults.failure {
            shared.ledger.broken.add(1, ordering: .relaxed)
            say("FAILED \(failure)")
        }
        if !shared.ledger.isClean { say("the end of the server's log:\n\(faults.server.log)") }
    }

    private func result(_ faults: Faults, _ took: Double) -> Result {
        let ledger = faults.shared.ledger
        return Result(
            operations: ledger.sum(ledger.operations), hits: ledger.sum(ledger.hits),
            misses: ledger.sum(ledger.misses),
            changes: ledger.sum(ledger.changes), rechecked: ledger.sum(ledger.rechecked),
            refused: ledger.sum(ledger.refused), flushes: ledger.sum(ledger.flushes),
            wrong: ledger.sum(ledger.wrong),
            lost: ledger.sum(ledger.lost), broken: ledger.sum(ledger.broken), seconds: took,
            faults: faults.counts)
    }
}
