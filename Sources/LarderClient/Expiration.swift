/// When an item ends.
public enum Expiration: Sendable, Hashable {
    /// It does not.
    case never
    /// So long after it is stored. Servers count whole seconds: a part of one is a whole one.
    case after(Duration)
    /// Seconds since 1970.
    case at(Int64)
    /// When the item ends that there is already, so that a new value changes nothing about it; never, where there is
    /// none.
    case kept

    /// Whole seconds up to which servers take a number for a span, rather than for a point in time (30 days:
    /// memcached's doc/protocol.txt, "Expiration times").
    static let spanSecondsMax: Int64 = 60 * 60 * 24 * 30

    /// The number that stands for this on the wire; -1 for what has ended already.
    /// - Parameter now: seconds since 1970, for spans beyond 30 days.
    func wireSeconds(now: Int64) -> Int64 {
        switch self {
        case .never, .kept: return 0
        case .at(let seconds): return seconds > Self.spanSecondsMax ? seconds : -1
        case .after(let duration):
            // What would end after the last second that there is has no end.
            guard duration < .seconds(Int64.max) else { return 0 }
            guard duration > .zero else { return -1 }
            let (whole, attoseconds) = duration.components
            let (raised, isBeyond) = whole.addingReportingOverflow(attoseconds > 0 ? 1 : 0)
            guard !isBeyond else { return 0 }
            if raised <= Self.spanSecondsMax { return raised }
            let (end, isNever) = now.addingReportingOverflow(raised)
            return isNever ? 0 : end
        }
    }
}

/// How long an item has left.
public enum TimeLeft: Sendable, Hashable {
    /// It has no end.
    case unlimited
    /// It ends after so long. Servers count whole seconds, a part of one as a whole one.
    case limited(Duration)
    /// It was asked of something that cannot tell.
    case unknown
}

/// A value or an item, and how long it has left.
public struct Timed<Value: Sendable>: Sendable {
    /// The value or the item.
    public var value: Value
    /// How long it has left.
    public var left: TimeLeft

    /// Both of them, for caches and servers of one's own.
    public init(_ value: Value, left: TimeLeft) {
        self.value = value
        self.left = left
    }
}

extension Timed: Equatable where Value: Equatable {}
extension Timed: Hashable where Value: Hashable {}
