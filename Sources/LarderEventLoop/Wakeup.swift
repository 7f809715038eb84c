import CLarderSystem
import CLibevent
import Glibc
import Synchronization

/// Lets other threads call a handler on the loop's thread. Wakes that come before the handler has
/// run are one call: the handler looks for all there is to do.
package final class Wakeup {
    /// The end for the other threads.
    package let waker: Waker
    private let event: OwnedEvent

    /// Watches from now on, until dropped. Wakers may outlive it; theirs are then without effect.
    package init(on loop: EventLoop, handler: @escaping () -> Void) throws(EventLoopError) {
        let fd = larder_eventfd()
        guard fd >= 0 else { throw .wakeupUnavailable(errno) }
        let waker = Waker(fd: fd)
        self.waker = waker
        event = OwnedEvent(on: loop) {
            waker.reset()
            handler()
        }
        event.assign(fd: fd, flags: EV_READ | EV_PERSIST)
        guard event.add() else { throw .watchRefused(fd) }
    }
}

/// Wakes a loop from any thread.
package final class Waker: Sendable {
    // The descriptor closes with the last holder, so a late wake never writes to a reused number.
    private let fd: Int32
    private let isSignalled = Atomic(false)

    fileprivate init(fd: Int32) {
        self.fd = fd
    }

    deinit {
        close(fd)
    }

    /// Makes the loop call its handler soon. What the caller wrote before is visible to the handler.
    /// Costs a system call only when no wake is under way.
    package func wake() {
        if isSignalled.exchange(true, ordering: .acquiringAndReleasing) { return }
        var one: UInt64 = 1
        // It fails only when the counter is full, and then the descriptor is readable already.
        _ = write(fd, &one, MemoryLayout<UInt64>.size)
    }

    /// Before the handler looks for work: a wake from here on signals again. The exchange, rather than
    /// a store, takes over what the wakers wrote before theirs.
    fileprivate func reset() {
        var count: UInt64 = 0
        _ = read(fd, &count, MemoryLayout<UInt64>.size)
        _ = isSignalled.exchange(false, ordering: .acquiringAndReleasing)
    }
}
