import Synchronization

/// Holds the answer to a read back, until a test releases it.
final class ReadHold: Sendable {
    private struct State {
        var isRead = false
        var isReleased = false
    }
    private let state = Mutex(State())

    /// Until the first read has its value, and is held.
    func waitUntilRead() async { while !state.withLock({ $0.isRead }) { await Task.yield() } }
    func release() { state.withLock { $0.isReleased = true } }

    func waitUntilReleased() async {
        state.withLock { $0.isRead = true }
        while !state.withLock({ $0.isReleased }) { await Task.yield() }
    }
}
