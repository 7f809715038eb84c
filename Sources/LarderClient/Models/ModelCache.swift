/// Models of a database, cached.
///
///     let models = ModelCache(cache, database)
///     let team = try await models.get(Team.self, id: 1)
///     try await models.set(Team(id: 1, name: "Ops"))
///     try await models.remove(Team.self, id: 1)
///
/// A read looks into the cache, and loads and stores what is not there. A write goes to the database, and then takes
/// the model out of the cache: not before, or a reader could put the old one back meanwhile. The reader that loaded the
/// old one before the write finds its lease ended by that. So after a write has returned, nobody is given what was
/// before it.
///
/// That it is not there is not cached. While the cache cannot be reached, reads go to the database; writes do, too, and
/// then throw the cache's error, since what they changed may be in the cache still.
public struct ModelCache: Sendable {
    /// Which keys models have.
    public enum Keys: Sendable, Hashable {
        /// The id alone, `1`: for one kind of model in a cache of its own. Others with the same id have the same key.
        case id
        /// The kind and the id, `User.1`.
        case kindAndID
    }

    private let cache: any Cache
    private let store: any ModelStore
    private let keys: Keys
    private let expiration: Expiration
    private let namespace: String?
    private let leaseDuration: Duration
    private let log: @Sendable (ModelCacheEvent) -> Void

    /// A cache before a database.
    /// - Parameters:
    ///   - cache: one whose leases end when a value is deleted: RemoteCache, MemoryCache and what is made of them.
    ///   - store: the database.
    ///   - keys: which keys models have.
    ///   - expiration: when a cached model ends.
    ///   - namespace: the part of the cache.
    ///   - leaseDuration: how long a load may take whose result is still cached; meanwhile others load for themselves.
    ///   - log: is told what happens, as the Django example prints it.
    public init(
        _ cache: any Cache, _ store: any ModelStore, keys: Keys = .kindAndID, expiration: Expiration = .never,
        namespace: String? = nil, leaseDuration: Duration = .seconds(10),
        log: @escaping @Sendable (ModelCacheEvent) -> Void = { _ in }
    ) {
        self.cache = cache
        self.store = store
        self.keys = keys
        self.expiration = expiration
        self.namespace = namespace
        self.leaseDuration = leaseDuration
        self.log = log
    }

    /// The key of a model.
    public func key<Model: CacheableModel>(_ type: Model.Type, id: Model.ID) -> String {
        switch keys {
        case .id: String(id)
        case .kindAndID: "\(type.cacheName).\(id)"
        }
    }

    /// The model with an id, or nil.
    public func get<Model: CacheableModel>(_ type: Model.Type = Model.self, id: Model.ID) async throws
        -> Model?
    {
        let key = key(type, id: id)
        switch await lease(key, as: type) {
        case .found(let model):
            log(.hit(key))
            return model
        case .lost:
            log(.miss(key))
            return try await store.load(type, id: id)
        case .unavailable:
            log(.unavailable(key))
            return try await store.load(type, id: id)
        case .won(let ticket):
            log(.miss(key))
            return try await populate(ticket, key, type, id)
        }
    }

    /// Keeps a model, in the database, under its id.
    public func set<Model: CacheableModel>(_ model: Model) async throws {
        try await write(key(Model.self, id: model.id)) { try await store.save(model) }
    }

    /// Removes the model with an id.
    public func remove<Model: CacheableModel>(_ type: Model.Type = Model.self, id: Model.ID) async throws {
        try await write(key(type, id: id)) { try await store.remove(type, id: id) }
    }

    /// Before, so that few who crash leave something old; and after, as said above. Where that cannot be
    /// done the caller has to know.
    private func write(_ key: String, _ body: () async throws -> Void) async throws {
        log(.invalidate(key))
        _ = try? await cache.delete(key, namespace: namespace)
        do {
            try await body()
        } catch {
            // It may have been done all the same.
            try? await invalidate(key)
            throw error
        }
        try await invalidate(key)
    }

    /// In a task of its own: whoever is cancelled when the database has written would else leave the old one.
    private func invalidate(_ key: String) async throws {
        try await Task { _ = try await cache.delete(key, namespace: namespace) }.value
    }

    private enum Look<Model> {
        case found(Model)
        case won(LeaseTicket)
        case lost
        case unavailable
    }

    private func lease<Model: CacheableModel>(_ key: String, as type: Model.Type) async -> Look<Model> {
        do {
            do {
                return try await leaseOnce(key, as: type)
            } catch  where error.code == .cannotDecode {
                // Another version of the program has stored it: it is of no use here, and would never go.
                try await cache.delete(key, namespace: namespace)
                return try await leaseOnce(key, as: type)
            }
        } catch {
            // What is there may be another program's: the database knows better.
            return .unavailable
        }
    }

    private func leaseOnce<Model: CacheableModel>(
        _ key: String, as type: Model.Type
    ) async throws(CacheError) -> Look<Model> {
        switch try await cache.lease(key, duration: leaseDuration, namespace: namespace) {
        case .found(let value): .found(try value.decoded(as: type))
        case .won(let ticket): .won(ticket)
        case .lost: .lost
        }
    }

    private func populate<Model: CacheableModel>(
        _ ticket: LeaseTicket, _ key: String, _ type: Model.Type, _ id: Model.ID
    ) async throws -> Model? {
        let loaded: Model?
        do {
            loaded = try await store.load(type, id: id)
        } catch {
            await abandon(ticket, key)
            throw error
        }
        guard let model = loaded, let value = try? EncodedValue(encoding: model) else {
            await abandon(ticket, key)
            return loaded
        }
        log(.populate(key))
        _ = try? await cache.fulfil(ticket, key, value, expiration: expiration, namespace: namespace)
        return model
    }

    /// In a task of its own: whoever is cancelled while loading would else keep the others from caching.
    private func abandon(_ ticket: LeaseTicket, _ key: String) async {
        await Task { try? await cache.abandon(ticket, key, namespace: namespace) }.value
    }
}

/// What a `ModelCache` does, in the Django example's words.
public enum ModelCacheEvent: Sendable, Hashable, CustomStringConvertible {
    /// It was in the cache.
    case hit(String)
    /// It was not, or somebody is loading it.
    case miss(String)
    /// It was loaded, and is put into the cache.
    case populate(String)
    /// It is written or removed, and taken out of the cache.
    case invalidate(String)
    /// The cache could not be asked, or what it has cannot be read.
    case unavailable(String)

    /// The example's line.
    public var description: String {
        switch self {
        case .hit(let key): "CACHE HIT key=\(key)"
        case .miss(let key): "CACHE MISS key=\(key)"
        case .populate(let key): "CACHE POPULATE key=\(key)"
        case .invalidate(let key): "CACHE INVALIDATE key=\(key)"
        case .unavailable(let key): "CACHE UNAVAILABLE key=\(key)"
        }
    }
}
