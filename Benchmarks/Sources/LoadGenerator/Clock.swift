import CBenchSystem

/// The time, or in tests what they say it is.
struct Clock {
    /// Nanoseconds; 0: the clock runs.
    var standsAt: UInt64 = 0

    @inline(__always)
    func now() -> UInt64 { standsAt == 0 ? bench_monotonic_nanoseconds() : standsAt }
}
