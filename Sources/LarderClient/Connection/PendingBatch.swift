import NIOCore
import Synchronization

/// Commands that were asked for together, and the caller who waits for their answers.
///
/// The caller may leave at any moment, from any thread: the answers still come, in their place, and go nowhere.
final class PendingBatch: Sendable {
    private enum State {
        case new
        case waiting(CheckedContinuation<[Answer], any Error>)
        /// Before anybody waited for it.
        case early(Result<[Answer], any Error>)
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

    /// Whether the answers that are still to come are for nobody.
    var isFinished: Bool {
        state.withLock { state in
            switch state {
            case .new, .waiting: false
            case .early, .finished: true
            }
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

    /// Waits for the answers of commands that are on their way.
    func answers() async throws -> [Answer] {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let result = state.withLock { state -> Result<[Answer], any Error>? in
                    switch state {
                    case .new:
                        state = .waiting(continuation)
                        return nil
                    case .early(let result):
                        state = .finished
                        return result
                    case .waiting, .finished: return .failure(CancellationError())
                    }
                }
                if let result { continuation.resume(with: result) }
            }
        } onCancel: {
            finish(.failure(CancellationError()))
        }
    }

    /// Gives the caller its answers, or the error; only the first call counts.
    func finish(_ result: Result<[Answer], any Error>) {
        let continuation = state.withLock { state -> CheckedContinuation<[Answer], any Error>? in
            switch state {
            case .new:
                state = .early(result)
                return nil
            case .waiting(let continuation):
                state = .finished
                return continuation
            case .early, .finished: return nil
            }
        }
        continuation?.resume(with: result)
    }
}
