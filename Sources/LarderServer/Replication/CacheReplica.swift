import CLarderSystem
import LarderReplication
import LarderStore
import LarderWire

/// Keeps a cache equal to its copies on other servers, through a durable log: `log=`.
///
/// A thread of its own applies the log to the cache's store, from which the workers read. It also decides the changes
/// that clients ask for, and appends them to the log. A client's connection waits until its change is durable and
/// applied.
final class CacheReplica: @unchecked Sendable {
    // SAFETY: `@unchecked` because the monitor guards everything that changes.

    /// The state of the replica, for statistics and health.
    struct Status {
        /// Whether the cache can be read.
        var isReadable = false
        var appliedID: UInt64 = 0
        /// The log's last record, as last seen.
        var latestID: UInt64 = 0
        /// When the replica last had everything that the log had, in milliseconds since the machine's boot.
        var currentAt: Int64 = 0
        /// Why the log cannot be used; nil: it can.
        var error: String?
        var loads = 0
        var recordsApplied = 0
        /// Changes of clients that were written, and how often one was decided again because another server had
        /// changed its key meanwhile.
        var writes = 0
        var conflicts = 0

        /// Seconds since the replica last had everything; 0 if it has.
        var lagSeconds: Int64 { currentAt == 0 ? 0 : max(0, (larder_milliseconds(false) - currentAt) / 1000) }
    }

    let url: String
    let path: String
    private let cacheName: String
    private let signal: ReplicaSignal
    private let monitor = Monitor()
    private var waiting: [ReplicaWrite] = []
    private var isStopping = false
    private var current = Status()
    private var thread: SystemThread?
    /// Why the log refused the last change; nil: it took it. Used in the thread. Reads of a log may succeed while its
    /// disk is full.
    private var refusal: ReplicationError?

    private static let retryMilliseconds: Int32 = 200
    private static let idleMilliseconds = 500
    /// Changes that are decided together.
    static let writesPerAppend = 512

    /// - Parameter settings: of a cache with `log=` and `store=`.
    private init(_ settings: CacheSettings, url: String, path: String) throws(StartupError) {
        cacheName = settings.name
        self.url = url
        self.path = path
        do throws(ReplicationError) {
            signal = try ReplicaSignal(path: path)
        } catch {
            throw .replica(cache: settings.name, reason: "\(error)")
        }
    }

    /// nil: the cache is not replicated.
    static func of(_ settings: CacheSettings) throws(StartupError) -> CacheReplica? {
        guard let url = settings.logURL, let path = settings.storePath else { return nil }
        return try CacheReplica(settings, url: url, path: path)
    }

    // MARK: Called by other threads

    var status: Status { monitor.withLock { current } }

    /// Begins to apply the log. The items of the store's file are there.
    func start(_ store: Store) throws(StartupError) {
        monitor.lock()
        defer { monitor.unlock() }
        if !isStopping { thread = try SystemThread(name: "larder-replica") { [self] in run(store) } }
    }

    /// Waits until the cache can be read, or the replica is stopped.
    func waitUntilReadable() {
        monitor.lock()
        while !current.isReadable, !isStopping { monitor.wait() }
        monitor.unlock()
    }

    /// Ends the thread. Changes that wait are refused. Call it once.
    func stop() {
        monitor.withLock { isStopping = true }
        monitor.signalAll()
        signal.wake()
        let ended = monitor.withLock {
            defer { thread = nil }
            return thread
        }
        ended?.join()
    }

    /// Takes a change of a client.
    func submit(_ write: ReplicaWrite) {
        let isRefused = monitor.withLock {
            guard !isStopping else { return true }
            waiting.append(write)
            return false
        }
        if isRefused { write.finish(.reply(.logUnavailable)) } else { signal.wake() }
    }

    // MARK: The thread

    private var mustStop: Bool { monitor.withLock { isStopping } }

    private func takeWrites(atMost count: Int) -> [ReplicaWrite] {
        monitor.withLock {
            let taken = Array(waiting.prefix(max(0, count)))
            waiting.removeFirst(taken.count)
            return taken
        }
    }

    private func run(_ store: Store) {
        let watch = ThreadFileWatch([store])
        defer { extendLifetime(watch) }
        var replica: StoreReplica?
        while replica == nil, !mustStop {
            do throws(ReplicationError) {
                replica = try StoreReplica(store, path: path, signal)
            } catch {
                note(error)
                refuse(takeWrites(atMost: Int.max))
                pause()
            }
        }
        if let replica {
            serve(replica)
            replica.close()
        }
        refuse(takeWrites(atMost: Int.max))
    }

    private func serve(_ replica: StoreReplica) {
        var log: (any UpdateLog)?
        var again: [ReplicaWrite] = []
        defer { refuse(again) }
        publish(replica)
        while !mustStop {
            do throws(ReplicationError) {
                let opened: any UpdateLog
                if let log { opened = log } else { opened = try UpdateLogs.open(url) }
                log = opened
                try turn(replica, opened, &again)
            } catch {
                note(error)
                publish(replica)
                refuse(takeWrites(atMost: Int.max))
                replica.rest(milliseconds: Self.retryMilliseconds)
            }
        }
    }

    /// Applies new records, then writes the changes that wait, or waits for some.
    /// - Parameter again: changes that another server's change came before.
    private func turn(
        _ replica: StoreReplica, _ log: any UpdateLog, _ again: inout [ReplicaWrite]
    ) throws(ReplicationError) {
        var writes = again + takeWrites(atMost: Self.writesPerAppend - again.count)
        again = []
        do throws(ReplicationError) {
            // A change must see all changes that were answered before it came.
            try catchUp(replica, log)
            if writes.isEmpty {
                note(refusal)
                writes = takeWrites(atMost: Self.writesPerAppend)
                guard !writes.isEmpty else { return try replica.wait(log, milliseconds: Self.idleMilliseconds) }
                try catchUp(replica, log)
            }
            let batch = ReplicaBatch(writes, replica)
            // Else another program changed the items that decided. They are loaded anew, and the changes decided again.
            guard replica.isSound else {
                again = writes
                return dropLate(&again)
            }
            again = try carryOut(batch, replica, log)
            monitor.withLock {
                current.writes += batch.recordCount
                current.conflicts += again.count
            }
            note(refusal)
        } catch {
            // Those that have an answer already keep it.
            refuse(writes)
            throw error
        }
        publish(replica)
        dropLate(&again)
    }

    private func carryOut(
        _ batch: ReplicaBatch, _ replica: StoreReplica, _ log: any UpdateLog
    ) throws(ReplicationError) -> [ReplicaWrite] {
        do throws(ReplicationError) {
            let again = try batch.carryOut(replica, log)
            if batch.recordCount > 0 { refusal = nil }
            return again
        } catch {
            // A change that is too large says nothing about the log.
            if case .updateTooLarge = error { throw error }
            refusal = error
            throw error
        }
    }

    private func dropLate(_ writes: inout [ReplicaWrite]) {
        guard !writes.isEmpty else { return }
        let now = larder_milliseconds(false)
        for write in writes where write.isLate(now: now) { write.finish(.reply(.tooManyConflicts)) }
        writes.removeAll { $0.isLate(now: now) }
    }

    private func catchUp(_ replica: StoreReplica, _ log: any UpdateLog) throws(ReplicationError) {
        while try replica.step(log, mayGoOn: { !mustStop }) {
            let latest = try log.latest().id
            monitor.withLock { current.latestID = latest }
            publish(replica)
            if mustStop { throw .closed }
        }
        let now = larder_milliseconds(false)
        monitor.withLock {
            current.latestID = replica.applied.id
            current.currentAt = now
        }
        publish(replica)
    }

    // MARK: Telling others

    private func publish(_ replica: StoreReplica) {
        let becameReadable = monitor.withLock {
            let isNew = replica.isReadable && !current.isReadable
            // While a store in use is loaded again, its keys can be read.
            current.isReadable = current.isReadable || replica.isReadable
            current.appliedID = replica.applied.id
            current.latestID = max(current.latestID, current.appliedID)
            current.loads = replica.loads
            current.recordsApplied = replica.recordsApplied
            return isNew
        }
        if becameReadable { monitor.signalAll() }
    }

    private func refuse(_ writes: [ReplicaWrite]) {
        for write in writes { write.finish(.reply(.logUnavailable)) }
    }

    /// Logs when the log becomes unusable, and when it can be used again.
    private func note(_ error: ReplicationError?) {
        if case .closed = error { return }
        let text = error.map { "\($0)" }
        let (before, applied) = monitor.withLock {
            defer { current.error = text }
            return (current.error, current.appliedID)
        }
        guard before != text else { return }
        if let text {
            StandardError.write("larder: cache \(cacheName) is read-only: \(text)", .error)
        } else {
            StandardError.write("larder: cache \(cacheName) follows its log again, after record \(applied)")
        }
    }

    private func pause() {
        let deadline = larder_milliseconds(false) + Int64(Self.retryMilliseconds)
        monitor.lock()
        if !isStopping { _ = monitor.wait(untilMilliseconds: deadline) }
        monitor.unlock()
    }
}
