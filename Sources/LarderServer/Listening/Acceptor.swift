import CLarderSystem
import Glibc
package import LarderEventLoop

/// Takes over accepted descriptors: the server, which deals them out to its workers.
package protocol ConnectionSink: AnyObject {
    /// Now owns `fd` (non-blocking, closed on exec) and its place in the `ConnectionLimit`; `listener` says what its client is served.
    func adopt(_ fd: Int32, from listener: Listener)
}

/// Accepts clients on the main thread's loop and hands them on; refuses or delays those over the limit.
package final class Acceptor {
    /// Why nothing is accepted at the moment.
    private enum State {
        case accepting
        /// No place; the next client that leaves wakes the loop.
        case waitingForRelease
        /// No descriptor or memory; the timer tries again.
        case waitingForDescriptors
        case stopped
    }

    private static let acceptsPerEventMax = 64
    private static let retryMilliseconds = 10

    private let slots: UnsafeMutableBufferPointer<ListenerSlot>
    private let limit: ConnectionLimit
    private let refusesOverLimit: Bool
    private unowned let sink: any ConnectionSink
    private let loop: EventLoop
    private var state = State.accepting
    private var pausedAtMicroseconds = 0
    /// Set from the first failure for want of descriptors to the next success: reported once.
    private var lacksDescriptors = false
    private var retryTimer: Timer?
    private var wakeup: Wakeup?
    /// Tests put a failing one here.
    var acceptNext: @convention(c) (_ listener: Int32) -> Int32 = larder_accept

    /// Starts to accept from `listeners`, which are the acceptor's from now on. The sink must outlive it.
    package init(
        _ listeners: [Listener], on loop: EventLoop, limit: ConnectionLimit, refusesOverLimit: Bool,
        sink: any ConnectionSink
    ) throws(EventLoopError) {
        self.loop = loop
        self.limit = limit
        self.refusesOverLimit = refusesOverLimit
        self.sink = sink
        slots = .allocate(capacity: listeners.count)
        for (index, listener) in listeners.enumerated() {
            slots.initializeElement(at: index, to: ListenerSlot(listener))
        }
        for slot in slots.indices { assign(slot) }
        retryTimer = Timer(on: loop) { [unowned self] in resume(from: .waitingForDescriptors) }
        let wakeup = try Wakeup(on: loop) { [unowned self] in resume(from: .waitingForRelease) }
        self.wakeup = wakeup
        limit.setWaker(wakeup.waker)
        try addWatches()
    }

    deinit {
        stop()
        slots.deallocate()
    }

    /// Stops for good and closes the listeners. Clients that were handed on are not touched.
    package func stop() {
        if state == .stopped { return }
        removeWatches()
        state = .stopped
        retryTimer?.stop()
        limit.stopWaiting()
        limit.setWaker(nil)
        for slot in slots { close(slot.listener.fd) }
    }

    // MARK: - Accepting

    /// Some of the clients that wait; libevent calls again while there are more, after other events.
    fileprivate func accept(from listener: Listener) {
        for _ in 0..<Self.acceptsPerEventMax {
            if !refusesOverLimit, limit.isFull {
                if limit.waitForRelease() { return pause(for: .waitingForRelease) }
            }
            let fd = acceptNext(listener.fd)
            if fd < 0 {
                if passesOver(errno) { continue }
                return
            }
            lacksDescriptors = false
            if limit.tryAcquire() {
                sink.adopt(fd, from: listener)
            } else {
                refuse(fd)
            }
        }
    }

    /// Whether the next client may be tried after this error. If not, either nobody waits any more or
    /// accepting is paused.
    private func passesOver(_ error: Int32) -> Bool {
        switch error {
        case EAGAIN:
            return false
        case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENOPROTOOPT, EHOSTDOWN, ENONET, EHOSTUNREACH, ENETUNREACH:
            // The client is gone, or its network is: Linux reports that here.
            return true
        default:
            // EMFILE, ENFILE, ENOBUFS, ENOMEM: the client stays in the queue, and the listener readable.
            if !lacksDescriptors {
                StandardError.write("failed to accept a connection: \(describe(error: error))", .warning)
            }
            pause(for: .waitingForDescriptors)
            lacksDescriptors = true
            retryTimer?.start(afterMilliseconds: Self.retryMilliseconds)
            return false
        }
    }

    /// memcached's answer to the client that is one too many.
    private func refuse(_ fd: Int32) {
        limit.recordRejection()
        let answer: StaticString = "ERROR Too many open connections\r\n"
        // SAFETY: the text is a constant, the buffer local; each call gets the right length.
        _ = send(fd, answer.utf8Start, answer.utf8CodeUnitCount, Int32(MSG_NOSIGNAL))
        // Closing over unread bytes would reset the connection, and the client might lose the answer.
        shutdown(fd, Int32(SHUT_WR))
        withUnsafeTemporaryAllocation(byteCount: 2048, alignment: 1) { bytes in
            _ = recv(fd, bytes.baseAddress, bytes.count, 0)
        }
        close(fd)
    }

    // MARK: - Pausing

    private func pause(for reason: State) {
        removeWatches()
        state = reason
        pausedAtMicroseconds = monotonicMicroseconds()
        limit.recordPause(isNew: !lacksDescriptors)
    }

    private func resume(from reason: State) {
        guard state == reason else { return }
        limit.stopWaiting()
        state = .accepting
        limit.recordResumption(afterMicroseconds: monotonicMicroseconds() - pausedAtMicroseconds)
        for slot in slots.indices where !watch(slot).add() {
            // Not even memory to watch the listeners: try again later.
            pause(for: .waitingForDescriptors)
            retryTimer?.start(afterMilliseconds: Self.retryMilliseconds)
            return
        }
    }

    private func monotonicMicroseconds() -> Int {
        var now = timespec()
        // SAFETY: the call fills the local struct.
        clock_gettime(CLOCK_MONOTONIC, &now)
        return now.tv_sec * 1_000_000 + now.tv_nsec / 1000
    }

    // MARK: - Watches

    private func assign(_ slot: Int) {
        slots[slot].acceptor = Unmanaged.passUnretained(self)
        watch(slot).assign(
            to: loop, fd: slots[slot].listener.fd, interest: .read, handler: acceptClients,
            context: slots.baseAddress?.advanced(by: slot))
    }

    private func addWatches() throws(EventLoopError) {
        for slot in slots.indices where !watch(slot).add() {
            throw .watchRefused(slots[slot].listener.fd)
        }
    }

    private func removeWatches() {
        for slot in slots.indices { watch(slot).remove() }
    }

    private func watch(_ slot: Int) -> Watch {
        // SAFETY: the slots are allocated in init, freed in deinit and never move.
        let storage = (slots.baseAddress! + slot).pointer(to: \.watch)!
        return Watch(storage)
    }
}

/// A listener and its watch, at a fixed address.
private struct ListenerSlot {
    var watch = WatchStorage()
    let listener: Listener
    var acceptor: Unmanaged<Acceptor>?

    init(_ listener: Listener) {
        self.listener = listener
    }
}

private func acceptClients(_ fd: Int32, _ ready: Int16, _ context: UnsafeMutableRawPointer?) {
    // SAFETY: the context is the slot; the acceptor takes its watch off the loop before either is freed.
    guard let slot = context?.assumingMemoryBound(to: ListenerSlot.self).pointee else { return }
    slot.acceptor?.takeUnretainedValue().accept(from: slot.listener)
}
