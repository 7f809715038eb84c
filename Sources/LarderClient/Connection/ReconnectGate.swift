import Synchronization

/// Says when a server may be tried: connections to the same server may share one.
final class ReconnectGate: Sendable {
    private struct State {
        var failureCount = 0
        var closedUntil: ContinuousClock.Instant?
    }

    private let backoff: Backoff
    private let state = Mutex(State())

    init(_ backoff: Backoff) {
        self.backoff = backoff
    }

    func mayTry(at now: ContinuousClock.Instant = .now) -> Bool {
        state.withLock { state in state.closedUntil.map { $0 <= now } ?? true }
    }

    func failed(at now: ContinuousClock.Instant = .now) {
        var random = SystemRandomNumberGenerator()
        failed(at: now, using: &random)
    }

    func failed(at now: ContinuousClock.Instant, using random: inout some RandomNumberGenerator) {
        let count = state.withLock { state -> Int in
            if state.failureCount < Int.max { state.failureCount += 1 }
            return state.failureCount
        }
        let span = backoff.span(afterFailures: count, using: &random)
        state.withLock { state in
            guard state.failureCount >= count else { return }
            state.closedUntil = now.advanced(by: span)
        }
    }

    func succeeded() {
        state.withLock { $0 = State() }
    }
}
