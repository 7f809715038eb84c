import LarderWire
import Synchronization

/// Who watches the server, and what has been told to them.
final class Watchers: Sendable {
    /// memcached's limit.
    private static let countMax = 20

    private let mailboxes = Mutex<[Mailbox]>([])
    /// Streams that anybody watches. Workers look at it once a turn.
    private let watched = Atomic<UInt16>(0)
    private let lastID = Atomic<UInt64>(0)
    private let writtenCount = Atomic(0)
    private let droppedCount = Atomic(0)
    private let sentCount = Atomic(0)
    private let skippedCount = Atomic(0)

    @inline(__always)
    var bits: UInt16 { watched.load(ordering: .relaxed) }
    /// A number for the next event: they tell in which order events of several workers came.
    func nextID() -> UInt64 { lastID.add(1, ordering: .relaxed).newValue }

    // MARK: Figures of `stats`

    /// `log_watchers`
    var count: Int { mailboxes.withLock { $0.count } }
    /// `log_worker_written`: events that anybody watched.
    var written: Int { writtenCount.load(ordering: .relaxed) }
    /// `log_worker_dropped`: events that the worker itself had no room for.
    var dropped: Int { droppedCount.load(ordering: .relaxed) }
    /// `log_watcher_sent`: lines for a watcher, and `log_watcher_skipped`: those it did not take in time.
    var sent: Int { sentCount.load(ordering: .relaxed) }
    var skipped: Int { skippedCount.load(ordering: .relaxed) }

    func resetCounters() {
        writtenCount.store(0, ordering: .relaxed)
        droppedCount.store(0, ordering: .relaxed)
        sentCount.store(0, ordering: .relaxed)
        skippedCount.store(0, ordering: .relaxed)
    }

    // MARK: Coming, going, telling

    /// False when there are too many already.
    func add(_ mailbox: Mailbox) -> Bool {
        mailboxes.withLock { mailboxes in
            guard mailboxes.count < Self.countMax else { return false }
            mailbox.firstID.store(lastID.load(ordering: .relaxed), ordering: .relaxed)
            mailboxes.append(mailbox)
            noteStreams(mailboxes)
            return true
        }
    }

    func remove(_ mailbox: Mailbox) {
        mailboxes.withLock { mailboxes in
            mailboxes.removeAll { $0 === mailbox }
            noteStreams(mailboxes)
        }
    }

    private func noteStreams(_ mailboxes: [Mailbox]) {
        let union = mailboxes.reduce(into: WatchedStreams()) { $0.formUnion($1.streams) }
        watched.store(union.rawValue, ordering: .relaxed)
    }

    /// Hands a worker's lines to whom they concern.
    func deliver(_ log: EventLog) {
        writtenCount.add(log.count, ordering: .relaxed)
        droppedCount.add(log.dropped, ordering: .relaxed)
        for mailbox in mailboxes.withLock({ $0 }) {
            let (sent, skipped) = mailbox.put(log)
            sentCount.add(sent, ordering: .relaxed)
            skippedCount.add(skipped, ordering: .relaxed)
        }
    }
}
