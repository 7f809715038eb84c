import Glibc
import Synchronization

/// Keeps a state file up to date: the thread of one process applies the log, and the threads of the others wait for it.
///
/// The process that holds the lock of `FILE.lock` applies. The lock ends with the process, and another one takes over:
/// within a tenth of a second, or at once if it waits for an update or cannot read the file.
final class Applier: Sendable {
    typealias Completion = @Sendable (Result<UInt64, ReplicationError>) -> Void

    let log: any UpdateLog
    let wakeup: Wakeup
    private let path: String
    private let configuration: ReplicatedCache.Configuration
    private let shared = Mutex(Shared())

    fileprivate struct Waiter {
        var id: UInt64
        var deadline: Int64
        var completion: Completion
    }

    /// State shared by the threads of the process.
    struct Shared {
        fileprivate var waiters: [Waiter] = []
        fileprivate var isStopping = false
        var applied: UInt64 = 0
        /// The record applied last, if this process applies.
        fileprivate var appliedPoint = UpdatePoint.start
        /// Records that this process has appended, and the record before them.
        fileprivate var handed: (point: UpdatePoint, records: [UpdateRecord])?
        var isReadable = false
        var isApplier = false
        var rebuilds = 0
        var recordsApplied = 0
        /// How often this process could not become the one that applies, though there was none.
        var takeOverFailures = 0
        var error: ReplicationError?
    }

    /// State of the applier's thread alone.
    private struct Own {
        var lock: OpenFile?
        var replica: Replica?
        var listener: Int32?
        var reader: LockedReader?
        var looks = 0
        /// After an error: when to try again to become the process that applies.
        var takeOverAt = Int64.min
    }

    private static let retryMilliseconds: Int32 = 100
    private static let idleMilliseconds = 500

    init(_ path: String, _ log: any UpdateLog, _ configuration: ReplicatedCache.Configuration)
        throws(ReplicationError)
    {
        self.path = path
        self.log = log
        self.configuration = configuration
        wakeup = try Wakeup(path)
    }

    // MARK: Called by other threads

    /// Calls `completion` when the state file has an update, or after `applyMillisecondsMax`.
    func whenApplied(_ id: UInt64, _ completion: @escaping Completion) {
        let deadline = monotonicMilliseconds(in: configuration.applyMillisecondsMax)
        let isStopping = shared.withLock { shared in
            if !shared.isStopping {
                shared.waiters.append(Waiter(id: id, deadline: deadline, completion: completion))
            }
            return shared.isStopping
        }
        if isStopping { completion(.failure(.closed)) } else { wakeup.wakeOwn() }
    }

    /// The record applied last; the start if another process applies.
    var appliedPoint: UpdatePoint { shared.withLock { $0.appliedPoint } }

    /// Takes records of the log that follow a point directly, so that they need not be read.
    func hand(_ records: [UpdateRecord], after point: UpdatePoint) {
        shared.withLock { $0.handed = (point, records) }
    }

    func stop() {
        shared.withLock { $0.isStopping = true }
        wakeup.wakeOwn()
    }

    var status: Shared { shared.withLock { $0 } }

    // MARK: The thread

    func run() {
        var own = Own()
        while !shared.withLock({ $0.isStopping }) {
            if own.replica == nil { takeOver(&own) }
            if own.replica != nil { apply(&own) } else { follow(&own) }
        }
        close(&own)
        let left = shared.withLock { shared in
            defer { shared.waiters = [] }
            return shared.waiters
        }
        for waiter in left { waiter.completion(.failure(.closed)) }
    }

    /// Makes this process the applier, if there is none.
    private func takeOver(_ own: inout Own) {
        guard configuration.mayApply, monotonicMilliseconds() >= own.takeOverAt else { return }
        do throws(ReplicationError) {
            if own.lock == nil { own.lock = try OpenFile(path + ".lock", O_RDWR | O_CREAT) }
            guard let lock = own.lock else { return }
            guard lock.tryLock() else { return }
            do throws(ReplicationError) {
                own.replica = try Replica(
                    path, arenaBytes: configuration.arenaBytes, updateBytesMax: configuration.updateBytesMax)
            } catch {
                lock.unlock()
                throw error
            }
            own.listener = wakeup.listen()
            note(nil)
        } catch {
            note(error)
            shared.withLock { $0.takeOverFailures += 1 }
            own.takeOverAt = monotonicMilliseconds(in: Int(Self.retryMilliseconds))
        }
    }

    private func note(_ error: ReplicationError?) { shared.withLock { $0.error = error } }

    private func apply(_ own: inout Own) {
        guard let replica = own.replica else { return }
        do throws(ReplicationError) {
            wakeup.drain(own.listener)
            let handed = shared.withLock { shared in
                defer { shared.handed = nil }
                return shared.handed
            }
            var isMore = true
            if let handed, try replica.apply(handed.records, after: handed.point) {
                isMore = false
                publish(replica.applied.id, isReadable: replica.isReadable, replica)
            }
            while isMore, !shared.withLock({ $0.isStopping }) {
                isMore = try replica.step(log) { () throws(ReplicationError) in try pause(replica) }
                publish(replica.applied.id, isReadable: replica.isReadable, replica)
            }
            if isMore { return }
            note(nil)
            let wakeups = [wakeup.descriptor] + (own.listener.map { [$0] } ?? [])
            _ = try log.wait(
                after: replica.applied.id, milliseconds: min(Self.idleMilliseconds, untilDeadline()), wakeups: wakeups)
            publish(replica.applied.id, isReadable: replica.isReadable, replica)
        } catch {
            note(error)
            publish(replica.applied.id, isReadable: replica.isReadable, replica)
            rest(Self.retryMilliseconds)
        }
    }

    /// Between two pieces of a long step: waiters learn that it takes too long, and a closed cache ends it.
    private func pause(_ replica: Replica) throws(ReplicationError) {
        if shared.withLock({ $0.isStopping }) { throw .closed }
        publish(replica.applied.id, isReadable: replica.isReadable, replica)
    }

    private func untilDeadline() -> Int {
        let first = shared.withLock { $0.waiters.map(\.deadline).min() } ?? Int64.max
        return Int(clamping: max(1, first &- monotonicMilliseconds()))
    }

    private func rest(_ milliseconds: Int32) {
        var polled = pollfd(fd: wakeup.descriptor, events: Int16(POLLIN), revents: 0)
        _ = poll(&polled, 1, milliseconds)
        wakeup.drain(nil)
    }

    /// Another process applies.
    private func follow(_ own: inout Own) {
        if own.reader == nil { own.reader = try? LockedReader(path) }
        let state = own.reader?.state()
        publish(state?.applied.id ?? 0, isReadable: state?.boot == .current && state?.isClosed == false, nil)
        guard shared.withLock({ !$0.waiters.isEmpty || !$0.isReadable }) else {
            own.looks = 0
            return rest(Self.retryMilliseconds)
        }
        // The applier usually applies an update in less than a millisecond.
        if own.looks == 0 || own.looks % 64 == 0 { wakeup.wakeApplier() }
        own.looks += 1
        if own.looks < 64 { usleep(50) } else { rest(2) }
    }

    /// Completes the waiters whose update was applied, and those whose deadline is over.
    private func publish(_ applied: UInt64, isReadable: Bool, _ replica: Replica?) {
        let now = monotonicMilliseconds()
        let (done, late) = shared.withLock { shared in
            shared.applied = applied
            shared.isReadable = isReadable
            shared.isApplier = replica != nil
            shared.appliedPoint = replica?.applied ?? .start
            if let replica { (shared.rebuilds, shared.recordsApplied) = (replica.rebuilds, replica.recordsApplied) }
            let done = shared.waiters.filter { $0.id <= applied }
            let late = shared.waiters.filter { $0.id > applied && $0.deadline <= now }
            if !done.isEmpty || !late.isEmpty {
                shared.waiters.removeAll { $0.id <= applied || $0.deadline <= now }
            }
            return (done, late)
        }
        for waiter in done { waiter.completion(.success(waiter.id)) }
        for waiter in late { waiter.completion(.failure(.notApplied(id: waiter.id))) }
    }

    private func close(_ own: inout Own) {
        do throws(ReplicationError) {
            try own.replica?.close()
        } catch {
            note(error)
        }
        own.replica = nil
        if let listener = own.listener { wakeup.endListening(listener) }
        own.listener = nil
        own.lock?.unlock()
    }
}
