import CLarderSystem
import Glibc
import Synchronization

/// How long steps took, by command: one in `interval` is timed. One worker's, written by it alone, read by the admin
/// listener.
///
/// A trivial value. SAFETY: `@unchecked Sendable` because the cells are atomics, and live as long as the server.
struct CommandDurations: @unchecked Sendable {
    enum Command: Int, CaseIterable {
        case get, set, delete, incr, decr, touch, other
    }

    /// Of so many steps one is timed.
    static let interval = 256
    /// The buckets' upper bounds, in nanoseconds; one bucket more is for what is longer.
    static let bounds: [Int64] = [
        500, 1_000, 2_000, 3_000, 5_000, 7_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000,
        5_000_000, 10_000_000, 100_000_000, 1_000_000_000,
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
    func record(_ command: Command, nanoseconds: Int64) {
        let bucket = Self.bounds.firstIndex { nanoseconds <= $0 } ?? Self.bounds.count
        add(1, to: bucket, of: command)
        add(nanoseconds, to: Self.sumPlace, of: command)
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

/// What a worker has counted when a timed step begins: the difference tells the command.
struct CountedCommands {
    private let counters: Counters
    private let before: [Int64]

    private static let commands: [(CommandDurations.Command, [Counter])] = [
        (.get, [.getHits, .getMisses]), (.set, [.cmdSet]), (.delete, [.deleteHits, .deleteMisses]),
        (.incr, [.incrHits, .incrMisses]), (.decr, [.decrHits, .decrMisses]), (.touch, [.touchHits, .touchMisses]),
    ]

    init(_ counters: Counters) {
        self.counters = counters
        before = Self.totals(counters)
    }

    /// Another cache's requests, which have counters of their own, count as other commands.
    var command: CommandDurations.Command {
        let after = Self.totals(counters)
        let place = after.indices.first { after[$0] != before[$0] }
        return place.map { Self.commands[$0].0 } ?? .other
    }

    private static func totals(_ counters: Counters) -> [Int64] {
        commands.map { entry in entry.1.reduce(0) { $0 &+ counters.value($1) } }
    }
}
