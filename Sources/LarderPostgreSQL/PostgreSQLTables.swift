#if PostgreSQL
    import LarderReplication

    /// The names of a log's tables, and the statements for them.
    struct PostgreSQLTables: Sendable {
        let name: String

        init(_ name: String) { self.name = name }

        /// The statements that make the tables.
        var schema: [String] {
            [
                """
                CREATE TABLE IF NOT EXISTS \(name)_counter (
                    one SMALLINT NOT NULL PRIMARY KEY CHECK (one = 1),
                    version BIGINT NOT NULL,
                    id BIGINT NOT NULL,
                    token BYTEA NOT NULL,
                    snapshot_id BIGINT NOT NULL,
                    snapshot_token BYTEA NOT NULL,
                    snapshot_part BIGINT NOT NULL,
                    snapshot_rows BIGINT NOT NULL
                ) WITH (fillfactor = 50)
                """,
                """
                CREATE TABLE IF NOT EXISTS \(name)_records (
                    id BIGINT NOT NULL PRIMARY KEY,
                    token BYTEA NOT NULL,
                    bytes BIGINT NOT NULL,
                    contents BYTEA NOT NULL
                )
                """,
                """
                CREATE TABLE IF NOT EXISTS \(name)_snapshot (
                    part BIGINT NOT NULL,
                    number BIGINT NOT NULL,
                    contents BYTEA NOT NULL,
                    PRIMARY KEY (part, number)
                )
                """,
                """
                INSERT INTO \(name)_counter VALUES (1, 1, 0, decode(repeat('00', 16), 'hex'), 0,
                    decode(repeat('00', 16), 'hex'), 0, 0) ON CONFLICT DO NOTHING
                """,
            ]
        }

        /// Raises the counter, adds the records and announces them: number of records, last token, tokens, contents,
        /// token of a record. Gives the new id, and 1 if the counter had that token before. `FOR UPDATE` reads the row
        /// as the transaction before has left it.
        var append: String {
            """
            WITH before AS (
                SELECT token FROM \(name)_counter WHERE one = 1 FOR UPDATE
            ), counter AS (
                UPDATE \(name)_counter AS raised SET id = raised.id + $1::bigint, token = $2::bytea
                FROM before WHERE raised.one = 1
                RETURNING raised.id, (before.token = $5::bytea)::int::bigint AS follows
            ), added AS (
                INSERT INTO \(name)_records (id, token, bytes, contents)
                SELECT counter.id - $1::bigint + new.number, new.token, octet_length(new.contents), new.contents
                FROM counter, unnest($3::bytea[], $4::bytea[]) WITH ORDINALITY AS new(token, contents, number)
            )
            SELECT id, follows, pg_notify('\(name)', '') FROM counter
            """
        }

        func text(_ statement: LogStatement) -> String {
            switch statement {
            case .place:
                """
                SELECT version, id, token, snapshot_id, snapshot_token, snapshot_part, snapshot_rows
                FROM \(name)_counter WHERE one = 1
                """
            case .lockedPlace: text(.place) + " FOR UPDATE"
            case .sizes:
                "SELECT id, bytes FROM \(name)_records WHERE id > $1::bigint ORDER BY id LIMIT $2::bigint"
            case .records:
                """
                SELECT id, token, contents FROM \(name)_records WHERE id > $1::bigint AND id <= $2::bigint ORDER BY id
                """
            case .snapshotRows:
                """
                SELECT number, contents FROM \(name)_snapshot
                WHERE part = $1::bigint AND number > $2::bigint ORDER BY number LIMIT $3::bigint
                """
            case .addSnapshotRow: "INSERT INTO \(name)_snapshot VALUES ($1::bigint, $2::bigint, $3::bytea)"
            case .installSnapshot:
                """
                UPDATE \(name)_counter SET snapshot_id = $1::bigint, snapshot_token = $2::bytea,
                    snapshot_part = $3::bigint, snapshot_rows = $4::bigint WHERE one = 1
                """
            case .removeSnapshot: "DELETE FROM \(name)_snapshot WHERE part = $1::bigint"
            case .removeRecords:
                """
                DELETE FROM \(name)_records WHERE id IN (
                    SELECT id FROM \(name)_records WHERE id <= $1::bigint ORDER BY id LIMIT $2::bigint)
                """
            case .begin: "BEGIN"
            case .commit: "COMMIT"
            case .rollback: "ROLLBACK"
            }
        }
    }
#endif
