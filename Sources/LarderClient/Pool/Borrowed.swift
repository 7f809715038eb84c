/// A resource that a pool has lent. It goes back once, when this value ends: at ``giveBack()``, or at the end of the
/// block that has it.
///
/// ```swift
/// let borrowed = try await pool.acquire()
/// try await borrowed.resource.ping()
/// borrowed.giveBack()
/// ```
///
/// Who has given it back has no value any more to give back a second time: the compiler sees to that.
public struct Borrowed<Resource: Sendable>: ~Copyable, Sendable {
    /// What was lent; not to be used after it went back.
    public let resource: Resource
    private let takeBack: @Sendable (Resource) -> Void

    /// Lends a resource, for pools of one's own.
    /// - Parameter takeBack: takes it back; called once.
    public init(_ resource: Resource, takeBack: @escaping @Sendable (Resource) -> Void) {
        self.resource = resource
        self.takeBack = takeBack
    }

    /// Gives it back now.
    public consuming func giveBack() {}

    deinit { takeBack(resource) }
}
