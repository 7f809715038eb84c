extension DatabaseLog {
    /// The contents of a row end with the item that reaches this size.
    private static var rowBytes: Int { 256 << 10 }

    /// Writes a snapshot in one transaction, then removes the records up to its place.
    package func rewrite(
        before point: UpdatePoint, _ next: () throws(ReplicationError) -> SnapshotItem?
    ) throws(ReplicationError) {
        let connection: Connection
        do throws(DatabaseError) {
            connection = try transactions.take().connection
        } catch {
            throw replicationError(error)
        }
        // If this throws, the connection is closed, and the transaction undone.
        try write(connection, at: point, next)
        transactions.give(connection)
        try trim()
    }

    private func write(
        _ connection: Connection, at point: UpdatePoint, _ next: () throws(ReplicationError) -> SnapshotItem?
    ) throws(ReplicationError) {
        // Two that rewrite at one time have rows of different parts.
        let part = UInt64.random(in: 1...UInt64(Int64.max))
        try run(connection, .begin)
        var rows: UInt64 = 0
        var contents: [UInt8] = []
        var isLast = false
        while !isLast {
            if let item = try next() { try SnapshotFile.append(item, to: &contents) } else { isLast = true }
            guard contents.count >= Self.rowBytes || isLast && !contents.isEmpty else { continue }
            rows += 1
            try run(connection, .addSnapshotRow, [.number(part), .number(rows), .bytes(contents)])
            contents = []
        }
        let place: LogPlace
        do throws(DatabaseError) {
            // Writers wait from here to the end of the transaction.
            place = try LogPlace(connection, .lockedPlace)
        } catch {
            throw replicationError(error)
        }
        guard point.id <= place.latest.id else { throw .beyondLatest(id: point.id, latest: place.latest.id) }
        guard point.id > place.snapshot.id else { return try run(connection, .rollback) }
        try run(
            connection, .installSnapshot,
            [.number(point.id), .token(point.token), .number(part), .number(rows)])
        try run(connection, .removeSnapshot, [.number(place.snapshotPart)])
        try run(connection, .commit)
    }

    private func run(
        _ connection: Connection, _ statement: LogStatement, _ values: [DatabaseValue] = []
    ) throws(ReplicationError) {
        do throws(DatabaseError) {
            _ = try connection.run(statement, values)
        } catch {
            throw replicationError(error)
        }
    }
}
