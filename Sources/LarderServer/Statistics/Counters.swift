import Synchronization

/// What the workers count, with memcached's names where `stats` has them.
enum Counter: Int, CaseIterable {
    case cmdGet, cmdSet, cmdFlush, cmdTouch, cmdMeta
    case getHits, getMisses, getExpired
    case deleteHits, deleteMisses
    case incrHits, incrMisses, decrHits, decrMisses
    case casHits, casMisses, casBadval
    case touchHits, touchMisses
    case storeTooLarge, storeNoMemory
    case authCmds, authErrors
    case tlsNewSessions, tlsHandshakeErrors, tlsProtocolErrors
    case udpRequestsDropped, udpRepliesWithheld
    case idleKicks, connYields
    case bytesRead, bytesWritten
    case responseOutOfMemory, readBufferOutOfMemory
}

/// One worker's counters: written by it alone, read by whoever sums them up.
///
/// A trivial value. SAFETY: `@unchecked Sendable` because the cells are atomics, and live as long
/// as the server.
struct Counters: @unchecked Sendable {
    private let cells: UnsafeMutablePointer<Atomic<Int64>>

    init() {
        cells = .allocate(capacity: Counter.allCases.count)
        for counter in Counter.allCases { (cells + counter.rawValue).initialize(to: Atomic(0)) }
    }

    /// Call it once, when no thread uses the counters any more.
    func deallocate() { cells.deallocate() }

    /// Adds to a counter. Called by the owning worker only, so that no locked instruction is needed.
    @inline(__always)
    func add(_ counter: Counter, _ amount: Int64 = 1) {
        let cell = cells + counter.rawValue
        cell.pointee.store(cell.pointee.load(ordering: .relaxed) &+ amount, ordering: .relaxed)
    }

    func value(_ counter: Counter) -> Int64 { (cells + counter.rawValue).pointee.load(ordering: .relaxed) }
}
