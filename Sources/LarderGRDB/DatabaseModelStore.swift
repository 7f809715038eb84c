#if GRDB
    public import GRDB
    public import LarderClient

    /// The models of a SQLite database, as GRDB reads and writes them, for a `ModelCache` to stand before.
    ///
    ///     struct Team: CacheableModel, FetchableRecord, PersistableRecord {
    ///         var id: Int
    ///         var name: String
    ///     }
    ///     let models = ModelCache(cache, DatabaseModelStore(try DatabaseQueue(path: "site.sqlite")))
    ///     try await models.set(Team(id: 1, name: "Ops"))
    ///     let team = try await models.get(Team.self, id: 1)
    ///
    /// Every record type of GRDB's that is a `CacheableModel` as well will do. Its id is its table's primary key, of one
    /// column. A protocol cannot ask more of a model than `ModelStore` does, so that a model is a record shows only when
    /// it is first used: see `UnsupportedModelError`.
    ///
    /// Each write is a transaction of its own, and is committed when it returns.
    public struct DatabaseModelStore: ModelStore {
        private let database: any DatabaseWriter

        /// The models in a database.
        /// - Parameter database: a `DatabaseQueue` or a `DatabasePool`, whose tables exist.
        public init(_ database: any DatabaseWriter) { self.database = database }

        /// The row with an id, or nil.
        /// - Throws: GRDB's `DatabaseError`, or `UnsupportedModelError`.
        public func load<Model: CacheableModel>(_ type: Model.Type, id: Model.ID) async throws -> Model? {
            try await database.read { connection in
                guard let record = type as? any (FetchableRecord & TableRecord).Type else {
                    throw UnsupportedModelError.missing("FetchableRecord", of: type)
                }
                return try record.fetchOne(connection, key: try primaryKey(id, of: type)) as? Model
            }
        }

        /// Updates a model's row, or inserts it where there is none.
        /// - Throws: GRDB's `DatabaseError`, or `UnsupportedModelError`; nothing is changed then.
        public func save<Model: CacheableModel>(_ model: Model) async throws {
            try await database.write { connection in
                guard var record = model as? any MutablePersistableRecord else {
                    throw UnsupportedModelError.missing("PersistableRecord", of: Model.self)
                }
                try record.save(connection)
            }
        }

        /// Deletes the row with an id, if there is one.
        /// - Throws: GRDB's `DatabaseError`, or `UnsupportedModelError`; nothing is changed then.
        public func remove<Model: CacheableModel>(_ type: Model.Type, id: Model.ID) async throws {
            try await database.write { connection in
                guard let record = type as? any TableRecord.Type else {
                    throw UnsupportedModelError.missing("PersistableRecord", of: type)
                }
                try record.deleteOne(connection, key: try primaryKey(id, of: type))
            }
        }

        private func primaryKey<Model: CacheableModel>(
            _ id: Model.ID, of type: Model.Type
        ) throws(UnsupportedModelError) -> any DatabaseValueConvertible {
            guard let key = id as? any DatabaseValueConvertible else {
                throw UnsupportedModelError(
                    "the ids of \(type) are no database values: make \(Model.ID.self) a DatabaseValueConvertible"
                )
            }
            return key
        }
    }

    /// A model that is no record of GRDB's, so that no database can keep it.
    public struct UnsupportedModelError: Error, Sendable, CustomStringConvertible {
        /// Which model, and what it has to conform to.
        public let message: String

        init(_ message: String) { self.message = message }

        static func missing<Model>(_ name: String, of type: Model.Type) -> UnsupportedModelError {
            UnsupportedModelError("\(type) is no record of a database: make it a \(name)")
        }

        /// The message.
        public var description: String { message }
    }
#endif
