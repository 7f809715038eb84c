import Glibc
import Synchronization

/// Connections of one kind that are not in use, and when the next attempt to connect may be made.
final class ConnectionPool<Connection: DatabaseConnection>: Sendable {
    private let address: DatabaseAddress
    private let role: ConnectionRole
    private let backOff: BackOff
    private let idle = Mutex<[Connection]>([])

    private static var idleMax: Int { 4 }

    init(_ address: DatabaseAddress, _ role: ConnectionRole, _ backOff: BackOff) {
        self.address = address
        self.role = role
        self.backOff = backOff
    }

    /// Lends a connection. If one that was idle turns out to be lost, tries once more with a new one.
    func withConnection<Result>(
        _ body: (Connection) throws(DatabaseError) -> Result
    ) throws(DatabaseError) -> Result {
        while true {
            let (connection, isNew) = try take()
            do throws(DatabaseError) {
                let result = try body(connection)
                give(connection)
                return result
            } catch {
                switch error {
                case .lost:
                    dropIdle()
                    if isNew { throw error }
                case .outcomeUnknown:
                    dropIdle()
                    throw error
                default:
                    give(connection)
                    throw error
                }
            }
        }
    }

    /// A connection, which the caller gives back if it is still good.
    func take() throws(DatabaseError) -> (connection: Connection, isNew: Bool) {
        while let connection = idle.withLock({ $0.popLast() }) {
            if connection.isAlive { return (connection, false) }
        }
        try backOff.check()
        do throws(DatabaseError) {
            let connection = try Connection(address, role)
            backOff.noteSuccess()
            return (connection, true)
        } catch {
            backOff.note(error)
            throw error
        }
    }

    /// Takes a connection back.
    func give(_ connection: Connection) {
        idle.withLock { if $0.count < Self.idleMax { $0.append(connection) } }
    }

    /// The database was restarted, most likely: what else is open to it is lost, too.
    private func dropIdle() { idle.withLock { $0 = [] } }
}

/// Between attempts to connect lies a time that doubles with each that fails. Calls meanwhile fail at once, so that a
/// database that is back is not overrun.
final class BackOff: Sendable {
    private let state = Mutex(State())

    private struct State {
        var failures = 0
        var notBefore: Int64 = 0
        var reason = ""
    }

    private static let firstMilliseconds: Int64 = 50
    private static let lastMilliseconds: Int64 = 2_000

    /// - Throws: the last attempt's error, if the next one is not due.
    func check() throws(DatabaseError) {
        let reason = state.withLock { $0.notBefore > monotonicMilliseconds() ? $0.reason : nil }
        if let reason { throw .lost(reason) }
    }

    func noteSuccess() { state.withLock { $0 = State() } }

    func note(_ error: DatabaseError) {
        state.withLock { state in
            let doublings = Int64(min(state.failures, 10))
            let longest = min(Self.lastMilliseconds, Self.firstMilliseconds << doublings)
            // Machines that lost the database at one moment do not come back at one moment.
            state.notBefore = monotonicMilliseconds() + Int64.random(in: longest / 2...longest)
            state.failures += 1
            state.reason = "\(error.reason)"
        }
    }
}

extension DatabaseError {
    /// What the database or its client library said.
    var reason: String {
        switch self {
        case .lost(let reason), .refused(let reason), .conflict(let reason), .outcomeUnknown(let reason): reason
        case .tooLarge(let bytes, let limit): "a record has \(bytes) bytes, more than \(limit)"
        }
    }
}
