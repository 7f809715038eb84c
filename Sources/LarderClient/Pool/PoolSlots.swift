import Synchronization

/// The places of a pool: each is with the pool, or with one borrower. Who finds none waits, first come, first served.
final class PoolSlots<Resource: Sendable>: Sendable {
    /// A place: with a resource in it, or with room for one.
    typealias Slot = Resource?

    /// Which of the free ones goes first.
    enum Order: Sendable {
        /// The one that has been free longest: all are used alike.
        case oldest
        /// The one that came back last: those that are not needed stay as they are.
        case latest
    }

    private typealias Waiter = CheckedContinuation<Slot, any Error>

    private enum Step {
        case lend(Waiter)
        case keep, refuse
    }

    private struct State {
        /// The last one given back is at the end.
        var free: [Slot]
        /// By the number of their arrival.
        var waiters: [UInt64: Waiter] = [:]
        /// Arrivals from `queueStart` on, those who left among them.
        var queue: [UInt64] = []
        var queueStart = 0
        var arrivalCount: UInt64 = 0
        var isClosed = false

        mutating func nextWaiter() -> Waiter? {
            while queueStart < queue.count {
                let arrival = queue[queueStart]
                queueStart += 1
                if let waiter = waiters.removeValue(forKey: arrival) { return waiter }
            }
            return nil
        }

        /// Forgets those who were served, or left, when they are most of the queue.
        mutating func tidy() {
            guard queue.count > 2 * waiters.count + 64 else { return }
            queue = queue[queueStart...].filter { waiters[$0] != nil }
            queueStart = 0
        }
    }

    private let size: Int
    private let order: Order
    private let state: Mutex<State>

    init(_ slots: [Slot], order: Order) {
        size = slots.count
        self.order = order
        state = Mutex(State(free: slots))
    }

    var freeCount: Int { state.withLock { $0.free.count } }
    var waiterCount: Int { state.withLock { $0.waiters.count } }

    /// How it stands; what is being opened or replaced counts as used.
    var usage: PoolUsage {
        state.withLock { state in
            PoolUsage(
                idleCount: state.free.count { $0 != nil },
                usedCount: state.isClosed ? 0 : size - state.free.count, waiterCount: state.waiters.count)
        }
    }

    func acquire() async throws -> Slot {
        let arrival = state.withLock { state in
            state.arrivalCount &+= 1
            return state.arrivalCount
        }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { waiter in
                if let turn = begin(arrival, waiter) { waiter.resume(with: turn) }
            }
        } onCancel: {
            // Who has a slot already keeps it, and gives it back.
            let waiter = state.withLock { state in
                defer { state.tidy() }
                return state.waiters.removeValue(forKey: arrival)
            }
            waiter?.resume(throwing: CancellationError())
        }
    }

    /// - Returns: nil when the caller has to wait.
    private func begin(_ arrival: UInt64, _ waiter: Waiter) -> Result<Slot, any Error>? {
        state.withLock { state in
            // Whoever was cancelled before this line was not found among the waiters.
            if Task.isCancelled { return .failure(CancellationError()) }
            if state.isClosed { return .failure(MemcacheError(.closed, "the pool was closed")) }
            guard state.free.isEmpty else {
                return .success(order == .oldest ? state.free.removeFirst() : state.free.removeLast())
            }
            state.waiters[arrival] = waiter
            state.queue.append(arrival)
            return nil
        }
    }

    /// - Returns: false when the pool is closed: what is in the slot is the caller's to close.
    func release(_ slot: Slot) -> Bool {
        let step = state.withLock { state -> Step in
            guard !state.isClosed else { return .refuse }
            defer { state.tidy() }
            if let waiter = state.nextWaiter() { return .lend(waiter) }
            assert(state.free.count < size, "a place that was not lent came back")
            // Room for one comes last, where those in use come first.
            if slot == nil, order == .latest {
                state.free.insert(slot, at: 0)
            } else {
                state.free.append(slot)
            }
            return .keep
        }
        switch step {
        case .lend(let waiter): waiter.resume(returning: slot)
        case .keep: break
        case .refuse: return false
        }
        return true
    }

    /// - Returns: what is free; the rest comes back to a pool that is closed.
    func close() -> [Resource] {
        let (free, waiters) = state.withLock { state in
            state.isClosed = true
            defer {
                state.free = []
                state.waiters = [:]
            }
            return (state.free, state.waiters)
        }
        for waiter in waiters.values {
            waiter.resume(throwing: MemcacheError(.closed, "the pool was closed"))
        }
        return free.compactMap { $0 }
    }
}
