/// Does something within a time, over whatever it goes: a connection, a pool with a queue, many servers, a cache.
///
/// ```swift
/// let row = try await withDeadline(.milliseconds(50)) { try await cache.get("row", as: Row.self) }
/// ```
///
/// When the time is over `body` is cancelled. Whoever waits for a server or for a place in a pool then leaves at once, and
/// the connection stays usable for others.
///
/// - Parameter clock: how the time is waited for.
/// - Throws: `MemcacheError` with the code `timedOut` when the time is over, and what `body` throws.
public func withDeadline<Result: Sendable>(
    _ duration: Duration, clock: CacheClock = .system,
    _ body: @escaping @Sendable () async throws -> Result
) async throws -> Result {
    return try await withThrowingTaskGroup(of: FirstDone<Result>.self) { group in
        group.addTask { .result(try await body()) }
        group.addTask {
            try await clock.sleep(duration)
            return .timeIsOver
        }
        defer { group.cancelAll() }
        guard case .result(let result)? = try await group.next() else {
            throw MemcacheError(.timedOut, "it was not done within \(duration)")
        }
        return result
    }
}

private enum FirstDone<Result: Sendable>: Sendable {
    case result(Result)
    case timeIsOver
}
