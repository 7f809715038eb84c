import Synchronization

/// Says when a server may be tried: connections to the same server may share one.
///
/// Connections lose a server at the same time, and then try it at the same time. All attempts that were begun before a
/// failure tell of the same outage: only the first of them counts when they fail.
final class ReconnectGate: Sendable {
    /// The leave to try the server.
    struct Attempt: Sendable, Hashable {
        fileprivate let turn: UInt64
    }

    private struct State {
        var failureCount = 0
        var closedUntil: ContinuousClock.Instant?
        /// Grows with each failure that counts, and when the server is well again.
        var turn: UInt64 = 0
    }

    private let backoff: Backoff
    private let state = Mutex(State())

    init(_ backoff: Backoff) {
        self.backoff = backoff
    }

    /// How often in a row the server could not be reached.
    var failureCount: Int { state.withLock { $0.failureCount } }

    /// - Returns: nil while the server is to be left alone.
    func begin(at now: ContinuousClock.Instant = .now) -> Attempt? {
        state.withLock { state in
            if let end = state.closedUntil, end > now { return nil }
            return Attempt(turn: state.turn)
        }
    }

    func failed(_ attempt: Attempt, at now: ContinuousClock.Instant = .now) {
        var random = SystemRandomNumberGenerator()
        failed(attempt, at: now, using: &random)
    }

    func failed(
        _ attempt: Attempt, at now: ContinuousClock.Instant, using random: inout some RandomNumberGenerator
    ) {
        let chance = Double.random(in: 0...1, using: &random)
        state.withLock { state in
            guard attempt.turn == state.turn else { return }
            state.turn &+= 1
            if state.failureCount < Int.max { state.failureCount += 1 }
            let span = backoff.span(afterFailures: state.failureCount, chance: chance)
            state.closedUntil = now.advanced(by: span)
        }
    }

    /// The server has answered.
    func succeeded() {
        state.withLock { state in
            guard state.failureCount > 0 else { return }
            state = State(turn: state.turn &+ 1)
        }
    }
}
