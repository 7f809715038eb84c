import Synchronization

/// What the threads of a run tell each other.
final class RunState: Sendable {
    private let failed = Atomic(false)
    private let failure = Mutex<String?>(nil)
    /// Workers with all their connections.
    let connected = Atomic(0)
    /// Workers that are done.
    let finished = Atomic(0)
    /// When the measured time began, in monotonic nanoseconds; 0 until all are connected.
    let start = Atomic<UInt64>(0)

    var isFailed: Bool { failed.load(ordering: .relaxed) }

    /// The first failure's message.
    var failureMessage: String? { failure.withLock { $0 } }

    func fail(_ message: String) {
        failure.withLock { $0 = $0 ?? message }
        failed.store(true, ordering: .relaxed)
    }
}

/// What a worker shows while it works, and leaves when it is done.
final class WorkerProgress: Sendable {
    let requests = Atomic<UInt64>(0)
    /// Of all latencies so far, in nanoseconds.
    let latencySum = Atomic<UInt64>(0)
    /// The worker's totals and when it ended.
    let outcome = Mutex<(totals: Totals, end: UInt64)?>(nil)
}
