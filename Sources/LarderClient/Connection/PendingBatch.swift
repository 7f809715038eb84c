import NIOCore
import Synchronization

/// Commands that were asked for together, and the caller who waits for their answers.
///
/// The caller may leave at any moment, from any thread: the answers still come, in their place, and go nowhere.
final class PendingBatch: Sendable {
    enum Kind: Sendable {
        /// Each answer carries the opaque and the key of its command.
        case meta
        /// Meta commands with data behind them: after an error nobody knows where the next command begins.
        case metaWithData
        case line
    }

    private enum State {
        case new
        case waiting(CheckedContinuation<[Answer], any Error>)
        case finished
    }

    let kind: Kind
    let bytes: ByteBuffer
    let keys: [MetaKey]
    let firstOpaque: UInt64
    let commandCount: Int
    private let state = Mutex(State.new)

    /// - Parameter keys: one for each command of the meta kinds.
    init(_ kind: Kind, _ encoder: RequestEncoder, firstOpaque: UInt64) {
        self.kind = kind
        bytes = encoder.bytes
        keys = encoder.keys
        self.firstOpaque = firstOpaque
        commandCount = max(1, encoder.keys.count)
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
