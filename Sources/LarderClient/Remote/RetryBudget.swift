import Synchronization

/// How many requests may be made again: a part of all requests, and a few at once.
public final class RetryBudget: Sendable {
    private let part: Double
    private let reserve: Double
    private let left: Mutex<Double>

    /// - Parameters:
    ///   - part: of so many requests, as a part of 1, may be tried again.
    ///   - reserve: how many at once when there were none for a while; it is there from the beginning.
    public init(part: Double = 0.1, reserve: Int = 10) {
        self.part = max(0, part)
        self.reserve = Double(max(0, reserve))
        left = Mutex(self.reserve)
    }

    func noteRequest() {
        left.withLock { $0 = min(reserve, $0 + part) }
    }

    /// Whether a request may be made again; it then counts.
    func takeRetry() -> Bool {
        left.withLock { left in
            guard left >= 1 else { return false }
            left -= 1
            return true
        }
    }
}
