/// A pool that opens all its resources when it is made, and never has more.
///
/// Borrowers are served in the order in which they came. A resource that is broken when it comes back, or when its turn
/// comes, is closed, and another is made in its place; if that fails, the borrower gets the error and the next one tries.
public final class EagerPool<Resource: Sendable>: ResourcePool {
    /// How many resources there are.
    public let size: Int
    private let keeper: PoolKeeper<Resource>

    /// Opens all the resources, at the same time; when one cannot be opened, closes the others and throws.
    ///
    /// - Parameters:
    ///   - size: at least 1.
    ///   - isBroken: whether a resource is of no more use.
    ///   - discard: closes a resource.
    ///   - create: opens a resource.
    public convenience init(
        size: Int, isBroken: @escaping @Sendable (Resource) -> Bool,
        discard: @escaping @Sendable (Resource) async -> Void,
        create: @escaping @Sendable () async throws -> Resource
    ) async throws {
        try await self.init(
            size: size, observer: nil, isBroken: isBroken, discard: discard, create: create)
    }

    init(
        size: Int, observer: PoolObserver?, isBroken: @escaping @Sendable (Resource) -> Bool,
        discard: @escaping @Sendable (Resource) async -> Void,
        create: @escaping @Sendable () async throws -> Resource
    ) async throws {
        precondition(size > 0, "a pool has at least one resource")
        let resources = try await Self.open(size, discard, create)
        self.size = size
        keeper = PoolKeeper(
            slots: PoolSlots(resources, order: .oldest), create: create, isBroken: isBroken, discard: discard,
            replacesAtOnce: true, observer: observer)
    }

    /// Opens all the resources, at the same time; when one cannot be opened, closes the others and throws.
    public convenience init(
        size: Int, create: @escaping @Sendable () async throws -> Resource
    ) async throws where Resource: Poolable {
        try await self.init(
            size: size, isBroken: { $0.isBroken }, discard: { await $0.close() }, create: create)
    }

    private static func open(
        _ size: Int, _ discard: @Sendable (Resource) async -> Void,
        _ create: @escaping @Sendable () async throws -> Resource
    ) async throws -> [Resource] {
        let results = await withTaskGroup(of: Result<Resource, any Error>.self) { group in
            for _ in 0..<size {
                group.addTask {
                    do { return .success(try await create()) } catch { return .failure(error) }
                }
            }
            return await group.reduce(into: []) { results, result in results.append(result) }
        }
        do {
            return try results.map { try $0.get() }
        } catch {
            for case .success(let resource) in results { await discard(resource) }
            throw error
        }
    }

    /// How many are free.
    public var freeCount: Int { keeper.slots.freeCount }
    /// How many borrowers wait.
    public var waiterCount: Int { keeper.slots.waiterCount }

    public func acquire() async throws -> Borrowed<Resource> {
        Borrowed(try await keeper.acquire(), takeBack: keeper.giveBack)
    }

    public func close() async { await keeper.close() }
}
