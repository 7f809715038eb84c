import CBenchSystem
import Glibc
import Synchronization

/// The state that the clients, the faults and the watchdog share.
final class Shared: Sendable {
    let began = bench_monotonic_nanoseconds()
    let seed: UInt64
    let plans: [CachePlan]
    /// By cache, then by client.
    let keys: [[KeySet]]
    let gates: [Gate]
    let ledger = Ledger()

    /// Clients send no more requests, and end when all their answers have come.
    let isEnding = Atomic(false)
    /// Ends all clients at once.
    let isOver = Atomic(false)
    /// A fault is ending the server, or has ended it.
    let isDown = Atomic(true)
    /// Increased when a server has started.
    let generation = Atomic<Int>(0)
    /// For each client, when it last got an answer.
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

/// The marks of one client that other threads read and set.
final class Marker: Sendable {
    let answeredAt = Atomic<UInt32>(0)
    /// Whether the client waits for an answer.
    let isWaiting = Atomic(false)
    let hasEnded = Atomic(false)
    /// The next action of the client on one of its connections: 0 none, 1 reset, 2 close one half, 3 read slowly,
    /// 4 flush the cache.
    let mischief = Atomic<Int>(0)
}

/// Lets many clients use a cache, or one client flush it. A client that cannot enter does not wait, but tries again.
///
/// The gate also counts how often the cache began empty and how often its file was damaged.
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

    /// Keeps other clients out. False if another client is about to flush.
    func beginFlush() -> Bool {
        isFlushing.compareExchange(expected: false, desired: true, ordering: .sequentiallyConsistent)
            .exchanged
    }
    var isEmpty: Bool { users.load(ordering: .sequentiallyConsistent) == 0 }
    func endFlush() { isFlushing.store(false, ordering: .sequentiallyConsistent) }
}

/// The counters, and the first reports.
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
    /// Connections and servers that ended unasked, and failed starts and ends.
    let broken = Atomic<Int>(0)
    private let printed = Atomic<Int>(0)

    var isClean: Bool { sum(wrong) + sum(lost) + sum(broken) == 0 }

    func sum(_ counter: borrowing Atomic<Int>) -> Int { counter.load(ordering: .relaxed) }

    /// Prints the first reports in full.
    func tell(_ text: String) {
        guard printed.add(1, ordering: .relaxed).oldValue < 20 else { return }
        say(text)
    }
}

/// Writes a line to standard error.
func say(_ text: String) {
    let line = Array((text + "\n").utf8)
    _ = line.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
}
