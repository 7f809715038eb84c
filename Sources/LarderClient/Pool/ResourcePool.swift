/// Something that lends what it keeps, each to one borrower at a time.
public protocol ResourcePool<Resource>: Sendable {
    /// What is lent.
    associatedtype Resource: Sendable

    /// Borrows one; who finds none free waits, and is served in order. It goes back when what is returned ends.
    func acquire() async throws -> Borrowed<Resource>
    /// Closes all that are free now, and the others as they come back; who waits gets an error.
    func close() async
}

extension ResourcePool {
    /// Lends one to `body`, and takes it back when `body` returns, throws or is cancelled.
    nonisolated(nonsending) public func withConnection<Result>(
        _ body: nonisolated(nonsending) (Resource) async throws -> Result
    ) async throws -> Result {
        let borrowed = try await acquire()
        do {
            let result = try await body(borrowed.resource)
            borrowed.giveBack()
            return result
        } catch {
            borrowed.giveBack()
            throw error
        }
    }
}

/// What can say of itself whether it still works.
public protocol Poolable: Sendable {
    /// Whether it is of no more use, so that a pool is to have another in its place.
    var isBroken: Bool { get }
    /// Gives up what it holds.
    func close() async
}

extension MemcacheConnection: Poolable {}
