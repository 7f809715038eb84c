#if MariaDB
    import CMariaDB
    import Glibc
    import LarderReplication

    /// A connection through MariaDB Connector/C. Statements are prepared.
    final class MariaDBConnection: DatabaseConnection, @unchecked Sendable {
        // SAFETY: `@unchecked` because the pool lends a connection to one thread at a time.
        private let connection: UnsafeMutablePointer<MYSQL>
        private let tables: MariaDBTables
        private var prepared: [LogStatement: MariaDBStatement] = [:]
        private var raise: MariaDBStatement?
        /// By the number of rows.
        private var additions: [Int: MariaDBStatement] = [:]
        /// The server takes no larger packet.
        private var packetBytesMax = 1 << 20

        static var announcesAppends: Bool { false }

        /// Rows that one statement adds, and bytes after which the next one is begun.
        private static let rowsMax = 64
        private static let bytesMax = 1 << 20
        /// Bytes of a packet beside the contents of one row.
        private static let rowHeadBytes = 4096

        /// The library's own beginning, once in a process.
        private static let isLibraryReady = mysql_server_init(0, nil, nil) == 0

        init(_ address: DatabaseAddress, _ role: ConnectionRole) throws(DatabaseError) {
            tables = MariaDBTables(address.table)
            guard Self.isLibraryReady, let made = mysql_init(nil) else { throw .lost("no memory") }
            connection = made
            let database = address.database
            let host = address.hosts.first
            let password = try address.readPassword() ?? Self.environmentPassword
            Self.setTimes(made, address)
            Self.setTLS(made, address)
            let done = mysql_real_connect(
                made, host?.name, address.user, password, database.isEmpty ? nil : database,
                UInt32(host.flatMap { UInt16($0.port) } ?? 0), address.option("socket"), 0)
            guard done != nil else { throw .lost(message) }
            let commits = role == .transactions ? 0 : 1
            // A transaction holds the counter's row. If this machine's network is cut in the middle of one, the others
            // must not wait until the server misses it. MySQL has no such limit, and skips the comment.
            try execute(
                """
                SET SESSION sql_mode = 'STRICT_ALL_TABLES', autocommit = \(commits)
                /*M!100300 , idle_transaction_timeout = \(ConnectionRole.idleTransactionSeconds) */
                """)
            try execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
            let packet = try statement("SELECT @@max_allowed_packet").run([]).rows.first?.first?.number
            packetBytesMax = Int(clamping: packet ?? 1 << 20)
        }

        deinit {
            prepared = [:]
            raise = nil
            additions = [:]
            mysql_close(connection)
        }

        private static var environmentPassword: String? {
            // SAFETY: a string that ends with a zero, which is copied.
            getenv("MYSQL_PWD").map { String(cString: $0) }
        }

        // MARK: Options

        private static let options = [
            "socket", "sslmode", "sslrootcert", "sslcert", "sslkey", "connect_timeout",
        ]
        private static let modes = ["disable", "require", "verify-full"]

        /// - Throws: `.logRefused` if the URL has an option that does not exist.
        static func check(_ address: DatabaseAddress) throws(ReplicationError) {
            if let unknown = address.options.first(where: { !options.contains($0.name) })?.name {
                throw address.refused("there is no option \(unknown)=: there are \(options.joined(separator: ", "))")
            }
            if let mode = address.option("sslmode"), !modes.contains(mode) {
                throw address.refused("sslmode= is one of \(modes.joined(separator: ", "))")
            }
            guard address.hosts.count <= 1 else { throw address.refused("give one host") }
        }

        private static func setTimes(_ connection: UnsafeMutablePointer<MYSQL>, _ address: DatabaseAddress) {
            var connectSeconds = address.option("connect_timeout").flatMap { UInt32($0) } ?? 5
            var seconds = UInt32(address.answerSeconds)
            var none: UInt32 = 0
            // SAFETY: each option takes a number of this size, and copies it.
            mysql_options(connection, MYSQL_OPT_CONNECT_TIMEOUT, &connectSeconds)
            mysql_options(connection, MYSQL_OPT_READ_TIMEOUT, &seconds)
            mysql_options(connection, MYSQL_OPT_WRITE_TIMEOUT, &seconds)
            // A server must not ask for files of this machine.
            mysql_options(connection, MYSQL_OPT_LOCAL_INFILE, &none)
        }

        private static func setTLS(_ connection: UnsafeMutablePointer<MYSQL>, _ address: DatabaseAddress) {
            let authority = address.option("sslrootcert")
            // Somebody who names an authority wants it to be asked.
            let mode = address.option("sslmode") ?? (authority == nil ? "disable" : "verify-full")
            guard mode != "disable" else { return }
            var enforced: my_bool = 1
            var verified: my_bool = mode == "verify-full" ? 1 : 0
            // SAFETY: each option takes a value of this kind, and copies it.
            mysql_options(connection, MYSQL_OPT_SSL_ENFORCE, &enforced)
            mysql_options(connection, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verified)
            if let authority { mysql_options(connection, MYSQL_OPT_SSL_CA, authority) }
            if let file = address.option("sslcert") { mysql_options(connection, MYSQL_OPT_SSL_CERT, file) }
            if let file = address.option("sslkey") { mysql_options(connection, MYSQL_OPT_SSL_KEY, file) }
        }

        // MARK: Errors

        /// What the library or the server says of the last failure.
        private var message: String {
            // SAFETY: a string that ends with a zero, which is copied.
            mysql_error(connection).map { String(cString: $0) } ?? "unknown"
        }

        /// The kind of a failure. The library's own numbers begin at 2000.
        static func error(_ number: UInt32, _ text: String) -> DatabaseError {
            switch Int32(bitPattern: number) {
            case 2000...2999, ER_SERVER_SHUTDOWN, ER_CONNECTION_KILLED, ER_NET_PACKET_TOO_LARGE, 4031:
                .lost(text)
            case ER_LOCK_DEADLOCK, ER_LOCK_WAIT_TIMEOUT, ER_CHECKREAD: .conflict(text)
            case ER_NO_SUCH_TABLE: .refused("\(text): make the tables first")
            default: .refused("\(text) (\(number))")
            }
        }

        var isAlive: Bool {
            let descriptor = Int32(truncatingIfNeeded: mysql_get_socket(connection))
            var polled = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            // An idle server sends nothing but the end.
            return poll(&polled, 1, 0) == 0
        }

        // MARK: Statements

        func execute(_ text: String) throws(DatabaseError) {
            guard mysql_query(connection, text) == 0 else { throw Self.error(mysql_errno(connection), message) }
        }

        private func statement(_ text: String) throws(DatabaseError) -> MariaDBStatement {
            try MariaDBStatement(connection, text)
        }

        func run(
            _ statement: LogStatement, _ values: [DatabaseValue]
        ) throws(DatabaseError) -> (rows: [[DatabaseValue]], changed: Int) {
            if prepared[statement] == nil { prepared[statement] = try self.statement(tables.text(statement)) }
            guard let ready = prepared[statement] else { throw .refused("no statement") }
            return try ready.run(values)
        }

        // MARK: Appending

        func append(
            _ records: [UpdateRecord], after token: UpdateToken
        ) throws(DatabaseError) -> (id: UInt64, followsToken: Bool) {
            guard let last = records.last else { throw .refused("no records") }
            for record in records where record.contents.count > packetBytesMax - Self.rowHeadBytes {
                throw .tooLarge(bytes: record.contents.count, limit: packetBytesMax - Self.rowHeadBytes)
            }
            let raised: (id: UInt64, followsToken: Bool)
            do throws(DatabaseError) {
                raised = try raiseCounter(by: records.count, after: token, last.token)
                try add(records, from: raised.id &- UInt64(records.count) &+ 1)
            } catch {
                if case .lost = error { throw error }
                try execute("ROLLBACK")
                throw error
            }
            do throws(DatabaseError) {
                _ = try run(.commit, [])
            } catch {
                if case .conflict = error { throw error }
                // The server may have committed, and been killed before it said so.
                throw .outcomeUnknown(message)
            }
            return raised
        }

        private func raiseCounter(
            by count: Int, after token: UpdateToken, _ last: UpdateToken
        ) throws(DatabaseError) -> (id: UInt64, followsToken: Bool) {
            if raise == nil { raise = try statement(tables.raise) }
            guard let raise else { throw .refused("no statement") }
            guard try raise.run([.number(UInt64(count)), .token(token), .token(last)]).changed == 1 else {
                throw .refused("the counter's row is missing")
            }
            let result = raise.insertID
            return (result >> 1, result & 1 == 1)
        }

        private func add(_ records: [UpdateRecord], from first: UInt64) throws(DatabaseError) {
            var id = first
            var rest = records[...]
            while !rest.isEmpty {
                let count = Self.count(rest)
                var values: [DatabaseValue] = []
                for record in rest.prefix(count) {
                    values += [
                        .number(id), .token(record.token), .number(UInt64(record.contents.count)),
                        .bytes(record.contents),
                    ]
                    id &+= 1
                }
                rest = rest.dropFirst(count)
                // There are seven statements at most, for 1, 2, 4 and so on.
                if additions[count] == nil { additions[count] = try statement(tables.add(rows: count)) }
                _ = try additions[count]?.run(values)
            }
        }

        /// How many rows the next statement adds: a power of two.
        private static func count(_ records: ArraySlice<UpdateRecord>) -> Int {
            var fitting = 0
            var bytes = 0
            for record in records.prefix(rowsMax) {
                bytes += record.contents.count
                if fitting > 0, bytes > bytesMax { break }
                fitting += 1
            }
            var count = 1
            while count * 2 <= fitting { count *= 2 }
            return count
        }

        var number: Int32 { 0 }

        func listen(
            milliseconds: Int, wakeups: [Int32], silent: Int32
        ) throws(DatabaseError) -> ListeningOutcome { .timedOut }
    }
#endif
