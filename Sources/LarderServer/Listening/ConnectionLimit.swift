import LarderEventLoop
import Synchronization

/// Counts the clients, exactly: a place is taken at accept and given back at close. Also the figures
/// of `stats` that come from accepting.
///
/// The acceptor takes places; any thread gives them back. That only one thread takes them is what
/// lets it rely on `isFull` being false until it takes the next.
package final class ConnectionLimit: Sendable {
    private let maximumCount: Atomic<Int>
    private let currentCount = Atomic(0)
    private let totalCount = Atomic(0)
    private let rejectedCount = Atomic(0)
    private let disabledCount = Atomic(0)
    private let disabledMicroseconds = Atomic(0)
    private let disabled = Atomic(false)
    private let waitsForRelease = Atomic(false)
    private let waker = Mutex<Waker?>(nil)

    /// Room for `maximum` clients.
    package init(maximum: Int) {
        precondition(maximum > 0, "a server has room for a client")
        maximumCount = Atomic(maximum)
    }

    /// `-c`
    package var maximum: Int { maximumCount.load(ordering: .sequentiallyConsistent) }

    /// Changes `-c`. Connected clients stay.
    package func setMaximum(_ maximum: Int) {
        precondition(maximum > 0, "a server has room for a client")
        maximumCount.store(maximum, ordering: .sequentiallyConsistent)
        // An acceptor may wait for the room that there is now.
        waker.withLock { $0 }?.wake()
    }

    /// Takes a place. False: there is none.
    package func tryAcquire() -> Bool {
        var count = currentCount.load(ordering: .relaxed)
        while count < maximum {
            let result = currentCount.weakCompareExchange(
                expected: count, desired: count + 1, ordering: .relaxed)
            if result.exchanged {
                totalCount.add(1, ordering: .relaxed)
                return true
            }
            count = result.original
        }
        return false
    }

    /// Gives a place back, once for each that was taken, after the descriptor is closed.
    package func release() {
        // This and `waitForRelease` each write one variable and then read the other's. Sequentially
        // consistent, one of the two sees the other, so that a waiting acceptor is never forgotten.
        let former = currentCount.subtract(1, ordering: .sequentiallyConsistent).oldValue
        assert(former > 0, "a place is given back once")
        if waitsForRelease.load(ordering: .sequentiallyConsistent) {
            waker.withLock { $0 }?.wake()
        }
    }

    /// Whether `tryAcquire` would fail.
    package var isFull: Bool { currentCount.load(ordering: .sequentiallyConsistent) >= maximum }

    /// `curr_connections`: clients now.
    package var current: Int { currentCount.load(ordering: .relaxed) }
    /// `total_connections`: clients since the start.
    package var total: Int { totalCount.load(ordering: .relaxed) }
    /// `rejected_connections`: clients refused because there was no place.
    package var rejected: Int { rejectedCount.load(ordering: .relaxed) }
    /// `listen_disabled_num`: times that accepting had to pause.
    package var listenDisabledCount: Int { disabledCount.load(ordering: .relaxed) }
    /// `time_in_listen_disabled_us`, of the pauses that are over.
    package var listenDisabledMicroseconds: Int { disabledMicroseconds.load(ordering: .relaxed) }
    /// `accepting_conns`
    package var isAccepting: Bool { !disabled.load(ordering: .relaxed) }

    /// `stats reset`: the counters, not the clients there are.
    package func resetCounters() {
        totalCount.store(0, ordering: .relaxed)
        rejectedCount.store(0, ordering: .relaxed)
        disabledCount.store(0, ordering: .relaxed)
        disabledMicroseconds.store(0, ordering: .relaxed)
    }

    // MARK: - For the acceptor

    func recordRejection() {
        rejectedCount.add(1, ordering: .relaxed)
    }

    /// A pause that follows a vain attempt to end the last one is not counted again.
    func recordPause(isNew: Bool) {
        disabled.store(true, ordering: .relaxed)
        if isNew { disabledCount.add(1, ordering: .relaxed) }
    }

    func recordResumption(afterMicroseconds elapsed: Int) {
        disabled.store(false, ordering: .relaxed)
        disabledMicroseconds.add(elapsed, ordering: .relaxed)
    }

    /// Who is woken when a place becomes free during `waitForRelease`.
    func setWaker(_ waker: Waker?) {
        self.waker.withLock { $0 = waker }
    }

    /// True: there is no place, and the next release wakes the acceptor. False: there is one already.
    func waitForRelease() -> Bool {
        waitsForRelease.store(true, ordering: .sequentiallyConsistent)
        if isFull { return true }
        stopWaiting()
        return false
    }

    func stopWaiting() {
        waitsForRelease.store(false, ordering: .relaxed)
    }
}
