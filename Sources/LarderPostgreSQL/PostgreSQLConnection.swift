#if PostgreSQL
    import CPostgreSQL
    import Glibc
    import LarderReplication

    /// A connection through libpq. Statements are prepared, and values go both ways in binary form.
    final class PostgreSQLConnection: DatabaseConnection, @unchecked Sendable {
        // SAFETY: `@unchecked` because the pool lends a connection to one thread at a time.
        private let connection: OpaquePointer
        private let tables: PostgreSQLTables
        private var prepared: Set<String> = []
        /// A statement that takes longer is given up, and its connection closed.
        private let answerSeconds: Int

        static var announcesAppends: Bool { true }

        /// Options that an URL may set otherwise.
        private static let usual = [
            ("connect_timeout", "5"), ("keepalives_idle", "15"), ("keepalives_interval", "5"),
            ("keepalives_count", "3"), ("tcp_user_timeout", "30000"), ("application_name", "larder"),
        ]

        init(_ address: DatabaseAddress, _ role: ConnectionRole) throws(DatabaseError) {
            tables = PostgreSQLTables(address.table)
            answerSeconds = address.answerSeconds
            let options = try Self.options(address)
            guard let made = Self.connect(options) else { throw .lost("no memory") }
            connection = made
            // SAFETY: the function keeps nothing of what it is given.
            PQsetNoticeProcessor(connection, { _, _ in }, nil)
            guard PQstatus(connection) == CONNECTION_OK else { throw .lost(message) }
            // A commit must be on the disk when it is answered. "remote_apply", for instance, stays.
            try execute(
                """
                SELECT set_config('synchronous_commit', 'on', false)
                WHERE current_setting('synchronous_commit') = 'off'
                """)
            // A transaction holds the counter's row. If this machine's network is cut in the middle of one, the others
            // must not wait until the server misses it.
            try execute(
                "SET idle_in_transaction_session_timeout = '\(ConnectionRole.idleTransactionSeconds)s'")
            try execute("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED")
            if role == .listening { try execute("LISTEN \"\(tables.name)\"") }
        }

        deinit { PQfinish(connection) }

        private static func options(_ address: DatabaseAddress) throws(DatabaseError) -> [(String, String)] {
            var options = usual.filter { usual in !address.options.contains { $0.name == usual.0 } }
            options += address.options.map { ($0.name, $0.value) }
            if !address.hosts.isEmpty {
                options.append(("host", address.hosts.map(\.name).joined(separator: ",")))
                options.append(("port", address.hosts.map(\.port).joined(separator: ",")))
            }
            if let user = address.user { options.append(("user", user)) }
            if let password = try address.readPassword() { options.append(("password", password)) }
            if !address.database.isEmpty { options.append(("dbname", address.database)) }
            return options
        }

        private static func connect(_ options: [(String, String)]) -> OpaquePointer? {
            let names = options.map { UnsafePointer(strdup($0.0)) } + [nil]
            let values = options.map { UnsafePointer(strdup($0.1)) } + [nil]
            defer {
                for pointer in names + values { free(UnsafeMutableRawPointer(mutating: pointer)) }
            }
            // SAFETY: both arrays end with nil, and libpq copies the strings.
            return PQconnectdbParams(names, values, 0)
        }

        /// What libpq says of the last failure.
        private var message: String {
            // SAFETY: libpq returns a string that ends with a zero, which is copied.
            PQerrorMessage(connection).map { Self.oneLine(String(cString: $0)) } ?? "unknown"
        }

        private static func oneLine(_ text: String) -> String {
            text.split(whereSeparator: \.isNewline).map { $0.trimmingBlanks() }.joined(separator: "; ")
        }

        var isAlive: Bool {
            var polled = pollfd(fd: PQsocket(connection), events: Int16(POLLIN), revents: 0)
            // An idle server sends announcements, or the end.
            while poll(&polled, 1, 0) > 0 {
                guard PQconsumeInput(connection) == 1, PQstatus(connection) == CONNECTION_OK else { return false }
            }
            return PQstatus(connection) == CONNECTION_OK
        }

        // MARK: Statements

        func run(
            _ statement: LogStatement, _ values: [DatabaseValue]
        ) throws(DatabaseError) -> (rows: [[DatabaseValue]], changed: Int) {
            try prepare("\(statement)", tables.text(statement))
            return try run("\(statement)", values)
        }

        func execute(_ text: String) throws(DatabaseError) {
            _ = try answer { PQsendQuery(connection, text) }
        }

        private func prepare(_ name: String, _ text: String) throws(DatabaseError) {
            guard !prepared.contains(name) else { return }
            _ = try answer { PQsendPrepare(connection, name, text, 0, nil) }
            prepared.insert(name)
        }

        private func run(
            _ name: String, _ values: [DatabaseValue]
        ) throws(DatabaseError) -> (rows: [[DatabaseValue]], changed: Int) {
            let encoded = values.map { value -> [UInt8] in
                switch value {
                case .bytes(let bytes): bytes
                // SAFETY: the bytes of a number of this call.
                case .number(let number): Swift.withUnsafeBytes(of: number.bigEndian) { Array($0) }
                }
            }
            let all = Array(encoded.joined()) + [0]
            let lengths = encoded.map { Int32($0.count) }
            let formats = [Int32](repeating: 1, count: values.count)
            let result = try answer {
                all.withUnsafeBytes { bytes in
                    var offset = 0
                    let pointers = encoded.map { value -> UnsafePointer<CChar>? in
                        defer { offset += value.count }
                        // SAFETY: the offset lies within `all`, which holds the values one after the other.
                        return bytes.baseAddress.map { ($0 + offset).assumingMemoryBound(to: CChar.self) }
                    }
                    return PQsendQueryPrepared(
                        connection, name, Int32(values.count), pointers, lengths, formats, 1)
                }
            }
            // SAFETY: libpq returns a string that ends with a zero, which is copied.
            let changed = PQcmdTuples(result.pointer).flatMap { Int(String(cString: $0)) } ?? 0
            return (result.rows, changed)
        }

        /// Sends a statement, and waits for its result.
        private func answer(_ send: () -> Int32) throws(DatabaseError) -> QueryResult {
            guard send() == 1 else { throw .lost(message) }
            let deadline = Self.milliseconds() + 1000 * Int64(answerSeconds)
            var first: QueryResult?
            while true {
                while PQisBusy(connection) == 1 {
                    let left = deadline - Self.milliseconds()
                    var polled = pollfd(fd: PQsocket(connection), events: Int16(POLLIN), revents: 0)
                    guard left > 0 else { throw .lost("no answer within \(answerSeconds) s") }
                    _ = poll(&polled, 1, Int32(clamping: left))
                    guard PQconsumeInput(connection) == 1 else { throw .lost(message) }
                }
                guard let pointer = PQgetResult(connection) else { break }
                let next = QueryResult(pointer)
                if first == nil { first = next }
            }
            guard let first, PQstatus(connection) == CONNECTION_OK else { throw .lost(message) }
            guard first.isGood else { throw first.error }
            return first
        }

        private static func milliseconds() -> Int64 {
            var time = timespec()
            // SAFETY: fills in a struct that is lent to it.
            clock_gettime(CLOCK_MONOTONIC, &time)
            return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
        }

        // MARK: Appending and waiting

        func append(
            _ records: [UpdateRecord], after token: UpdateToken
        ) throws(DatabaseError) -> (id: UInt64, followsToken: Bool) {
            guard let last = records.last else { throw .refused("no records") }
            // Before anything is sent, so that an error here has written nothing.
            try prepare("append", tables.append)
            let values: [DatabaseValue] = [
                .number(UInt64(records.count)), .token(last.token),
                .bytes(Self.array(records.map { DatabaseValue.token($0.token).bytes })),
                .bytes(Self.array(records.map(\.contents))), .token(token),
            ]
            do throws(DatabaseError) {
                guard let row = try run("append", values).rows.first else {
                    throw .refused("the counter's row is missing")
                }
                return (row[0].number, row[1].number == 1)
            } catch .lost(let reason) {
                // The statement is a transaction of its own, which may have been committed.
                throw .outcomeUnknown(reason)
            }
        }

        /// An array of byte strings in PostgreSQL's binary form.
        private static func array(_ elements: [[UInt8]]) -> [UInt8] {
            var bytes: [UInt8] = []
            let byteaType: Int32 = 17
            func append(_ number: Int32) {
                // SAFETY: the bytes of a number of this call.
                Swift.withUnsafeBytes(of: number.bigEndian) { bytes.append(contentsOf: $0) }
            }
            // One dimension without nulls, which begins with element 1.
            for number in [1, 0, byteaType, Int32(elements.count), 1] { append(number) }
            for element in elements {
                append(Int32(element.count))
                bytes += element
            }
            return bytes
        }

        var number: Int32 { PQbackendPID(connection) }

        func listen(
            milliseconds: Int, wakeups: [Int32], silent: Int32
        ) throws(DatabaseError) -> ListeningOutcome {
            let deadline = Self.milliseconds() + Int64(milliseconds)
            while true {
                if takeAnnouncements(silent: silent) { return .announced }
                let left = deadline - Self.milliseconds()
                guard left > 0 else { return .timedOut }
                var polled = ([PQsocket(connection)] + wakeups).map {
                    pollfd(fd: $0, events: Int16(POLLIN), revents: 0)
                }
                guard poll(&polled, nfds_t(polled.count), Int32(clamping: left)) > 0 else { continue }
                if polled[0].revents != 0 {
                    guard PQconsumeInput(connection) == 1 else { throw .lost(message) }
                }
                if polled.dropFirst().contains(where: { $0.revents != 0 }) { return .wokenUp }
            }
        }

        private func takeAnnouncements(silent: Int32) -> Bool {
            var isAnnounced = false
            while let announcement = PQnotifies(connection) {
                if announcement.pointee.be_pid != silent { isAnnounced = true }
                PQfreemem(announcement)
            }
            return isAnnounced
        }
    }

    extension Substring {
        /// The text without blanks at its ends.
        fileprivate func trimmingBlanks() -> String {
            var text = self[...]
            while text.first?.isWhitespace == true { text.removeFirst() }
            while text.last?.isWhitespace == true { text.removeLast() }
            return String(text)
        }
    }

    /// A result of libpq.
    private final class QueryResult {
        let pointer: OpaquePointer

        init(_ pointer: OpaquePointer) { self.pointer = pointer }

        deinit { PQclear(pointer) }

        var isGood: Bool {
            let status = PQresultStatus(pointer)
            return status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK
        }

        var error: DatabaseError {
            // SAFETY: libpq returns strings that end with a zero, or nil; they are copied.
            let state = PQresultErrorField(pointer, Int32(UInt8(ascii: "C"))).map { String(cString: $0) } ?? ""
            let primary = PQresultErrorField(pointer, Int32(UInt8(ascii: "M"))).map { String(cString: $0) }
            let text = "\(primary ?? "unknown error") (\(state))"
            switch state {
            // Serialization, deadlock, lock not available.
            case "40001", "40P01", "55P03": return .conflict(text)
            // Undefined table.
            case "42P01": return .refused("\(text): make the tables first")
            default: return .refused(text)
            }
        }

        /// Numbers have 8 bytes and the type of one.
        var rows: [[DatabaseValue]] {
            let columns = PQnfields(pointer)
            let bigintType: UInt32 = 20
            return (0..<PQntuples(pointer)).map { row -> [DatabaseValue] in
                (0..<columns).map { column -> DatabaseValue in
                    let length = Int(PQgetlength(pointer, row, column))
                    guard let start = PQgetvalue(pointer, row, column) else { return .bytes([]) }
                    // SAFETY: the result has `length` bytes there, which are copied.
                    let bytes = UnsafeRawBufferPointer(start: start, count: length)
                    guard PQftype(pointer, column) == bigintType, length == 8 else { return .bytes(Array(bytes)) }
                    return .number(UInt64(bigEndian: bytes.loadUnaligned(as: UInt64.self)))
                }
            }
        }
    }
#endif
