import Glibc

// SAFETY: `clock_gettime` fills in a struct that is lent to it.

/// The clock of a store, in absolute milliseconds: the clock since the machine's boot, set by the wall clock once. A
/// later change of the wall clock ends no item early or late. Time in suspend counts.
package struct StoreClock: Sendable {
    /// The clock is `CLOCK_BOOTTIME` plus this.
    package let offsetMilliseconds: Int64

    /// A clock set by the wall clock now.
    package init() {
        offsetMilliseconds = Self.milliseconds(CLOCK_REALTIME) - Self.milliseconds(CLOCK_BOOTTIME)
    }

    package init(offsetMilliseconds: Int64) { self.offsetMilliseconds = offsetMilliseconds }

    package func now() -> Int64 { Self.milliseconds(CLOCK_BOOTTIME) &+ offsetMilliseconds }

    static func milliseconds(_ clock: clockid_t) -> Int64 {
        var time = timespec()
        clock_gettime(clock, &time)
        return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
    }
}

/// Milliseconds of the monotonic clock, which limits waits.
func monotonicMilliseconds() -> Int64 { StoreClock.milliseconds(CLOCK_MONOTONIC) }
