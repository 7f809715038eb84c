/// Where models are kept for good: a database. `LarderGRDB` has one over SQLite.
public protocol ModelStore: Sendable {
    /// The model with an id, or nil.
    func load<Model: CacheableModel>(_ type: Model.Type, id: Model.ID) async throws -> Model?
    /// Keeps a model under its id, in the place of the one before. When this returns, every later `load` gives it.
    func save<Model: CacheableModel>(_ model: Model) async throws
    /// Removes the model with an id. When this returns, no later `load` gives it.
    func remove<Model: CacheableModel>(_ type: Model.Type, id: Model.ID) async throws
}

/// A model that a cache can stand before: it has an id, and a name for its kind.
public protocol CacheableModel: Codable, Sendable, Identifiable
where ID: LosslessStringConvertible & Sendable {
    /// What stands before the id in the keys of this kind; the type's name, unless it says otherwise.
    static var cacheName: String { get }
}

extension CacheableModel {
    /// The type's name.
    public static var cacheName: String { String(describing: Self.self) }
}
