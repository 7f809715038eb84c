import CLibevent

/// Calls its handler on the loop's thread after a delay, once or again and again, until stopped or dropped.
package final class Timer {
    private let event: OwnedEvent

    /// A stopped timer.
    package init(on loop: EventLoop, handler: @escaping () -> Void) {
        event = OwnedEvent(on: loop, handler: handler)
    }

    /// Starts or restarts it. One that repeats waits the same delay before each call.
    package func start(afterMilliseconds delay: Int, repeats: Bool = false) {
        precondition(delay >= 0, "a timer cannot fire in the past")
        event.assign(fd: -1, flags: repeats ? EV_PERSIST : 0)
        let added = event.add(afterMilliseconds: delay)
        precondition(added, "no memory for a timer")
    }

    /// Stops it; harmless when it does not run.
    package func stop() {
        event.remove()
    }
}
