/// One term of a lockout: so many times within a period, and nothing goes for a while.
///
/// wheezy.caching calls it `Counter`.
public struct LockoutCounter<Context: Sendable>: Sendable {
    /// Whom it counts: the end of the keys in the cache.
    public let key: @Sendable (Context) -> String
    /// So many times are too many.
    public let count: UInt64
    /// From the first time on.
    public let period: Duration
    /// How long nothing goes then.
    public let duration: Duration
    /// Whether a success forgets it.
    public let resets: Bool
    /// Called when a lock is set.
    public let alert: (@Sendable (_ context: Context, _ name: String, _ counter: LockoutCounter) async -> Void)?

    /// A term.
    /// - Parameters:
    ///   - key: whom it counts.
    ///   - count: so many times are too many.
    ///   - period: within so long of the first.
    ///   - duration: how long nothing goes then.
    ///   - resets: whether a success forgets it.
    ///   - alert: called when a lock is set.
    public init(
        key: @escaping @Sendable (Context) -> String, count: UInt64, period: Duration, duration: Duration,
        resets: Bool = true,
        alert: (@Sendable (_ context: Context, _ name: String, _ counter: LockoutCounter) async -> Void)? =
            nil
    ) {
        self.key = key
        self.count = count
        self.period = period
        self.duration = duration
        self.resets = resets
        self.alert = alert
    }
}
