/// How long a server that cannot be reached is left alone: twice as long after each failure, and each time a random
/// part less, so that many clients do not come back at the same moment.
public struct Backoff: Sendable, Hashable {
    /// The span after the first failure.
    public var initial: Duration
    /// No span is longer.
    public var longest: Duration
    /// The part of a span that chance may take away, from 0 to 1.
    public var jitter: Double

    /// Spans between these two.
    public init(initial: Duration = .milliseconds(50), longest: Duration = .seconds(10), jitter: Double = 0.5) {
        self.initial = initial
        self.longest = longest
        self.jitter = jitter
    }

    /// The span after so many failures in a row.
    func span(
        afterFailures count: Int, using random: inout some RandomNumberGenerator
    ) -> Duration {
        span(afterFailures: count, chance: Double.random(in: 0...1, using: &random))
    }

    /// - Parameter chance: from 0 to 1.
    func span(afterFailures count: Int, chance: Double) -> Duration {
        guard initial > .zero else { return .zero }
        var span = initial
        var doublings = count - 1
        while doublings > 0, span < longest {
            span *= 2
            doublings -= 1
        }
        span = min(span, longest)
        let part = min(max(jitter, 0), 1)
        return part > 0 ? span * (1 - part * chance) : span
    }
}
