/// When an item expires. An expired item is never returned.
public enum Expiry: Hashable, Sendable {
    /// The item stays until it is removed, replaced or evicted.
    case never
    /// The item expires after this time, counted from the call and rounded up to milliseconds. Zero or a negative time
    /// expires at once.
    case after(Duration)
    /// The item expires at this Unix time, in seconds. A time in the past expires at once.
    case at(unixSeconds: Int64)

    /// When this is, in absolute milliseconds; `Int64.max`: never.
    /// - Parameter now: absolute milliseconds, not negative.
    package func milliseconds(now: Int64) -> Int64 {
        switch self {
        case .never: return Int64.max
        case .at(let seconds):
            let (time, isBeyond) = seconds.multipliedReportingOverflow(by: 1000)
            // 0 is in the past.
            return isBeyond ? (seconds > 0 ? Int64.max : 0) : max(0, time)
        case .after(let duration):
            guard duration > .zero else { return now }
            // Compared as a duration first, because `components` traps beyond what `Int64` holds in seconds.
            guard duration < .milliseconds(Int64.max &- now) else { return Int64.max }
            let (seconds, attoseconds) = duration.components
            let part = attoseconds / 1_000_000_000_000_000
            let isRounded = attoseconds % 1_000_000_000_000_000 != 0
            return now &+ seconds &* 1000 &+ part &+ (isRounded ? 1 : 0)
        }
    }
}
