/// The model's own way: `Team.get(1, from: models)`.
extension CacheableModel {
    /// The model with an id, or nil.
    public static func get(_ id: ID, from models: ModelCache) async throws -> Self? {
        try await models.get(Self.self, id: id)
    }

    /// Keeps this model under its id.
    public func set(in models: ModelCache) async throws { try await models.set(self) }

    /// Removes the model with an id.
    public static func remove(_ id: ID, from models: ModelCache) async throws {
        try await models.remove(Self.self, id: id)
    }
}
