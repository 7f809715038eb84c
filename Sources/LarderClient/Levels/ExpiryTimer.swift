import Synchronization

/// Calls when the earliest of the times that it was given has come.
final class ExpiryTimer: Sendable {
    private struct State {
        var due = Int64.max
        var task: Task<Void, Never>?
        var isStopped = false
    }

    /// So that a change of what the clock goes by is noticed.
    private static let sleepMillisecondsMax: Int64 = 24 * 60 * 60 * 1000

    private let clock: CacheClock
    private let state = Mutex(State())

    init(_ clock: CacheClock) { self.clock = clock }

    /// - Parameters:
    ///   - due: milliseconds since 1970.
    ///   - fire: called at that time, unless an earlier one is scheduled: who is called then schedules what is left.
    func schedule(_ due: Int64, _ fire: @escaping @Sendable () async -> Void) {
        state.withLock { state in
            guard !state.isStopped, due < state.due else { return }
            state.task?.cancel()
            state.due = due
            state.task = Task { await self.wait(due, fire) }
        }
    }

    /// Calls nobody any more.
    func stop() {
        state.withLock { state in
            state.isStopped = true
            state.task?.cancel()
            state.task = nil
        }
    }

    private func wait(_ due: Int64, _ fire: @Sendable () async -> Void) async {
        while case let left = due - clock.now(), left > 0 {
            do {
                try await clock.sleep(.milliseconds(min(left, Self.sleepMillisecondsMax)))
            } catch {
                return
            }
        }
        let isDue = state.withLock { state in
            guard !state.isStopped, state.due == due else { return false }
            // What is scheduled from now on does not end this call.
            state.due = .max
            state.task = nil
            return true
        }
        if isDue { await fire() }
    }
}
