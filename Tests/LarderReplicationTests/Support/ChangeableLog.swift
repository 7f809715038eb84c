import LarderReplication
import Synchronization

/// A log that fails on demand.
final class ChangeableLog: UpdateLog {
    enum Fault: Sendable {
        case none
        /// All calls fail.
        case down
        /// An append succeeds, but throws `.outcomeUnknown`.
        case outcomeLost
    }
    private let log: any UpdateLog
    private let fault = Mutex(Fault.none)
    private let recordsRead = Mutex<[UInt64]>([])

    init(_ log: any UpdateLog) { self.log = log }

    func become(_ fault: Fault) { self.fault.withLock { $0 = fault } }

    /// The ids of all records that were read, in the order of the reads.
    var idsRead: [UInt64] { recordsRead.withLock { $0 } }

    private func check() throws(ReplicationError) {
        if fault.withLock({ if case .down = $0 { true } else { false } }) {
            throw .logRefused(path: "log", reason: "it is down")
        }
    }

    func append(_ records: [UpdateRecord]) throws(ReplicationError) -> UInt64 {
        try append(records, after: .start).id
    }

    func append(
        _ records: [UpdateRecord], after point: UpdatePoint
    ) throws(ReplicationError) -> AppendedUpdates {
        try check()
        let appended = try log.append(records, after: point)
        if fault.withLock({ if case .outcomeLost = $0 { true } else { false } }) {
            throw .outcomeUnknown(reason: "the connection was lost")
        }
        return appended
    }

    func latest() throws(ReplicationError) -> UpdatePoint {
        try check()
        return try log.latest()
    }

    func read(after id: UInt64, limit: Int) throws(ReplicationError) -> [UpdateEntry] {
        try check()
        let entries = try log.read(after: id, limit: limit)
        recordsRead.withLock { $0 += entries.map(\.id) }
        return entries
    }

    func snapshot() throws(ReplicationError) -> UpdatePoint? {
        try check()
        return try log.snapshot()
    }

    func readSnapshot(
        at point: UpdatePoint, _ visit: (SnapshotItem) throws(ReplicationError) -> Void
    ) throws(ReplicationError) -> Bool {
        try check()
        return try log.readSnapshot(at: point, visit)
    }

    func rewrite(
        before point: UpdatePoint, _ next: () throws(ReplicationError) -> SnapshotItem?
    ) throws(ReplicationError) {
        try check()
        try log.rewrite(before: point, next)
    }

    func trim() throws(ReplicationError) { try log.trim() }

    func wait(after id: UInt64, milliseconds: Int, wakeups: [Int32]) throws(ReplicationError) -> Bool {
        try check()
        return try log.wait(after: id, milliseconds: milliseconds, wakeups: wakeups)
    }
}
