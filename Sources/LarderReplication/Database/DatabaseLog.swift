import Glibc
import Synchronization

/// A log in three tables of a database. MariaDB and PostgreSQL differ in their connections only.
///
/// The counter's row has the last id. A transaction that appends raises it first, so it holds the row's lock until it
/// is committed, and ids are in the order of the commits.
package final class DatabaseLog<Connection: DatabaseConnection>: UpdateLog {
    let address: DatabaseAddress
    private let statements: ConnectionPool<Connection>
    let transactions: ConnectionPool<Connection>
    private let listeners: ConnectionPool<Connection>
    private let appends = GroupCommit()
    /// The number of the connection that appends. This process knows of its own appends without announcements.
    private let appender = Atomic<Int32>(0)

    private static var recordBytesMax: Int { 32 << 20 }
    /// A read ends with the record that reaches this size.
    private static var readBytesMax: Int { 8 << 20 }
    private static var readRecordsMax: Int { 4096 }
    private static var conflictsMax: Int { 20 }
    private static var trimRecords: UInt64 { 1000 }
    /// Without announcements, the counter is asked so often.
    private static var firstLookMilliseconds: Int64 { 2 }
    private static var lastLookMilliseconds: Int64 { 32 }
    /// With announcements, the counter is asked after this time, too.
    private static var listenMillisecondsMax: Int64 { 60_000 }

    package init(_ address: DatabaseAddress) {
        self.address = address
        let backOff = BackOff()
        statements = ConnectionPool(address, .statements, backOff)
        transactions = ConnectionPool(address, .transactions, backOff)
        listeners = ConnectionPool(address, .listening, backOff)
    }

    /// The log's error for one of the database.
    func replicationError(_ error: DatabaseError) -> ReplicationError {
        switch error {
        case .lost(let reason), .refused(let reason), .conflict(let reason): address.refused(reason)
        case .outcomeUnknown(let reason): .outcomeUnknown(reason: reason)
        case .tooLarge(let bytes, let limit): .updateTooLarge(bytes: bytes, limit: limit)
        }
    }

    private func query<Result>(
        _ body: (Connection) throws(DatabaseError) -> Result
    ) throws(ReplicationError) -> Result {
        do throws(DatabaseError) {
            return try statements.withConnection(body)
        } catch {
            throw replicationError(error)
        }
    }

    /// Runs the statements that make the tables, one after the other.
    package func createSchema(_ texts: [String]) throws(ReplicationError) {
        try query { connection throws(DatabaseError) in
            for text in texts { try connection.execute(text) }
        }
    }

    // MARK: Appending

    package func append(_ records: [UpdateRecord]) throws(ReplicationError) -> UInt64 {
        try append(records, after: .start).id
    }

    package func append(
        _ records: [UpdateRecord], after point: UpdatePoint
    ) throws(ReplicationError) -> AppendedUpdates {
        guard !records.isEmpty else { return AppendedUpdates(id: try latest().id, followsPoint: false) }
        for record in records where record.contents.count > Self.recordBytesMax {
            throw .updateTooLarge(bytes: record.contents.count, limit: Self.recordBytesMax)
        }
        return try appends.append(records, after: point) { records, point throws(ReplicationError) in
            try self.commit(records, after: point)
        }
    }

    private func commit(
        _ records: [UpdateRecord], after point: UpdatePoint
    ) throws(ReplicationError) -> AppendedUpdates {
        var conflicts = 0
        while true {
            do throws(DatabaseError) {
                let (id, followsToken) = try transactions.withConnection { connection throws(DatabaseError) in
                    self.appender.store(connection.number, ordering: .relaxed)
                    return try connection.append(records, after: point.token)
                }
                return AppendedUpdates(
                    id: id, followsPoint: followsToken && id &- UInt64(records.count) == point.id)
            } catch {
                guard case .conflict = error, conflicts < Self.conflictsMax else { throw replicationError(error) }
                conflicts += 1
                usleep(UInt32.random(in: 0...1000) * UInt32(conflicts))
            }
        }
    }

    // MARK: Reading

    package func latest() throws(ReplicationError) -> UpdatePoint {
        try query { connection throws(DatabaseError) in try LogPlace(connection, .place).latest }
    }

    package func read(after id: UInt64, limit: Int) throws(ReplicationError) -> [UpdateEntry] {
        guard id < UInt64(Int64.max), limit > 0 else { return [] }
        let rows = try query { connection throws(DatabaseError) -> [[DatabaseValue]] in
            // The sizes first: so many of the largest records would not fit into memory.
            let sizes = try connection.run(
                .sizes, [.number(id), .number(UInt64(min(limit, Self.readRecordsMax)))]
            ).rows
            var bytes: UInt64 = 0
            var last: UInt64?
            for row in sizes where bytes < UInt64(Self.readBytesMax) {
                last = row[0].number
                bytes &+= row[1].number
            }
            guard let last else { return [] }
            return try connection.run(.records, [.number(id), .number(last)]).rows
        }
        var entries: [UpdateEntry] = []
        entries.reserveCapacity(rows.count)
        for row in rows {
            guard let token = row[1].token else { throw address.refused("record \(row[0].number) has no token") }
            entries.append(
                UpdateEntry(id: row[0].number, record: UpdateRecord(token: token, contents: row[2].bytes)))
        }
        return entries
    }

    package func snapshot() throws(ReplicationError) -> UpdatePoint? {
        let place = try query { connection throws(DatabaseError) in try LogPlace(connection, .place) }
        return place.snapshot.id == 0 ? nil : place.snapshot
    }

    package func readSnapshot(
        at point: UpdatePoint, _ visit: (SnapshotItem) throws(ReplicationError) -> Void
    ) throws(ReplicationError) -> Bool {
        let place = try query { connection throws(DatabaseError) in try LogPlace(connection, .place) }
        guard place.snapshot == point else { return false }
        var number: UInt64 = 0
        while number < place.snapshotRows {
            let values: [DatabaseValue] = [.number(place.snapshotPart), .number(number), .number(8)]
            let rows = try query { connection throws(DatabaseError) in try connection.run(.snapshotRows, values).rows }
            for row in rows {
                guard row[0].number == number &+ 1, try SnapshotFile.visitItems(of: row[1].bytes, visit) else {
                    return try checkReplaced(place, row: number &+ 1)
                }
                number &+= 1
            }
            if rows.isEmpty { return try checkReplaced(place, row: number &+ 1) }
        }
        return true
    }

    /// - Throws: `.logRefused` if a snapshot is damaged, and not replaced by another one.
    private func checkReplaced(_ place: LogPlace, row: UInt64) throws(ReplicationError) -> Bool {
        let now = try query { connection throws(DatabaseError) in try LogPlace(connection, .place) }
        guard now.snapshotPart != place.snapshotPart else {
            throw address.refused("row \(row) of the snapshot is missing or damaged")
        }
        return false
    }

    package func trim() throws(ReplicationError) {
        let place = try query { connection throws(DatabaseError) in try LogPlace(connection, .place) }
        let values: [DatabaseValue] = [.number(place.snapshot.id), .number(Self.trimRecords)]
        // Each transaction removes few rows, so writers wait for a short time only.
        while try query({ connection throws(DatabaseError) in try connection.run(.removeRecords, values).changed }) > 0
        {}
    }

    // MARK: Waiting

    package func wait(after id: UInt64, milliseconds: Int, wakeups: [Int32]) throws(ReplicationError) -> Bool {
        let deadline = monotonicMilliseconds(in: milliseconds)
        guard Connection.announcesAppends else { return try look(after: id, until: deadline, wakeups) }
        do throws(DatabaseError) {
            return try listeners.withConnection { connection throws(DatabaseError) -> Bool in
                while true {
                    if try LogPlace(connection, .place).latest.id != id { return true }
                    let left = deadline - monotonicMilliseconds()
                    guard left > 0 else { return false }
                    let milliseconds = Int(min(left, Self.listenMillisecondsMax))
                    let silent = self.appender.load(ordering: .relaxed)
                    switch try connection.listen(milliseconds: milliseconds, wakeups: wakeups, silent: silent) {
                    case .announced, .timedOut: continue
                    case .wokenUp: return false
                    }
                }
            }
        } catch {
            throw replicationError(error)
        }
    }

    /// Asks the counter again and again, less and less often.
    private func look(after id: UInt64, until deadline: Int64, _ wakeups: [Int32]) throws(ReplicationError) -> Bool {
        var pause = Self.firstLookMilliseconds
        while true {
            if try latest().id != id { return true }
            let left = deadline - monotonicMilliseconds()
            guard left > 0 else { return false }
            var polled = wakeups.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            if poll(&polled, nfds_t(polled.count), Int32(min(left, pause))) > 0 { return false }
            pause = min(2 * pause, Self.lastLookMilliseconds)
        }
    }
}

/// The counter's row.
struct LogPlace {
    var latest: UpdatePoint
    var snapshot: UpdatePoint
    /// The snapshot's rows have this number.
    var snapshotPart: UInt64
    var snapshotRows: UInt64

    private static let version: UInt64 = 1

    init(_ connection: some DatabaseConnection, _ statement: LogStatement) throws(DatabaseError) {
        let rows = try connection.run(statement, []).rows
        guard let row = rows.first, row.count == 7 else { throw .refused("the counter's row is missing") }
        guard row[0].number == Self.version else { throw .refused("a newer version made the tables: use that version") }
        guard let token = row[2].token, let snapshotToken = row[4].token else {
            throw .refused("the counter's row is damaged")
        }
        latest = UpdatePoint(id: row[1].number, token: token)
        snapshot = UpdatePoint(id: row[3].number, token: snapshotToken)
        snapshotPart = row[5].number
        snapshotRows = row[6].number
    }
}
