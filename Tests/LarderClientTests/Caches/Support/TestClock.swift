import LarderClient
import Synchronization

/// A clock that stands still until it is moved. Whoever sleeps is woken when the time has come, and the time
/// comes at once when everybody sleeps: `advances` says so.
final class TestClock: Sendable {
    private let milliseconds: Mutex<Int64>

    init(_ start: Int64 = 1_700_000_000_000) { milliseconds = Mutex(start) }

    var now: Int64 { milliseconds.withLock { $0 } }

    func advance(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        milliseconds.withLock { $0 += seconds * 1000 + attoseconds / 1_000_000_000_000_000 }
    }

    /// What caches are given. A sleep moves the clock on and lets others run.
    var cacheClock: CacheClock {
        CacheClock(
            now: { self.now },
            sleep: { duration in
                try Task.checkCancellation()
                self.advance(duration)
                await Task.yield()
            })
    }
}
