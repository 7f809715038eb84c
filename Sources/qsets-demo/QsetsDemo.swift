import Glibc

#if GRDB
    import CLarderSystem
    import GRDB
    import LarderClient
    import LarderGRDB
    import Logging

    /// Caches the rows of a SQLite database in the three ways of the Django example, and prints what that prints.
    @main struct QsetsDemo {
        static func main() async {
            let arguments: DemoArguments
            do {
                let words = (0..<larder_argument_count()).map { String(cString: larder_argument($0)) }
                arguments = try DemoArguments(words.dropFirst())
            } catch {
                tell("\(error)\n\(DemoArguments.usage)")
                exit(2)
            }
            if arguments.isHelp { return print(DemoArguments.usage) }
            do {
                let database = try await openDatabase(arguments.databasePath)
                let cache = try await makeCache(arguments)
                try await DemoWalk(cache, DatabaseModelStore(database), arguments.expiration).run()
            } catch {
                tell("\(error)")
                exit(1)
            }
        }

        private static func openDatabase(_ path: String) async throws -> DatabaseQueue {
            let queue = try DatabaseQueue(path: path)
            try await queue.write { connection in
                for table in [User.databaseTableName, Team.databaseTableName] {
                    try connection.create(table: table, options: .ifNotExists) { table in
                        table.primaryKey("id", .integer)
                        table.column("name", .text).notNull()
                    }
                }
            }
            return queue
        }

        private static func makeCache(_ arguments: DemoArguments) async throws -> any Cache {
            guard let server = arguments.server else { return try MemoryCache() }
            var configuration = ConnectionConfiguration()
            // The demo says itself, once, what there is to say.
            configuration.logger.logLevel = .critical
            let connection = MemcacheConnection(to: server, configuration: configuration)
            do {
                try await connection.ping()
            } catch {
                tell("the cache at \(server) cannot be asked, so the rows come from the database: \(error)")
            }
            return RemoteCache(connection)
        }
    }
#else
    /// Without GRDB there is no database to cache.
    @main struct QsetsDemo {
        static func main() {
            tell(
                "this was built without GRDB: build it with `swift build --traits GRDB --product qsets-demo`."
            )
            exit(1)
        }
    }
#endif

/// A line on standard error. If that cannot be written there is nobody to tell.
func tell(_ text: String) {
    let bytes = Array("qsets-demo: \(text)\n".utf8)
    _ = write(STDERR_FILENO, bytes, bytes.count)
}
