import Glibc
import LarderStore
import LarderTesting

/// How long a slice of the upkeep takes, in processor time of its thread: what a request that comes in the middle
/// of one has to wait, however busy the machine is.
struct UpkeepSlices: Sendable {
    private(set) var count = 0
    private(set) var longestNanoseconds: UInt64 = 0
    /// Items that expired, and that were moved to a finer time bucket.
    private(set) var expired: Int64 = 0
    private(set) var moved: Int64 = 0
    private var nanoseconds: [UInt64] = []

    /// The time that this share of the slices did not exceed.
    func nanoseconds(percent: Double) -> UInt64 {
        let sorted = nanoseconds.sorted()
        return sorted.isEmpty ? 0 : sorted[min(sorted.count - 1, Int(Double(sorted.count) * percent / 100))]
    }

    /// Stores items that expire after 2 seconds to 2 hours, a third of them in the same second, and lets the time
    /// pass until the last has gone.
    static func run(_ configuration: StoreConfiguration, items: Int, valueBytes: ClosedRange<Int>)
        throws -> Self
    {
        let store = try Store(configuration)
        let session = try store.makeSession()
        var random = SeededRandom(seed: 1)
        let value = [UInt8](repeating: 0x61, count: valueBytes.upperBound)
        let start: Int64 = 1_700_000_000_000
        let longest: Int64 = 7_200_000
        for number in 0..<items {
            let span = UInt64(valueBytes.upperBound - valueBytes.lowerBound + 1)
            let length = valueBytes.lowerBound + Int(random.next(below: span))
            let lifetime =
                number % 3 == 0 ? longest / 2 : 2000 + Int64(random.next(below: UInt64(longest - 2000)))
            _ = session.set(
                "expiring-\(number)", to: Array(value[..<length]), expiry: start + lifetime, now: start)
        }
        var slices = Self()
        var now = start
        while now < start + longest + 60_000 {
            // A turn begins with a slice, if one is due.
            while session.isUpkeepDue(now: now) {
                slices.measure { session.begin(now: now) }
                session.end()
            }
            now += 125
        }
        slices.expired = store.statistics.counters.expired
        slices.moved = store.statistics.counters.itemsMoved
        return slices
    }

    private mutating func measure(_ slice: () -> Void) {
        let before = Self.threadNanoseconds()
        slice()
        let spent = Self.threadNanoseconds() - before
        count += 1
        longestNanoseconds = max(longestNanoseconds, spent)
        nanoseconds.append(spent)
    }

    private static func threadNanoseconds() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}
