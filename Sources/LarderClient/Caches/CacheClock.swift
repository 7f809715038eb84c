import Glibc
import LarderStore

/// The time, and how to wait: what caches and patterns take both from, so that a test can give its own.
public struct CacheClock: Sendable {
    /// Milliseconds since 1970.
    public var now: @Sendable () -> Int64
    /// Returns after so long; throws when the task is cancelled.
    public var sleep: @Sendable (Duration) async throws -> Void

    /// A clock of one's own.
    public init(
        now: @escaping @Sendable () -> Int64, sleep: @escaping @Sendable (Duration) async throws -> Void
    ) {
        self.now = now
        self.sleep = sleep
    }

    /// The system's clock: the clock since the machine's boot, set by the wall clock once. A later change of the wall
    /// clock ends no item early or late. Time in suspend counts.
    public static let system: CacheClock = {
        let clock = StoreClock()
        return CacheClock(now: { clock.now() }, sleep: { try await Task.sleep(for: $0) })
    }()
}

extension Expiration {
    /// When this is, in absolute milliseconds; `Int64.max`: never.
    func milliseconds(now: Int64) -> Int64 {
        switch self {
        case .never, .kept: return Int64.max
        case .at(let seconds):
            let (end, isNever) = seconds.multipliedReportingOverflow(by: 1000)
            return isNever ? (seconds > 0 ? Int64.max : 0) : max(0, end)
        case .after(let duration):
            guard duration > .zero else { return now }
            let (end, isNever) = now.addingReportingOverflow(duration.wholeMilliseconds)
            return isNever ? Int64.max : end
        }
    }
}

extension Duration {
    /// What is longer than two hundred years is two hundred years, in either direction: `components` traps beyond what
    /// `Int64` can say in seconds, and nanoseconds are counted in `Int64` too.
    var clamped: Duration { min(max(self, .zero - Self.longest), Self.longest) }

    private static let longest = Duration.seconds(Int64(200 * 365 * 86400))

    /// Rounded up; what is longer than `Int64` can say is `Int64.max`.
    var wholeMilliseconds: Int64 {
        guard self < .seconds(Int64.max / 1000), self > .seconds(Int64.min / 1000) else {
            return self > .zero ? Int64.max : Int64.min
        }
        let (seconds, attoseconds) = components
        let (whole, isBeyond) = seconds.multipliedReportingOverflow(by: 1000)
        guard !isBeyond else { return seconds > 0 ? Int64.max : Int64.min }
        let part = attoseconds / 1_000_000_000_000_000
        let (sum, isOver) = whole.addingReportingOverflow(
            part + (attoseconds % 1_000_000_000_000_000 > 0 ? 1 : 0))
        return isOver ? Int64.max : sum
    }
}
