import CLarderSystem
import Glibc
import Synchronization

/// How long requests took, by command, from the beginning of the turn in which they were read to the first bytes of
/// their answer: all steps of one turn in `interval`. One worker's, written by it alone, read by the admin listener.
///
/// A trivial value. SAFETY: `@unchecked Sendable` because the cells are atomics, and live as long as the server.
struct CommandDurations: @unchecked Sendable {
    enum Command: Int, CaseIterable {
        case get, set, delete, incr, decr, touch, other
    }

    /// Of so many turns one is timed.
    static let interval = 64
    /// The buckets' upper bounds, in nanoseconds; one bucket more is for what is longer. Where most requests are, a bound
    /// is at most 14 % above the one before, which limits the error of a quantile.
    static let bounds: [Int64] =
        [5_000, 6_300, 8_000, 10_000, 12_500, 16_000]
        + decade.suffix(14).map { $0 * 100 } + decade.map { $0 * 1_000 } + decade.map { $0 * 10_000 }
        + [10_000_000, 20_000_000, 50_000_000, 100_000_000, 1_000_000_000]

    private static let decade: [Int64] = [
        100, 112, 125, 140, 160, 180, 200, 224, 250, 280, 315, 355, 400, 450, 500, 560, 630, 710, 800, 900,
    ]
    private static let sumPlace = bounds.count + 1
    private static let cellsOfCommand = bounds.count + 2

    private let cells: UnsafeMutablePointer<Atomic<Int64>>

    init() {
        let count = Self.cellsOfCommand * Command.allCases.count
        cells = .allocate(capacity: count)
        for cell in 0..<count { (cells + cell).initialize(to: Atomic(0)) }
    }

    /// Call it once, when no thread uses them any more.
    func deallocate() { cells.deallocate() }

    /// Called by the owning worker only, so that no locked instruction is needed.
    func record(_ command: Command, nanoseconds: Int64, steps: Int64) {
        add(steps, to: Self.bucket(nanoseconds), of: command)
        add(nanoseconds &* steps, to: Self.sumPlace, of: command)
    }

    /// The bucket of a duration, by its place in `bounds`.
    static func bucket(_ nanoseconds: Int64) -> Int {
        var first = 0
        var end = bounds.count
        while first < end {
            let middle = (first + end) / 2
            if nanoseconds <= bounds[middle] { end = middle } else { first = middle + 1 }
        }
        return first
    }

    /// How many took up to each bound, and longer than the last; not summed up.
    func counts(_ command: Command) -> [Int64] { (0...Self.bounds.count).map { value($0, of: command) } }
    /// How long they took together, in nanoseconds.
    func sum(_ command: Command) -> Int64 { value(Self.sumPlace, of: command) }

    // SAFETY: places are less than `cellsOfCommand`, and `init` allocated so many for each command.
    private func add(_ amount: Int64, to place: Int, of command: Command) {
        let cell = cells + (command.rawValue * Self.cellsOfCommand + place)
        cell.pointee.store(cell.pointee.load(ordering: .relaxed) &+ amount, ordering: .relaxed)
    }

    private func value(_ place: Int, of command: Command) -> Int64 {
        // SAFETY: as above.
        (cells + (command.rawValue * Self.cellsOfCommand + place)).pointee.load(ordering: .relaxed)
    }

    /// Nanoseconds of the monotonic clock.
    static func now() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec)
    }
}

/// Steps of a client that are timed, until their answer is sent.
struct TimedSteps {
    /// When the turn began in which the first of them was read, in nanoseconds of the monotonic clock; 0: there are none.
    private(set) var since: Int64 = 0
    /// How many, by the number of the command.
    private(set) var counts = SIMD8<UInt16>()

    mutating func add(_ command: CommandDurations.Command, since began: Int64) {
        if since == 0 { since = began }
        counts[command.rawValue] = counts[command.rawValue] &+ 1
    }
}

/// What a worker has counted before a step: the difference tells the command.
struct CountedCommands {
    private let counters: Counters
    private let counts: SIMD8<Int64>

    init(_ counters: Counters) {
        self.counters = counters
        var counts = SIMD8<Int64>()
        func note(_ command: CommandDurations.Command, _ first: Counter, _ second: Counter? = nil) {
            counts[command.rawValue] = counters.value(first) &+ (second.map { counters.value($0) } ?? 0)
        }
        note(.get, .getHits, .getMisses)
        note(.set, .cmdSet)
        note(.delete, .deleteHits, .deleteMisses)
        note(.incr, .incrHits, .incrMisses)
        note(.decr, .decrHits, .decrMisses)
        note(.touch, .touchHits, .touchMisses)
        self.counts = counts
    }

    /// The command that was carried out since. Another cache's requests, which have counters of their own, count as
    /// other commands.
    var command: CommandDurations.Command {
        let after = CountedCommands(counters).counts
        return CommandDurations.Command.allCases.first { counts[$0.rawValue] != after[$0.rawValue] } ?? .other
    }
}
