#if PostgreSQL
    public import LarderReplication

    /// A log in a PostgreSQL database, for replicas on any number of machines: docs/replicated-caches.md.
    ///
    /// The URL is libpq's, with all of its options: `postgresql://USER@HOST/DATABASE?sslmode=verify-full`. Three more
    /// are the log's own: `table=NAME` begins the names of its tables (`larder_log` by default), `passwordfile=PATH`
    /// is a file whose first line is the password, and `answer_timeout=SECONDS` is how long a statement may take.
    ///
    /// It connects when it is first used, and again when a connection is lost.
    public final class PostgreSQLLog: UpdateLog {
        private let log: DatabaseLog<PostgreSQLConnection>
        private let schema: [String]

        /// The log of a URL. Does not connect yet.
        /// - Throws: `.logRefused` if the URL cannot be read.
        public init(url: String) throws(ReplicationError) {
            let address = try Self.address(url)
            log = DatabaseLog(address)
            schema = PostgreSQLTables(address.table).schema
        }

        private static func address(_ url: String) throws(ReplicationError) -> DatabaseAddress {
            try DatabaseAddress(url, schemes: ["postgresql", "postgres"])
        }

        /// The SQL statements that make the tables of a URL.
        /// - Throws: `.logRefused` if the URL cannot be read.
        public static func schema(of url: String) throws(ReplicationError) -> String {
            PostgreSQLTables(try address(url).table).schema.map { $0 + ";\n" }.joined()
        }

        /// Makes the tables, as far as they are not there.
        /// - Throws: `.logRefused` if the database does not do that.
        public func createSchema() throws(ReplicationError) { try log.createSchema(schema) }

        /// Appends records, together with those of other threads, in one transaction.
        public func append(_ records: [UpdateRecord]) throws(ReplicationError) -> UInt64 { try log.append(records) }

        /// Appends records likewise, and tells whether they follow a record.
        public func append(
            _ records: [UpdateRecord], after point: UpdatePoint
        ) throws(ReplicationError) -> AppendedUpdates {
            try log.append(records, after: point)
        }

        /// The last record's place.
        public func latest() throws(ReplicationError) -> UpdatePoint { try log.latest() }

        /// The records behind an id.
        public func read(after id: UInt64, limit: Int) throws(ReplicationError) -> [UpdateEntry] {
            try log.read(after: id, limit: limit)
        }

        /// The place of the newest snapshot; nil: there is none.
        public func snapshot() throws(ReplicationError) -> UpdatePoint? { try log.snapshot() }

        /// Hands the items of a snapshot to `visit`.
        public func readSnapshot(
            at point: UpdatePoint, _ visit: (SnapshotItem) throws(ReplicationError) -> Void
        ) throws(ReplicationError) -> Bool {
            try log.readSnapshot(at: point, visit)
        }

        /// Writes a snapshot in one transaction, then removes the records up to its place.
        public func rewrite(
            before point: UpdatePoint, _ next: () throws(ReplicationError) -> SnapshotItem?
        ) throws(ReplicationError) {
            try log.rewrite(before: point, next)
        }

        /// Removes the records that the newest snapshot replaces.
        public func trim() throws(ReplicationError) { try log.trim() }

        /// Waits for another record. The database announces it.
        public func wait(after id: UInt64, milliseconds: Int, wakeups: [Int32]) throws(ReplicationError) -> Bool {
            try log.wait(after: id, milliseconds: milliseconds, wakeups: wakeups)
        }
    }
#endif
