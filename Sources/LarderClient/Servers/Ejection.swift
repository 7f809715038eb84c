/// When a server that fails is left out, and when it may come back.
public struct Ejection: Sendable, Hashable {
    /// How many failures in a row put it out. Requests that were on their way together and fail together count as one.
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

    /// The leave to ask a server. All requests that were admitted before a failure tell of the same outage, so that only
    /// the first of them counts when they fail.
    struct Admission: Sendable, Hashable {
        fileprivate let turn: UInt64
        /// Whether it tries a server that is out.
        let isTrial: Bool
    }

    private let ejection: Ejection?
    private var failureCount = 0
    private var ejectionCount = 0
    private var outUntil: ContinuousClock.Instant?
    /// Grows with each failure that counts, and when the server is well again.
    private var turn: UInt64 = 0

    init(_ ejection: Ejection?) {
        self.ejection = ejection
    }

    var isEjected: Bool { ejectionCount > 0 }

    /// For what concerns a server whether it is out or not. While it is out, this is no trial.
    var visit: Admission { Admission(turn: turn, isTrial: false) }

    /// Lets a request go there; once a server's absence is over, one request may, and the others wait for how it fares.
    /// - Returns: nil while the server is out.
    mutating func admit(at now: ContinuousClock.Instant) -> Admission? {
        guard let ejection, let outUntil else { return visit }
        guard outUntil <= now else { return nil }
        var random = SystemRandomNumberGenerator()
        self.outUntil = now.advanced(by: ejection.absence.span(afterFailures: ejectionCount, using: &random))
        return Admission(turn: turn, isTrial: true)
    }

    mutating func succeeded() -> Change {
        guard failureCount > 0 || isEjected else { return .none }
        defer {
            turn &+= 1
            failureCount = 0
            ejectionCount = 0
            outUntil = nil
        }
        return isEjected ? .returned : .none
    }

    mutating func failed(_ admission: Admission, at now: ContinuousClock.Instant) -> Change {
        guard let ejection, admission.turn == turn, admission.isTrial || !isEjected else { return .none }
        turn &+= 1
        if failureCount < Int.max { failureCount += 1 }
        guard isEjected || failureCount >= ejection.failureCount else { return .none }
        let wasEjected = isEjected
        if ejectionCount < Int.max { ejectionCount += 1 }
        var random = SystemRandomNumberGenerator()
        outUntil = now.advanced(by: ejection.absence.span(afterFailures: ejectionCount, using: &random))
        return wasEjected ? .none : .ejected
    }

    /// The server was not asked after all: the next request may try it.
    mutating func passed(_ admission: Admission, at now: ContinuousClock.Instant) {
        if admission.isTrial, admission.turn == turn, isEjected { outUntil = now }
    }
}
