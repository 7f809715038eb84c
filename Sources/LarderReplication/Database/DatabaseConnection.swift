/// Why a database did not do what a log asked of it.
package enum DatabaseError: Error {
    /// The connection cannot be made, or is of no use any more. Nothing was written.
    case lost(String)
    /// The database refused a statement. Nothing was written.
    case refused(String)
    /// Another transaction was in the way. Nothing was written, and the same may succeed now.
    case conflict(String)
    /// The connection was lost while a transaction was being committed.
    case outcomeUnknown(String)
    /// The database takes no record of this size. Nothing was written.
    case tooLarge(bytes: Int, limit: Int)
}

/// A value that goes to the database or comes from it.
package enum DatabaseValue: Sendable {
    case number(UInt64)
    case bytes([UInt8])

    /// 0 if it is no number.
    package var number: UInt64 { if case .number(let number) = self { number } else { 0 } }
    /// Empty if it is a number.
    package var bytes: [UInt8] { if case .bytes(let bytes) = self { bytes } else { [] } }

    /// A token's 16 bytes.
    package static func token(_ token: UpdateToken) -> DatabaseValue {
        var bytes: [UInt8] = []
        bytes.append(number: token.high)
        bytes.append(number: token.low)
        return .bytes(bytes)
    }

    /// The token; nil if it has not 16 bytes.
    var token: UpdateToken? {
        var reader = ByteReader(bytes)
        guard let high = reader.number(UInt64.self), let low = reader.number(UInt64.self), reader.isAtEnd else {
            return nil
        }
        return UpdateToken(high: high, low: low)
    }
}

/// The statements of a log, which a connection prepares when it first needs them. Each has its values in the order of
/// its comment, and gives the columns behind the arrow.
package enum LogStatement: Hashable, CaseIterable, Sendable {
    /// → version, id, token, snapshot_id, snapshot_token, snapshot_part, snapshot_rows
    case place
    /// The same, and the row is locked until the end of the transaction.
    case lockedPlace
    /// id before, rows → id, bytes
    case sizes
    /// id before, id of the last → id, token, contents
    case records
    /// part, number before, rows → number, contents
    case snapshotRows
    /// part, number, contents
    case addSnapshotRow
    /// snapshot_id, snapshot_token, snapshot_part, snapshot_rows
    case installSnapshot
    /// part
    case removeSnapshot
    /// id of the last, rows
    case removeRecords
    case begin
    case commit
    case rollback
}

/// What a connection is for.
package enum ConnectionRole: Sendable {
    /// Each statement is a transaction.
    case statements
    /// Statements are put between `begin` and `commit`. Appends.
    case transactions
    /// The database announces appends to it.
    case listening

    /// The database ends a transaction of a client that sends no statement for so long. Less than the usual
    /// `answer_timeout`, so that a change of another machine, which waits for its lock, is still answered.
    package static let idleTransactionSeconds = 10
}

/// The end of a wait for an announcement.
package enum ListeningOutcome: Sendable {
    case announced
    case wokenUp
    case timedOut
}

/// A connection to a database, through its client library. Used by one thread at a time.
package protocol DatabaseConnection: AnyObject, Sendable {
    /// Whether connections that listen exist.
    static var announcesAppends: Bool { get }

    /// Connects. Takes some seconds at most.
    init(_ address: DatabaseAddress, _ role: ConnectionRole) throws(DatabaseError)

    /// False if the database has ended an idle connection.
    var isAlive: Bool { get }

    /// Runs a statement.
    /// - Returns: its rows, and how many rows it changed.
    func run(
        _ statement: LogStatement, _ values: [DatabaseValue]
    ) throws(DatabaseError) -> (rows: [[DatabaseValue]], changed: Int)

    /// Runs a statement that stands alone.
    func execute(_ text: String) throws(DatabaseError)

    /// Gives records the next ids, in one transaction.
    /// - Parameter token: the token of a record.
    /// - Returns: the last one's id, and whether the record before the first one has this token.
    func append(
        _ records: [UpdateRecord], after token: UpdateToken
    ) throws(DatabaseError) -> (id: UInt64, followsToken: Bool)

    /// The number by which announcements name the connection that they come from.
    var number: Int32 { get }

    /// Waits for an announcement of another connection than the one with the number `silent`. One that came since the
    /// last call counts.
    func listen(milliseconds: Int, wakeups: [Int32], silent: Int32) throws(DatabaseError) -> ListeningOutcome
}
