#if GRDB
    import LarderClient

    /// The Django example's three rounds: each makes a row, reads, changes and removes it, and prints what it does and
    /// what the cache does.
    struct DemoWalk {
        /// One of the three ways to a model, and the words that are its own.
        private struct Variant<Model: NamedModel> {
            var title: String
            var noun: String
            var created: String
            var readFirst: String
            var first: Model
            var second: Model
            var get: () async throws -> Model?
            var set: (Model) async throws -> Void
            var remove: () async throws -> Void
        }

        private let cacheName: String
        private let users: ModelCache
        private let models: ModelCache
        private let id = 1

        init(_ cache: any Cache, _ store: any ModelStore, _ expiration: Expiration) {
            cacheName = String(describing: type(of: cache))
            users = ModelCache(cache, store, keys: .id, expiration: expiration, log: Self.log)
            models = ModelCache(cache, store, expiration: expiration, log: Self.log)
        }

        func run() async throws {
            try await walk(simple)
            print()
            try await walk(generic)
            print()
            try await walk(cacheableModel)
        }

        private var simple: Variant<User> {
            Variant(
                title: "Django Model object specific simple caching version", noun: "user", created: "user",
                readFirst: "user", first: User(id: id, name: "John"), second: User(id: id, name: "Jane"),
                get: { try await users.get(id: id) }, set: { try await users.set($0) },
                remove: { try await users.remove(User.self, id: id) })
        }

        private var generic: Variant<User> {
            Variant(
                title: "generic caching version for all Django Model objects", noun: "user",
                created: "a user", readFirst: "user", first: User(id: id, name: "Alice"),
                second: User(id: id, name: "Bob"), get: { try await models.get(User.self, id: id) },
                set: { try await models.set($0) }, remove: { try await models.remove(User.self, id: id) })
        }

        private var cacheableModel: Variant<Team> {
            Variant(
                title: "new CacheableModel class version of Django Model objects", noun: "team",
                created: "a team", readFirst: "team ", first: Team(id: id, name: "Dev"),
                second: Team(id: id, name: "Ops"), get: { try await Team.get(id, from: models) },
                set: { try await $0.set(in: models) }, remove: { try await Team.remove(id, from: models) })
        }

        private func walk<Model>(_ variant: Variant<Model>) async throws {
            let noun = variant.noun
            print("Testing \(variant.title) using \(cacheName) ...\n")
            print("Creating \(variant.created) with id=\(id)")
            try await write { try await variant.set(variant.first) }
            try await read("First get of \(variant.readFirst)", variant)
            try await read("Second get of \(noun)", variant)
            print("Updating \(noun) with id=\(id)")
            try await write { try await variant.set(variant.second) }
            try await read("First get of updated \(noun)", variant)
            try await read("Second get of updated \(noun)", variant)
            print("Removing \(noun) with id=\(id)")
            try await write { try await variant.remove() }
            try await read("Get removed \(noun)", variant)
        }

        private func read<Model>(_ words: String, _ variant: Variant<Model>) async throws {
            print("\(words) with id=\(id)")
            let model = try await variant.get()
            print("Got \(model?.description ?? "None")")
        }

        /// A cache that cannot be asked keeps nobody from writing; what is read next says that it cannot.
        private func write(_ body: () async throws -> Void) async throws {
            do {
                try await body()
            } catch is CacheError {}
        }

        private static let log: @Sendable (ModelCacheEvent) -> Void = { event in
            print("  \(event)")
            // Which is a miss to who reads.
            if case .unavailable(let key) = event { print("  \(ModelCacheEvent.miss(key))") }
        }
    }
#endif
