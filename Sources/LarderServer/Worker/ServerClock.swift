import CLarderSystem
import Synchronization

/// The time in absolute milliseconds: the clock since the machine's boot, set by the wall clock once at the start. A
/// later change of the wall clock ends no item early or late. Time in suspend counts.
package struct ServerClock: Sendable {
    let offsetMilliseconds: Int64
    /// Absolute milliseconds at the server's start.
    let startMilliseconds: Int64
    /// Unmanaged, so that to look at the clock counts no references: the server's state keeps it.
    private var shift: Unmanaged<ClockShift>?

    package init() { self.init(startMilliseconds: larder_milliseconds(true)) }

    /// A clock that shows this time now.
    init(startMilliseconds: Int64) {
        offsetMilliseconds = startMilliseconds - larder_milliseconds(false)
        self.startMilliseconds = startMilliseconds
    }

    /// The clock of another process of this machine, as it goes on.
    init(offsetMilliseconds: Int64) {
        self.offsetMilliseconds = offsetMilliseconds
        startMilliseconds = larder_milliseconds(false) + offsetMilliseconds
    }

    /// The same clock, to be moved by `shift`, which must outlive it.
    func shifted(by shift: ClockShift?) -> ServerClock {
        var clock = self
        clock.shift = shift.map { Unmanaged.passUnretained($0) }
        return clock
    }

    @inline(__always)
    func now() -> Int64 {
        let time = larder_milliseconds(false) &+ offsetMilliseconds
        guard let shift else { return time }
        return shift._withUnsafeGuaranteedRef { $0.apply(to: time) }
    }
}

/// Moves the clock of a server under test.
final class ClockShift: Sendable {
    private let milliseconds = Atomic<Int64>(0)
    /// What the clock shows while it stands still; 0: it goes.
    private let pausedAt = Atomic<Int64>(0)
    /// How many milliseconds each reading advances the clock.
    private let millisecondsPerLook = Atomic<Int64>(0)

    func move(milliseconds change: Int64) {
        milliseconds.add(change, ordering: .relaxed)
        if pausedAt.load(ordering: .relaxed) != 0 { pausedAt.add(change, ordering: .relaxed) }
    }

    /// Stops the clock at what it shows.
    func pause(at time: Int64) {
        _ = pausedAt.compareExchange(expected: 0, desired: time, ordering: .relaxed)
    }

    /// Advances the clock by this after each reading.
    func move(millisecondsPerLook change: Int64) { millisecondsPerLook.store(change, ordering: .relaxed) }

    /// The time of a paused clock.
    var shown: Int64 { pausedAt.load(ordering: .relaxed) }

    func resume() { pausedAt.store(0, ordering: .relaxed) }

    func apply(to time: Int64) -> Int64 {
        let paused = pausedAt.load(ordering: .relaxed)
        let change = millisecondsPerLook.load(ordering: .relaxed)
        if change != 0 { move(milliseconds: change) }
        return paused != 0 ? paused : time &+ milliseconds.load(ordering: .relaxed)
    }
}
