#if GRDB
    import GRDB
    import LarderClient
    import LarderGRDB
    import LarderTestServer
    import LarderTesting
    import Testing

    /// Rows of SQLite behind a cache, in the three ways of the Django example.
    @Suite struct CachedRowsTests {
        private let log = EventLog()

        private func models(
            _ cache: any Cache, _ database: any DatabaseWriter, _ keys: ModelCache.Keys = .kindAndID,
            _ expiration: Expiration = .never
        ) -> ModelCache {
            ModelCache(
                cache, DatabaseModelStore(database), keys: keys, expiration: expiration,
                log: { [log] in log.add($0) })
        }

        @Test(arguments: TestCache.allCases)
        func rowsAreReadOnce(kind: TestCache) async throws {
            let (cache, server) = try kind.make()
            let database = try TestDatabase.queue()
            for (keys, key) in [(ModelCache.Keys.id, "1"), (.kindAndID, "Team.1")] {
                let models = models(cache, database, keys)
                try await models.set(Team(id: 1, name: "Dev"))
                #expect(try await models.get(Team.self, id: 1)?.name == "Dev")
                // Whoever writes past the cache is not seen: so the cache is what answers.
                try await database.write { try $0.execute(sql: "UPDATE team SET name = 'Ops'") }
                #expect(try await models.get(Team.self, id: 1)?.name == "Dev")
                try await Team.remove(1, from: models)
                #expect(try await Team.get(1, from: models) == nil)
                let events = ["INVALIDATE", "MISS", "POPULATE", "HIT", "INVALIDATE", "MISS"]
                #expect(log.lines.suffix(6) == events.map { "CACHE \($0) key=\(key)" }[...])
            }
            withExtendedLifetime(server) {}
        }

        @Test(arguments: TestCache.allCases)
        func withTheIDAloneTwoKindsCollide(kind: TestCache) async throws {
            let (cache, server) = try kind.make()
            let simple = models(cache, try TestDatabase.queue(), .id)
            try await simple.set(User(id: 1, name: "Alice"))
            try await simple.set(Team(id: 1, name: "Dev"))
            #expect(try await simple.get(User.self, id: 1)?.name == "Alice")
            // The user is under the team's key.
            #expect(try await simple.get(Team.self, id: 1)?.name == "Alice")
            withExtendedLifetime(server) {}
        }

        @Test(arguments: TestCache.allCases)
        func withTheKindTheyDoNot(kind: TestCache) async throws {
            let (cache, server) = try kind.make()
            let models = models(cache, try TestDatabase.queue())
            let user = User(id: 1, name: "Alice")
            let team = Team(id: 1, name: "Dev")
            try await models.set(user)
            try await team.set(in: models)
            // From the database, then from the cache.
            for _ in 0..<2 {
                #expect(try await models.get(User.self, id: 1) == user)
                #expect(try await models.get(Team.self, id: 1) == team)
                #expect(try await User.get(1, from: models) == user)
                #expect(try await Team.get(1, from: models) == team)
            }
            try await models.remove(User.self, id: 1)
            #expect(try await models.get(User.self, id: 1) == nil)
            #expect(try await Team.get(1, from: models) == team)
            withExtendedLifetime(server) {}
        }

        @Test func rowsEndAsTheyAreTold() async throws {
            let clock = TestClock()
            let cache = try MemoryCache(memoryBytes: 4 << 20, clock: clock.cacheClock)
            let database = try TestDatabase.queue()
            for (expiration, first, later) in [
                (Expiration.never, "HIT", "HIT"), (.after(.seconds(5)), "HIT", "POPULATE"),
                (.after(.zero), "POPULATE", "POPULATE"),
            ] {
                let models = models(cache, database, .kindAndID, expiration)
                try await models.set(Team(id: 1, name: "Dev"))
                _ = try await models.get(Team.self, id: 1)
                _ = try await models.get(Team.self, id: 1)
                #expect(log.lines.last == "CACHE \(first) key=Team.1", "\(expiration)")
                clock.advance(seconds: 5)
                _ = try await models.get(Team.self, id: 1)
                #expect(log.lines.last == "CACHE \(later) key=Team.1", "\(expiration)")
                clock.advance(seconds: 1_000_000_000)
                _ = try await models.get(Team.self, id: 1)
                #expect(log.lines.last == "CACHE \(later) key=Team.1", "\(expiration)")
            }
        }

        /// No option of the server's, and no process beside it, is needed for that.
        @Test func rowsEndOnAServer() async throws {
            let server = try LarderTestServer()
            let cache = server.makeCache()
            let database = try TestDatabase.queue()
            let gone = models(cache, database, .kindAndID, .after(.zero))
            try await gone.set(Team(id: 1, name: "Dev"))
            for _ in 0..<2 { _ = try await gone.get(Team.self, id: 1) }
            #expect(!log.lines.contains("CACHE HIT key=Team.1"))

            let short = models(cache, database, .kindAndID, .after(.seconds(1)))
            for _ in 0..<2 { _ = try await short.get(Team.self, id: 1) }
            #expect(log.lines.last == "CACHE HIT key=Team.1")
            server.advance(by: .seconds(2))
            _ = try await short.get(Team.self, id: 1)
            #expect(log.lines.last == "CACHE POPULATE key=Team.1")
        }

        @Test func withTheServerDownRowsComeFromTheDatabase() async throws {
            let served = try ServedCache(transport: .tcp)
            let models = models(served.cache, try TestDatabase.queue())
            let team = Team(id: 1, name: "Dev")
            try await models.set(team)
            #expect(try await models.get(id: 1) == team)
            served.stop()
            #expect(try await models.get(id: 1) == team)
            #expect(log.lines.last == "CACHE UNAVAILABLE key=Team.1")
            let error = await #expect(throws: CacheError.self) {
                try await models.set(Team(id: 1, name: "Ops"))
            }
            #expect(error?.code == .unavailable)
            #expect(try await models.get(Team.self, id: 1)?.name == "Ops")
        }

        @Test func aRowThatIsRefusedLeavesTheOldOne() async throws {
            let models = models(try MemoryCache(memoryBytes: 4 << 20), try TestDatabase.queue())
            try await models.set(Team(id: 1, name: "Dev"))
            try await models.set(Team(id: 2, name: "Ops"))
            _ = try await models.get(Team.self, id: 2)
            await #expect(throws: DatabaseError.self) { try await models.set(Team(id: 2, name: "Dev")) }
            #expect(try await models.get(Team.self, id: 2)?.name == "Ops")
        }

        /// Once a write has returned, nobody is given what was before it, however readers race it.
        @Test(arguments: [(TestCache.memory, 10_000), (.unixSocket, 2000)])
        func noOldRowStays(kind: TestCache, rounds: Int) async throws {
            let (cache, server) = try kind.make()
            let models = ModelCache(cache, DatabaseModelStore(try TestDatabase.queue()))
            for round in 0..<rounds {
                let team = Team(id: 1, name: "\(round)")
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for _ in 0..<2 { group.addTask { _ = try await models.get(Team.self, id: 1) } }
                    group.addTask { try await models.set(team) }
                    try await group.waitForAll()
                }
                let read = try await models.get(Team.self, id: 1)
                try #require(read == team, "round \(round)")
            }
            withExtendedLifetime(server) {}
        }
    }
#endif
