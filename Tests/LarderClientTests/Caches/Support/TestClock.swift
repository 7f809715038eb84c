import LarderClient
import Synchronization

/// A clock that stands still until it is moved. Whoever sleeps is woken when it has been moved that far.
final class TestClock: Sendable {
    private struct Sleeper {
        var due: Int64
        var continuation: CheckedContinuation<Void, any Error>
    }
    private struct State {
        var now: Int64
        var sleepers: [Int: Sleeper] = [:]
        var lastSleeper = 0
        var cancelled: Set<Int> = []
    }
    private let state: Mutex<State>

    init(_ start: Int64 = 1_700_000_000_000) { state = Mutex(State(now: start)) }

    var now: Int64 { state.withLock { $0.now } }
    /// Those who sleep at this moment.
    var sleepers: Int { state.withLock { $0.sleepers.count } }

    func advance(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        let woken = state.withLock { state in
            state.now += seconds * 1000 + attoseconds / 1_000_000_000_000_000
            let due = state.sleepers.filter { $0.value.due <= state.now }
            for id in due.keys { state.sleepers[id] = nil }
            return due.values.map(\.continuation)
        }
        for continuation in woken { continuation.resume() }
    }

    /// Moves the clock on whenever somebody sleeps, until `body` is done.
    func running<Result: Sendable>(_ body: @escaping @Sendable () async throws -> Result) async throws
        -> Result
    {
        let mover = Task {
            while !Task.isCancelled {
                if self.sleepers > 0 { self.advance(.milliseconds(10)) }
                await Task.yield()
            }
        }
        defer { mover.cancel() }
        return try await body()
    }

    /// What caches are given.
    var cacheClock: CacheClock {
        CacheClock(now: { self.now }, sleep: { try await self.sleep($0) })
    }

    private func sleep(_ duration: Duration) async throws {
        let (seconds, attoseconds) = duration.components
        let milliseconds = seconds * 1000 + attoseconds / 1_000_000_000_000_000
        let id = state.withLock { state in
            state.lastSleeper += 1
            return state.lastSleeper
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let isCancelled = state.withLock { state in
                    if state.cancelled.remove(id) != nil { return true }
                    state.sleepers[id] = Sleeper(
                        due: state.now + max(1, milliseconds), continuation: continuation)
                    return false
                }
                if isCancelled { continuation.resume(throwing: CancellationError()) }
            }
        } onCancel: {
            let sleeper = state.withLock { state in
                let sleeper = state.sleepers.removeValue(forKey: id)
                if sleeper == nil { state.cancelled.insert(id) }
                return sleeper
            }
            sleeper?.continuation.resume(throwing: CancellationError())
        }
    }
}
