/// A durable log of updates, shared by all replicas. It gives the updates their order.
///
/// Calls block until the log has answered, so that a log can be a database with a blocking client library.
/// `ReplicatedCache` calls a log from threads of its own. Several threads may call at the same time.
///
/// A log promises:
/// - Ids begin with 1 and have no gaps. A record that can be read has all records with lower ids before it.
/// - An append that returned is durable.
/// - An append that throws `.outcomeUnknown` may leave the first of its records, or all.
/// - A record never changes. Only `rewrite` and `trim` remove records: the oldest ones, which a snapshot replaces.
public protocol UpdateLog: Sendable {
    /// Makes records durable, in this order and with consecutive ids.
    /// - Returns: the id of the last one.
    /// - Throws: `.outcomeUnknown` if the log may have some or all of the records. After any other error it has none.
    func append(_ records: [UpdateRecord]) throws(ReplicationError) -> UInt64

    /// Makes records durable as `append` does, and tells whether they follow a known record directly. A replica that has
    /// applied everything up to `point` then need not read them.
    func append(_ records: [UpdateRecord], after point: UpdatePoint) throws(ReplicationError) -> AppendedUpdates

    /// The place of the last record. Without records it is the place of the snapshot, or else the start.
    func latest() throws(ReplicationError) -> UpdatePoint

    /// The records after an id, in order: at most `limit`, and fewer if they are large. If the first one does not have
    /// the next id, a snapshot has replaced the records before it.
    func read(after id: UInt64, limit: Int) throws(ReplicationError) -> [UpdateEntry]

    /// The place of the newest snapshot; nil: there is none.
    func snapshot() throws(ReplicationError) -> UpdatePoint?

    /// Hands the items of a snapshot to `visit`, in any order.
    /// - Returns: false if a newer snapshot has replaced this one. Some items may have been visited.
    func readSnapshot(
        at point: UpdatePoint, _ visit: (SnapshotItem) throws(ReplicationError) -> Void
    ) throws(ReplicationError) -> Bool

    /// Makes a snapshot durable, then removes the records up to its place. Does nothing if there is a newer snapshot.
    /// - Parameter next: one item after the other; nil at the end.
    func rewrite(
        before point: UpdatePoint, _ next: () throws(ReplicationError) -> SnapshotItem?
    ) throws(ReplicationError)

    /// Removes the records that the newest snapshot replaces, if an earlier `rewrite` was interrupted before that.
    func trim() throws(ReplicationError)

    /// Waits until the last record has another id than this one.
    /// - Parameters:
    ///   - milliseconds: how long to wait at most.
    ///   - wakeups: file descriptors. The wait also ends when one of them can be read.
    /// - Returns: whether the last record is known to have another id. A wait that a descriptor ended need not know.
    func wait(after id: UInt64, milliseconds: Int, wakeups: [Int32]) throws(ReplicationError) -> Bool
}

/// What an append has written.
public struct AppendedUpdates: Sendable {
    /// The id of the last record.
    public var id: UInt64
    /// Whether the first record follows the point that the caller named. False: it does not, or the log cannot tell.
    public var followsPoint: Bool

    /// The result of an append.
    public init(id: UInt64, followsPoint: Bool) {
        self.id = id
        self.followsPoint = followsPoint
    }
}

extension UpdateLog {
    /// Appends without looking for the point.
    public func append(
        _ records: [UpdateRecord], after point: UpdatePoint
    ) throws(ReplicationError) -> AppendedUpdates {
        AppendedUpdates(id: try append(records), followsPoint: false)
    }
}
