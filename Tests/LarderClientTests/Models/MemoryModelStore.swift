import LarderClient

/// A database in memory. A load takes its time after the row was read, so that others come between.
final class MemoryModelStore: ModelStore {
    struct Down: Error {}

    private let rows = Shared<[String: any CacheableModel]>([:])
    let loads = Shared(0)
    let isDown = Shared(false)

    private func key<Model: CacheableModel>(_ type: Model.Type, _ id: Model.ID) -> String { "\(type) \(id)" }

    func load<Model: CacheableModel>(_ type: Model.Type, id: Model.ID) async throws -> Model? {
        if isDown.value { throw Down() }
        let loads = loads.next()
        let row = rows.value[key(type, id)] as? Model
        for _ in 0..<loads % 7 { await Task.yield() }
        return row
    }

    func save<Model: CacheableModel>(_ model: Model) async throws {
        if isDown.value { throw Down() }
        await Task.yield()
        let key = key(Model.self, model.id)
        rows.change { $0[key] = model }
    }

    func remove<Model: CacheableModel>(_ type: Model.Type, id: Model.ID) async throws {
        if isDown.value { throw Down() }
        let key = key(type, id)
        rows.change { $0[key] = nil }
    }
}

/// A database whose writer is cancelled when the row has been written; then it may also say that it has not been.
struct CancellingModelStore: ModelStore {
    private let store: MemoryModelStore
    private let fails: Bool
    private let meanwhile: @Sendable () async throws -> Void

    init(_ store: MemoryModelStore, fails: Bool, meanwhile: @escaping @Sendable () async throws -> Void) {
        self.store = store
        self.fails = fails
        self.meanwhile = meanwhile
    }

    func load<Model: CacheableModel>(_ type: Model.Type, id: Model.ID) async throws -> Model? {
        try await store.load(type, id: id)
    }

    func save<Model: CacheableModel>(_ model: Model) async throws {
        try await meanwhile()
        try await store.save(model)
        withUnsafeCurrentTask { $0?.cancel() }
        if fails { throw MemoryModelStore.Down() }
    }

    func remove<Model: CacheableModel>(_ type: Model.Type, id: Model.ID) async throws {
        try await store.remove(type, id: id)
    }
}

struct User: CacheableModel, Equatable {
    var id: Int
    var name: String
}

struct Team: CacheableModel, Equatable {
    var id: Int
    var name: String
}
