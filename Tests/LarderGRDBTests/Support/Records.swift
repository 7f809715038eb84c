#if GRDB
    import GRDB
    import LarderClient

    struct User: CacheableModel, FetchableRecord, PersistableRecord, Equatable {
        var id: Int
        var name: String
    }

    struct Team: CacheableModel, FetchableRecord, PersistableRecord, Equatable {
        var id: Int
        var name: String
    }

    /// A record whose ids are words, and which changes its mind after its row was written.
    struct Country: CacheableModel, FetchableRecord, MutablePersistableRecord, Equatable {
        struct Unwanted: Error {}
        var id: String
        var name: String

        func aroundSave(_ db: Database, save: () throws -> PersistenceSuccess) throws {
            _ = try save()
            if name == "unwanted" { throw Unwanted() }
        }
    }

    enum TestDatabase {
        static func queue() throws -> DatabaseQueue {
            let queue = try DatabaseQueue()
            try makeTables(in: queue)
            return queue
        }

        static func makeTables(in database: any DatabaseWriter) throws {
            try database.write { connection in
                for (name, type) in [
                    ("user", Database.ColumnType.integer), ("team", .integer), ("country", .text),
                ] {
                    try connection.create(table: name) { table in
                        table.primaryKey("id", type)
                        table.column("name", .text).notNull().unique()
                    }
                }
            }
        }
    }
#endif
