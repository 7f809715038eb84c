import LarderClient
import Testing

@Suite struct ModelCacheTests {
    private let store = MemoryModelStore()
    private let lines = Shared<[String]>([])

    private func models(_ cache: any Cache, _ keys: ModelCache.Keys = .kindAndID) -> ModelCache {
        ModelCache(cache, store, keys: keys) { [lines] event in
            lines.change { $0.append(event.description) }
        }
    }

    /// The Django example's walk, and what it prints of the cache.
    private func walk<Model: CacheableModel & Equatable>(
        _ models: ModelCache, _ first: Model, _ second: Model
    ) async throws {
        try await models.set(first)
        #expect(try await models.get(id: first.id) == first)
        #expect(try await models.get(id: first.id) == first)
        try await models.set(second)
        #expect(try await models.get(id: first.id) == second)
        #expect(try await models.get(id: first.id) == second)
        try await models.remove(Model.self, id: first.id)
        #expect(try await models.get(Model.self, id: first.id) == nil)
    }

    private func sequence(_ key: String) -> [String] {
        [
            "INVALIDATE", "MISS", "POPULATE", "HIT", "INVALIDATE", "MISS", "POPULATE", "HIT", "INVALIDATE",
            "MISS",
        ]
        .map { "CACHE \($0) key=\(key)" }
    }

    @Test(arguments: CacheKind.allCases)
    func theDjangoExample(kind: CacheKind) async throws {
        let cache = try kind.make()
        let first = User(id: 1, name: "John")
        try await walk(models(cache.cache, .id), first, User(id: 1, name: "Jane"))
        try await walk(models(cache.cache), User(id: 1, name: "Alice"), User(id: 1, name: "Bob"))
        try await walk(models(cache.cache), Team(id: 1, name: "Dev"), Team(id: 1, name: "Ops"))
        #expect(lines.value == sequence("1") + sequence("User.1") + sequence("Team.1"))
    }

    @Test func theModelsOwnWay() async throws {
        let models = models(try CacheKind.memory(TestClock()))
        let team = Team(id: 1, name: "Dev")
        try await team.set(in: models)
        #expect(try await Team.get(1, from: models) == team)
        try await Team.remove(1, from: models)
        #expect(try await Team.get(1, from: models) == nil)
    }

    /// Keys of the id alone are for one kind of model.
    @Test func twoKindsWithOneID() async throws {
        let cache = try CacheKind.memory(TestClock())
        let user = User(id: 1, name: "Alice")
        let team = Team(id: 1, name: "Dev")
        let simple = models(cache, .id)
        try await simple.set(user)
        try await simple.set(team)
        _ = try await simple.get(Team.self, id: 1)
        #expect(try await simple.get(User.self, id: 1) == User(id: 1, name: "Dev"))
        let generic = models(cache)
        #expect(try await generic.get(Team.self, id: 1) == team)
        #expect(try await generic.get(User.self, id: 1) == user)
        #expect(try await generic.get(Team.self, id: 1) == team)
    }

    @Test func endsAsItIsTold() async throws {
        let clock = TestClock()
        let cache = try CacheKind.memory(clock)
        try await store.save(Team(id: 1, name: "Dev"))
        for (expiration, isHit) in [
            (Expiration.never, true), (.after(.seconds(5)), false), (.after(.zero), false),
        ] {
            let models = ModelCache(cache, store, expiration: expiration)
            _ = try await models.get(Team.self, id: 1)
            clock.advance(.seconds(6))
            let loads = store.loads.value
            _ = try await models.get(Team.self, id: 1)
            #expect((store.loads.value == loads) == isHit, "\(expiration)")
            try await cache.delete("Team.1")
        }
    }

    @Test func withTheCacheDownReadsGoToTheDatabase() async throws {
        let servers = MapServers(clock: TestClock())
        let models = models(RemoteCache(servers))
        let team = Team(id: 1, name: "Dev")
        servers.fail(with: MemoryModelStore.Down())
        // Written, and told that the cache may have an old one.
        let error = await #expect(throws: CacheError.self) { try await models.set(team) }
        #expect(error?.code == .unavailable)
        #expect(try await models.get(id: 1) == team)
        #expect(lines.value == ["CACHE INVALIDATE key=Team.1", "CACHE UNAVAILABLE key=Team.1"])
        servers.fail(with: nil)
        #expect(try await models.get(id: 1) == team)
        #expect(try await models.get(id: 1) == team)
        #expect(lines.value.last == "CACHE HIT key=Team.1")
    }

    /// What another version of the program has stored goes, rather than sending every read to the database.
    @Test func whatCannotBeReadIsReplaced() async throws {
        let cache = try CacheKind.memory(TestClock())
        let team = Team(id: 1, name: "Dev")
        try await store.save(team)
        try await cache.set("Team.1", ["another": "form"])
        let models = models(cache)
        #expect(try await models.get(id: 1) == team)
        #expect(try await models.get(id: 1) == team)
        #expect(lines.value == ["MISS", "POPULATE", "HIT"].map { "CACHE \($0) key=Team.1" })
    }

    @Test func aDatabaseThatFailsLeavesNoLease() async throws {
        let models = models(try CacheKind.memory(TestClock()))
        try await models.set(Team(id: 1, name: "Dev"))
        store.isDown.change { $0 = true }
        await #expect(throws: MemoryModelStore.Down.self) { try await models.get(Team.self, id: 1) }
        await #expect(throws: MemoryModelStore.Down.self) { try await models.set(Team(id: 1, name: "Ops")) }
        store.isDown.change { $0 = false }
        _ = try await models.get(Team.self, id: 1)
        #expect(lines.value.last == "CACHE POPULATE key=Team.1")
    }

    @Test func whatIsNoModelIsLoadedAnew() async throws {
        let cache = try CacheKind.memory(TestClock())
        let models = models(cache)
        try await store.save(Team(id: 1, name: "Dev"))
        try await cache.set("Team.1", "something else")
        #expect(try await models.get(Team.self, id: 1) == Team(id: 1, name: "Dev"))
    }

    /// What a reader put back meanwhile goes, whether the writer still wants to know or not.
    @Test(arguments: [true, false])
    func aCancelledWriterTakesTheOldOneOut(fails: Bool) async throws {
        let server = try TestServer()
        let cache = RemoteCache(server.connection())
        let cancelling = CancellingModelStore(store, fails: fails) {
            _ = try await cache.set("Team.1", Team(id: 1, name: "Dev"))
        }
        let writer = Task { try await ModelCache(cache, cancelling).set(Team(id: 1, name: "Ops")) }
        switch await writer.result {
        case .success: #expect(!fails)
        case .failure(let error): #expect(fails && error is MemoryModelStore.Down)
        }
        #expect(try await models(cache).get(Team.self, id: 1)?.name == "Ops")
    }

    /// Readers race a writer: once a write has returned, nobody is given what was before it.
    @Test(arguments: [CacheKind.memory, .remote, .multilevel])
    func noOldRowStays(kind: CacheKind) async throws {
        let models = ModelCache(try kind.make().cache, store)
        for round in 0..<10_000 {
            let team = Team(id: 1, name: "\(round)")
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<2 { group.addTask { _ = try await models.get(Team.self, id: 1) } }
                group.addTask { try await models.set(team) }
                try await group.waitForAll()
            }
            let read = try await models.get(Team.self, id: 1)
            try #require(read == team, "round \(round)")
        }
    }
}
