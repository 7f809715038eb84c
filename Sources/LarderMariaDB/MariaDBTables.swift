#if MariaDB
    import LarderReplication

    /// The names of a log's tables, and the statements for them.
    struct MariaDBTables: Sendable {
        let name: String

        init(_ name: String) { self.name = name }

        /// The statements that make the tables.
        var schema: [String] {
            let zeros = "x'00000000000000000000000000000000'"
            return [
                """
                CREATE TABLE IF NOT EXISTS \(name)_counter (
                    one TINYINT UNSIGNED NOT NULL PRIMARY KEY,
                    version BIGINT UNSIGNED NOT NULL,
                    id BIGINT UNSIGNED NOT NULL,
                    token BINARY(16) NOT NULL,
                    snapshot_id BIGINT UNSIGNED NOT NULL,
                    snapshot_token BINARY(16) NOT NULL,
                    snapshot_part BIGINT UNSIGNED NOT NULL,
                    snapshot_rows BIGINT UNSIGNED NOT NULL
                ) ENGINE=InnoDB
                """,
                """
                CREATE TABLE IF NOT EXISTS \(name)_records (
                    id BIGINT UNSIGNED NOT NULL PRIMARY KEY,
                    token BINARY(16) NOT NULL,
                    bytes BIGINT UNSIGNED NOT NULL,
                    contents LONGBLOB NOT NULL
                ) ENGINE=InnoDB
                """,
                """
                CREATE TABLE IF NOT EXISTS \(name)_snapshot (
                    part BIGINT UNSIGNED NOT NULL,
                    number BIGINT UNSIGNED NOT NULL,
                    contents LONGBLOB NOT NULL,
                    PRIMARY KEY (part, number)
                ) ENGINE=InnoDB
                """,
                "INSERT IGNORE INTO \(name)_counter VALUES (1, 1, 0, \(zeros), 0, \(zeros), 0, 0)",
            ]
        }

        /// Raises the counter: number of records, token of a record, last token. The connection gets twice the new id,
        /// plus 1 if the counter had the first token before. Assignments are made from left to right.
        var raise: String {
            """
            UPDATE \(name)_counter SET id = LAST_INSERT_ID((id + ?) * 2 + (token = ?)) DIV 2, token = ? WHERE one = 1
            """
        }

        /// Adds rows: id, token, bytes and contents of each.
        func add(rows: Int) -> String {
            "INSERT INTO \(name)_records (id, token, bytes, contents) VALUES "
                + [String](repeating: "(?, ?, ?, ?)", count: rows).joined(separator: ", ")
        }

        func text(_ statement: LogStatement) -> String {
            switch statement {
            case .place:
                """
                SELECT version, id, token, snapshot_id, snapshot_token, snapshot_part, snapshot_rows
                FROM \(name)_counter WHERE one = 1
                """
            case .lockedPlace: text(.place) + " FOR UPDATE"
            case .sizes: "SELECT id, bytes FROM \(name)_records WHERE id > ? ORDER BY id LIMIT ?"
            case .records:
                "SELECT id, token, contents FROM \(name)_records WHERE id > ? AND id <= ? ORDER BY id"
            case .snapshotRows:
                "SELECT number, contents FROM \(name)_snapshot WHERE part = ? AND number > ? ORDER BY number LIMIT ?"
            case .addSnapshotRow: "INSERT INTO \(name)_snapshot VALUES (?, ?, ?)"
            case .installSnapshot:
                """
                UPDATE \(name)_counter SET snapshot_id = ?, snapshot_token = ?, snapshot_part = ?, snapshot_rows = ?
                WHERE one = 1
                """
            case .removeSnapshot: "DELETE FROM \(name)_snapshot WHERE part = ?"
            case .removeRecords: "DELETE FROM \(name)_records WHERE id <= ? ORDER BY id LIMIT ?"
            // Connections for transactions begin one by themselves.
            case .begin: "DO 0"
            case .commit: "COMMIT"
            case .rollback: "ROLLBACK"
            }
        }
    }
#endif
