import NIOCore
import Synchronization

/// Commands that were asked for together, and the caller who waits for their answers.
///
/// The caller may leave at any moment, from any thread: the answers still come, in their place, and go nowhere.
final class PendingBatch: Sendable {
    private enum State {
        case new
        case waiting(CheckedContinuation<[Answer], any Error>)
        case finished
    }

    let bytes: ByteBuffer
    /// One for each answer that will come.
    let expected: [ExpectedAnswer]
    private let state = Mutex(State.new)

    init(_ encoder: any RequestEncoder) {
        bytes = encoder.bytes
        expected = encoder.expected
    }

    var isFinished: Bool {
        state.withLock { state in
            if case .finished = state { true } else { false }
        }
    }

    /// Waits for the answers after `start` has sent the commands on their way.
    func answers(_ start: (PendingBatch) -> Void) async throws -> [Answer] {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let mayStart = state.withLock { state -> Bool in
                    guard case .new = state else { return false }
                    state = .waiting(continuation)
                    return true
                }
                guard mayStart else { return continuation.resume(throwing: CancellationError()) }
                start(self)
            }
        } onCancel: {
            finish(.failure(CancellationError()))
        }
    }

    /// Gives the caller its answers, or the error; only the first call counts.
    func finish(_ result: Result<[Answer], any Error>) {
        let continuation = state.withLock { state -> CheckedContinuation<[Answer], any Error>? in
            defer { state = .finished }
            guard case .waiting(let continuation) = state else { return nil }
            return continuation
        }
        continuation?.resume(with: result)
    }
}
