import CBenchSystem
import Glibc
import Synchronization

/// What the clients, the faults and the watchdog have in common.
final class Shared: Sendable {
    let began = bench_monotonic_nanoseconds()
    let seed: UInt64
    let plans: [CachePlan]
    /// By cache, then by client.
    let keys: [[KeySet]]
    let gates: [Gate]
    let ledger = Ledger()

    /// Nobody asks anything more; who has been answered ends.
    let isEnding = Atomic(false)
    /// Ends everybody at once.
    let isOver = Atomic(false)
    /// The server is going, or gone, and that is meant.
    let isDown = Atomic(true)
    /// Raised when a server is there again.
    let generation = Atomic<Int>(0)
    /// When any client had an answer last, and each one.
    let lastAnswer: [Marker]

    init(seed: UInt64, plans: [CachePlan], clients: Int) {
        self.seed = seed
        self.plans = plans
        var first: UInt32 = 0x10_0000
        keys = plans.map { plan in
            (0..<clients).map { _ in
                defer { first += UInt32(plan.keyCount) }
                return KeySet(count: plan.keyCount, firstKey: first)
            }
        }
        gates = plans.map { _ in Gate() }
        lastAnswer = (0..<clients).map { _ in Marker() }
    }

    @inline(__always)
    var now: Moment { Moment(truncatingIfNeeded: (bench_monotonic_nanoseconds() &- began) / 1_000_000) }
}

/// Marks of one client that others read and set.
final class Marker: Sendable {
    let answeredAt = Atomic<UInt32>(0)
    /// Whether it waits for an answer.
    let isWaiting = Atomic(false)
    let hasEnded = Atomic(false)
    /// What it shall do to a connection of its own: 0 nothing, 1 reset it, 2 close it half, 3 read slowly.
    let mischief = Atomic<Int>(0)
}

/// Lets many clients use a cache, or one flush it. Nobody waits inside: who cannot enter comes again.
///
/// It also counts how often the cache came up empty and how often its file was damaged.
final class Gate: Sendable {
    private let users = Atomic<Int>(0)
    private let isFlushing = Atomic(false)
    let emptied = Atomic<Int>(0)
    let damaged = Atomic<Int>(0)

    func enter() -> Bool {
        guard !isFlushing.load(ordering: .sequentiallyConsistent) else { return false }
        users.add(1, ordering: .sequentiallyConsistent)
        guard isFlushing.load(ordering: .sequentiallyConsistent) else { return true }
        leave()
        return false
    }
    func leave() { users.subtract(1, ordering: .sequentiallyConsistent) }

    /// Keeps others out; false when another is about to flush.
    func beginFlush() -> Bool {
        isFlushing.compareExchange(expected: false, desired: true, ordering: .sequentiallyConsistent)
            .exchanged
    }
    var isEmpty: Bool { users.load(ordering: .sequentiallyConsistent) == 0 }
    func endFlush() { isFlushing.store(false, ordering: .sequentiallyConsistent) }
}

/// What was counted, and the first things that were wrong.
final class Ledger: Sendable {
    let operations = Atomic<Int>(0)
    let hits = Atomic<Int>(0)
    let misses = Atomic<Int>(0)
    let changes = Atomic<Int>(0)
    let refused = Atomic<Int>(0)
    let wrong = Atomic<Int>(0)
    let lost = Atomic<Int>(0)
    let flushes = Atomic<Int>(0)
    let rechecked = Atomic<Int>(0)
    /// A connection ended, or the server did, and nobody had asked for it; or it does not start or end.
    let broken = Atomic<Int>(0)
    private let printed = Atomic<Int>(0)

    var isClean: Bool { sum(wrong) + sum(lost) + sum(broken) == 0 }

    func sum(_ counter: borrowing Atomic<Int>) -> Int { counter.load(ordering: .relaxed) }

    /// Tells the first few in full.
    func tell(_ text: String) {
        guard printed.add(1, ordering: .relaxed).oldValue < 20 else { return }
        say(text)
    }
}

/// A line on standard error.
func say(_ text: String) {
    let line = Array((text + "\n").utf8)
    _ = line.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
}
