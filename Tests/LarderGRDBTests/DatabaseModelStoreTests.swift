#if GRDB
    import GRDB
    import LarderClient
    import LarderGRDB
    import LarderTesting
    import Testing

    @Suite struct DatabaseModelStoreTests {
        /// A row's life.
        private func live<Model: CacheableModel & Equatable>(
            _ store: DatabaseModelStore, _ first: Model, _ second: Model
        ) async throws {
            #expect(try await store.load(Model.self, id: first.id) == nil)
            try await store.remove(Model.self, id: first.id)
            try await store.save(first)
            #expect(try await store.load(Model.self, id: first.id) == first)
            try await store.save(second)
            #expect(try await store.load(Model.self, id: first.id) == second)
            try await store.remove(Model.self, id: first.id)
            #expect(try await store.load(Model.self, id: first.id) == nil)
        }

        private func liveAll(in database: any DatabaseWriter) async throws {
            let store = DatabaseModelStore(database)
            try await live(store, Team(id: 1, name: "Dev"), Team(id: 1, name: "Ops"))
            try await live(store, Country(id: "FR", name: "Gaul"), Country(id: "FR", name: "France"))
        }

        @Test func inAQueue() async throws {
            try await liveAll(in: try TestDatabase.queue())
        }

        @Test func inAPool() async throws {
            let directory = try TestDirectory.make()
            defer { TestDirectory.remove(directory) }
            let pool = try DatabasePool(path: directory + "/models.sqlite")
            try TestDatabase.makeTables(in: pool)
            try await liveAll(in: pool)
            try pool.close()
        }

        /// In SQLite's own words, and each kind in its table.
        @Test func rowsAreInTheTables() async throws {
            let database = try TestDatabase.queue()
            let store = DatabaseModelStore(database)
            try await store.save(User(id: 1, name: "Alice"))
            try await store.save(Team(id: 1, name: "Dev"))
            let names = try await database.read { connection in
                try String.fetchAll(connection, sql: "SELECT name FROM user UNION ALL SELECT name FROM team")
            }
            #expect(names == ["Alice", "Dev"])
        }

        /// What fails after the row was written is undone.
        @Test func aSaveIsATransaction() async throws {
            let store = DatabaseModelStore(try TestDatabase.queue())
            try await store.save(Country(id: "FR", name: "France"))
            for id in ["FR", "XX"] {
                await #expect(throws: Country.Unwanted.self) {
                    try await store.save(Country(id: id, name: "unwanted"))
                }
            }
            #expect(try await store.load(Country.self, id: "FR")?.name == "France")
            #expect(try await store.load(Country.self, id: "XX") == nil)
        }

        @Test func theDatabasesErrorsReachTheCaller() async throws {
            let store = DatabaseModelStore(try TestDatabase.queue())
            try await store.save(Team(id: 1, name: "Dev"))
            let error = await #expect(throws: DatabaseError.self) {
                try await store.save(Team(id: 2, name: "Dev"))
            }
            #expect(error?.resultCode == .SQLITE_CONSTRAINT)
        }

        private struct Plain: CacheableModel {
            var id: Int
        }

        private struct Odd: CacheableModel, FetchableRecord, PersistableRecord {
            struct Number: LosslessStringConvertible, Codable, Hashable {
                var description: String { "1" }
                init?(_ description: String) {}
            }
            var id: Number
        }

        @Test func whatIsNoRecordIsRefused() async throws {
            let store = DatabaseModelStore(try TestDatabase.queue())
            let words = "Plain is no record of a database: make it a "
            let load = await #expect(throws: UnsupportedModelError.self) {
                try await store.load(Plain.self, id: 1)
            }
            #expect(load?.description == words + "FetchableRecord")
            let save = await #expect(throws: UnsupportedModelError.self) {
                try await store.save(Plain(id: 1))
            }
            #expect(save?.description == words + "PersistableRecord")
            let remove = await #expect(throws: UnsupportedModelError.self) {
                try await store.remove(Plain.self, id: 1)
            }
            #expect(remove?.description == words + "PersistableRecord")
        }

        @Test func idsAreDatabaseValues() async throws {
            let store = DatabaseModelStore(try TestDatabase.queue())
            let id = try #require(Odd.Number("1"))
            let error = await #expect(throws: UnsupportedModelError.self) {
                try await store.load(Odd.self, id: id)
            }
            #expect(error?.description.contains("Number") == true)
            await #expect(throws: UnsupportedModelError.self) { try await store.remove(Odd.self, id: id) }
        }
    }
#endif
