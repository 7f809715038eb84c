#if MariaDB
    import CMariaDB
    import LarderReplication

    /// A prepared statement of a connection, which lives longer.
    final class MariaDBStatement {
        private let handle: UnsafeMutablePointer<MYSQL_STMT>
        /// For each column of the result, whether it is a number.
        private let numbers: [Bool]

        init(_ connection: UnsafeMutablePointer<MYSQL>, _ text: String) throws(DatabaseError) {
            guard let made = mysql_stmt_init(connection) else { throw .lost("no memory") }
            handle = made
            guard mysql_stmt_prepare(made, text, UInt(text.utf8.count)) == 0 else {
                let error = Self.error(made)
                mysql_stmt_close(made)
                throw error
            }
            numbers = Self.numberColumns(made)
        }

        deinit { mysql_stmt_close(handle) }

        private static func numberColumns(_ handle: UnsafeMutablePointer<MYSQL_STMT>) -> [Bool] {
            guard let metadata = mysql_stmt_result_metadata(handle) else { return [] }
            defer { mysql_free_result(metadata) }
            guard let fields = mysql_fetch_fields(metadata) else { return [] }
            // SAFETY: the result has as many fields.
            return (0..<Int(mysql_num_fields(metadata))).map { fields[$0].type == MYSQL_TYPE_LONGLONG }
        }

        private static func error(_ handle: UnsafeMutablePointer<MYSQL_STMT>) -> DatabaseError {
            // SAFETY: a string that ends with a zero, which is copied.
            let text = mysql_stmt_error(handle).map { String(cString: $0) } ?? "unknown"
            return MariaDBConnection.error(mysql_stmt_errno(handle), text)
        }

        /// The number that the last run gave by `LAST_INSERT_ID`.
        var insertID: UInt64 { UInt64(mysql_stmt_insert_id(handle)) }

        /// Runs the statement.
        /// - Returns: its rows, and how many rows it changed.
        func run(_ values: [DatabaseValue]) throws(DatabaseError) -> (rows: [[DatabaseValue]], changed: Int) {
            guard Int(mysql_stmt_param_count(handle)) == values.count else { throw .refused("wrong number of values") }
            guard execute(values) else { throw Self.error(handle) }
            guard !numbers.isEmpty else { return ([], Int(clamping: mysql_stmt_affected_rows(handle))) }
            return (try rows(), 0)
        }

        /// - Returns: false if that failed.
        private func execute(_ values: [DatabaseValue]) -> Bool {
            guard !values.isEmpty else { return mysql_stmt_execute(handle) == 0 }
            // All bytes, one value after the other, so that they stay where they are during the call.
            var bytes: [UInt8] = []
            bytes.reserveCapacity(values.reduce(16) { $0 + $1.bytes.count })
            var numbers = values.map(\.number)
            for value in values { bytes += value.bytes }
            bytes.append(0)
            return bytes.withUnsafeMutableBytes { bytes in
                numbers.withUnsafeMutableBufferPointer { numbers in
                    var offset = 0
                    var binds = values.indices.map { index -> MYSQL_BIND in
                        var bind = MYSQL_BIND()
                        switch values[index] {
                        case .number:
                            bind.buffer_type = MYSQL_TYPE_LONGLONG
                            // SAFETY: the array has as many numbers as there are values.
                            bind.buffer = numbers.baseAddress.map { UnsafeMutableRawPointer($0 + index) }
                            bind.is_unsigned = 1
                        case .bytes(let value):
                            bind.buffer_type = MYSQL_TYPE_BLOB
                            // SAFETY: the offset lies within the bytes, which hold the values one after the other.
                            bind.buffer = bytes.baseAddress.map { $0 + offset }
                            bind.buffer_length = UInt(value.count)
                            bind.length_value = UInt(value.count)
                            offset += value.count
                        }
                        return bind
                    }
                    // SAFETY: the library copies the structs, and reads what they point to before it returns from
                    // the second call.
                    return mysql_stmt_bind_param(handle, &binds) == 0 && mysql_stmt_execute(handle) == 0
                }
            }
        }

        // MARK: Results

        private func rows() throws(DatabaseError) -> [[DatabaseValue]] {
            defer { mysql_stmt_free_result(handle) }
            let values = UnsafeMutablePointer<UInt64>.allocate(capacity: numbers.count)
            let lengths = UnsafeMutablePointer<UInt>.allocate(capacity: numbers.count)
            defer {
                values.deallocate()
                lengths.deallocate()
            }
            values.initialize(repeating: 0, count: numbers.count)
            lengths.initialize(repeating: 0, count: numbers.count)
            var binds = numbers.indices.map { column -> MYSQL_BIND in
                var bind = MYSQL_BIND()
                bind.buffer_type = numbers[column] ? MYSQL_TYPE_LONGLONG : MYSQL_TYPE_BLOB
                // Of bytes the length comes first, and then they are fetched into an array of that size.
                bind.buffer = UnsafeMutableRawPointer(values + column)
                bind.buffer_length = numbers[column] ? 8 : 0
                bind.length = lengths + column
                bind.is_unsigned = 1
                return bind
            }
            // SAFETY: the library copies the structs. What they point to lives until the end of this function, where
            // the result ends, too.
            guard mysql_stmt_bind_result(handle, &binds) == 0, mysql_stmt_store_result(handle) == 0 else {
                throw Self.error(handle)
            }
            var rows: [[DatabaseValue]] = []
            while true {
                switch mysql_stmt_fetch(handle) {
                case 0, MYSQL_DATA_TRUNCATED:
                    var row: [DatabaseValue] = []
                    for column in numbers.indices {
                        if numbers[column] {
                            row.append(.number(values[column]))
                        } else {
                            row.append(.bytes(try fetch(column, Int(lengths[column]))))
                        }
                    }
                    rows.append(row)
                case MYSQL_NO_DATA: return rows
                default: throw Self.error(handle)
                }
            }
        }

        private func fetch(_ column: Int, _ length: Int) throws(DatabaseError) -> [UInt8] {
            guard length > 0 else { return [] }
            var fetched: Int32 = 0
            let bytes = [UInt8](unsafeUninitializedCapacity: length) { buffer, count in
                var bind = MYSQL_BIND()
                var real: UInt = 0
                bind.buffer_type = MYSQL_TYPE_BLOB
                bind.buffer = UnsafeMutableRawPointer(buffer.baseAddress)
                bind.buffer_length = UInt(length)
                withUnsafeMutablePointer(to: &real) { real in
                    bind.length = real
                    // SAFETY: the buffer has `length` bytes, all of which are set if this succeeds.
                    fetched = mysql_stmt_fetch_column(handle, &bind, UInt32(column), 0)
                }
                count = fetched == 0 ? length : 0
            }
            guard fetched == 0 else { throw Self.error(handle) }
            return bytes
        }
    }
#endif
