/// A pool that opens a resource when one is asked for and none is free, up to a limit, and lends the one that came back
/// last, so that what is not needed is never opened.
public final class LazyPool<Resource: Sendable>: ResourcePool {
    /// How many resources there may be.
    public let size: Int
    private let keeper: PoolKeeper<Resource>

    /// A pool without any resource yet.
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
    ) {
        self.init(size: size, observer: nil, isBroken: isBroken, discard: discard, create: create)
    }

    init(
        size: Int, observer: PoolObserver?, isBroken: @escaping @Sendable (Resource) -> Bool,
        discard: @escaping @Sendable (Resource) async -> Void,
        create: @escaping @Sendable () async throws -> Resource
    ) {
        precondition(size > 0, "a pool has at least one resource")
        self.size = size
        keeper = PoolKeeper(
            slots: PoolSlots(Array(repeating: nil, count: size), order: .latest), create: create,
            isBroken: isBroken, discard: discard, replacesAtOnce: false, observer: observer)
    }

    /// A pool without any resource yet.
    public convenience init(
        size: Int, create: @escaping @Sendable () async throws -> Resource
    ) where Resource: Poolable {
        self.init(size: size, isBroken: { $0.isBroken }, discard: { await $0.close() }, create: create)
    }

    /// How many may be borrowed now.
    public var freeCount: Int { keeper.slots.freeCount }
    /// How many borrowers wait.
    public var waiterCount: Int { keeper.slots.waiterCount }

    public func acquire() async throws -> Borrowed<Resource> {
        Borrowed(try await keeper.acquire(), takeBack: keeper.giveBack)
    }

    public func close() async { await keeper.close() }
}
