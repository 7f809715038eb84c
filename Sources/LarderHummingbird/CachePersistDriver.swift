#if Hummingbird
    public import Hummingbird
    public import LarderClient

    /// Hummingbird's persistent values in a cache: sessions and the like, shared by all of an application's processes
    /// where the cache is on a server.
    ///
    /// ```swift
    /// let pool = LazyPool(size: 20, to: .host("cache.internal"))
    /// let persist = CachePersistDriver(RemoteCache(Pooled(pool))) { await pool.close() }
    /// let sessions = SessionMiddleware(storage: persist)
    /// var application = Application(router: router, services: [persist])
    /// ```
    ///
    /// With a `MemoryCache` it needs no server, for tests and for applications of one process; what ends is then exact to
    /// the millisecond. Servers count whole seconds: a part of one counts as one.
    ///
    /// A cache is not a database: when its memory is full, what is least worth keeping goes. A Larder that is started
    /// with `-M` refuses new values instead, and one with a file (`-e`) keeps them over a restart.
    ///
    /// Keys may be any strings. In the cache a key has its own name behind the prefix, if both together have up to 180
    /// bytes and none is a space or a control character; others, and those that begin with `~`, have the prefix, `~`
    /// and the SHA-256 of prefix and key as theirs.
    ///
    /// Values are written as `EncodedValue` says: text, numbers and bytes as other languages' clients do, all else as JSON.
    public struct CachePersistDriver: PersistDriver {
        private let cache: any Cache
        private let namespace: String?
        private let keys: KeyForm
        private let close: @Sendable () async -> Void

        /// Keeps values in a cache.
        /// - Parameters:
        ///   - prefix: what stands before each key, so that other users of the cache have other keys.
        ///   - namespace: the part of the cache that is meant, where it has parts.
        ///   - close: closes the cache's connections; called when the service shuts down.
        public init(
            _ cache: any Cache, prefix: String = "", namespace: String? = nil,
            close: @escaping @Sendable () async -> Void = {}
        ) {
            self.cache = cache
            self.namespace = namespace
            self.close = close
            keys = KeyForm(prefix: prefix)
        }

        /// Stores a value under a key that has none.
        /// - Parameter expires: after how long it ends; nil: never.
        /// - Throws: `PersistError.duplicate` where the key has a value; `CacheError` when the cache does not take the
        ///   value, or does not answer.
        public func create<Object: Codable & Sendable>(
            key: String, value: Object, expires: Duration?
        ) async throws {
            let name = try keys.name(of: key)
            let encoded = try EncodedValue(encoding: value)
            // Whatever was in the way may end before it is looked for.
            for _ in 0..<2 {
                let failed = try await cache.store(
                    .add, [name: encoded], expiration: expires.map { Expiration.after($0) } ?? .never,
                    namespace: namespace)
                if failed.isEmpty { return }
                guard try await cache.values(of: [name], namespace: namespace).isEmpty else {
                    throw PersistError.duplicate
                }
            }
            throw Self.refused(key)
        }

        /// Stores a value, over the one that there may be.
        /// - Parameter expires: after how long it ends; nil: when the value before would have, and never where there is
        ///   none. The binary dialect has no word for that: over it, and so over SASL, nil is an error.
        /// - Throws: `CacheError` when the cache does not take the value, or does not answer.
        public func set<Object: Codable & Sendable>(
            key: String, value: Object, expires: Duration?
        ) async throws {
            let failed = try await cache.store(
                .set, [try keys.name(of: key): try EncodedValue(encoding: value)],
                expiration: expires.map { Expiration.after($0) } ?? .kept, namespace: namespace)
            guard failed.isEmpty else { throw Self.refused(key) }
        }

        /// The value under a key, or nil.
        /// - Throws: `PersistError.invalidConversion` for a value of another type; `CacheError` when the cache does not
        ///   answer.
        public func get<Object: Codable & Sendable>(key: String, as: Object.Type) async throws -> Object? {
            let name = try keys.name(of: key)
            guard let value = try await cache.values(of: [name], namespace: namespace)[name] else {
                return nil
            }
            return try value.persisted(as: Object.self)
        }

        /// The value under a key, and how long it has left, or nil. What never ends has nil left, and so has what a cache
        /// keeps that cannot tell.
        /// - Throws: `PersistError.invalidConversion` for a value of another type; `CacheError` when the cache does not
        ///   answer.
        public func getWithTTL<Object: Codable & Sendable>(
            key: String, as: Object.Type
        ) async throws -> (object: Object, ttl: Duration?)? {
            guard
                let found = try await cache.timedValue(
                    of: keys.name(of: key), namespace: namespace)
            else {
                return nil
            }
            let object = try found.value.persisted(as: Object.self)
            guard case .limited(let left) = found.left else { return (object, nil) }
            return (object, left)
        }

        /// Removes the value under a key, if there is one.
        /// - Throws: `CacheError` when the cache does not answer.
        public func remove(key: String) async throws {
            _ = try await cache.remove([try keys.name(of: key)], namespace: namespace)
        }

        /// Closes what the driver was told to close.
        public func shutdown() async throws { await close() }

        private static func refused(_ key: String) -> CacheError {
            CacheError(
                .unavailable,
                "the cache did not take the value of \(key.prefix(40).debugDescription): it is too large, or there is no room"
            )
        }
    }
#endif
