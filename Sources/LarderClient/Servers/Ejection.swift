/// When a server that fails is left out, and when it may come back.
public struct Ejection: Sendable, Hashable {
    /// How many failures in a row put it out.
    public var failureCount: Int
    /// How long it stays out: one request then tries it, and if that fails it stays out for longer.
    public var absence: Backoff

    /// Out after so many failures, for as long as this.
    public init(
        failureCount: Int = 2,
        absence: Backoff = Backoff(initial: .seconds(1), longest: .seconds(60), jitter: 0.2)
    ) {
        self.failureCount = failureCount
        self.absence = absence
    }
}

/// How a server of a group has been of late.
struct ServerHealth: Sendable {
    enum Change: Sendable, Hashable {
        case none, ejected, returned
    }

    private let ejection: Ejection?
    private var failureCount = 0
    private var ejectionCount = 0
    private var outUntil: ContinuousClock.Instant?

    init(_ ejection: Ejection?) {
        self.ejection = ejection
    }

    var isEjected: Bool { ejectionCount > 0 }

    /// Whether a request may go there; once a server's absence is over, one request may, and the others wait for how it
    /// fares.
    mutating func admits(at now: ContinuousClock.Instant) -> Bool {
        guard let ejection, let outUntil else { return true }
        guard outUntil <= now else { return false }
        var random = SystemRandomNumberGenerator()
        self.outUntil = now.advanced(by: ejection.absence.span(afterFailures: ejectionCount, using: &random))
        return true
    }

    mutating func succeeded() -> Change {
        defer {
            failureCount = 0
            ejectionCount = 0
            outUntil = nil
        }
        return isEjected ? .returned : .none
    }

    mutating func failed(at now: ContinuousClock.Instant) -> Change {
        guard let ejection else { return .none }
        if failureCount < Int.max { failureCount += 1 }
        guard isEjected || failureCount >= ejection.failureCount else { return .none }
        let wasEjected = isEjected
        ejectionCount += 1
        var random = SystemRandomNumberGenerator()
        outUntil = now.advanced(by: ejection.absence.span(afterFailures: ejectionCount, using: &random))
        return wasEjected ? .none : .ejected
    }
}
