import CLibevent

/// Calls its handler on the loop's thread, outside of any signal handler, after the process got a signal.
/// It ends with the watch, which puts the signal's former action back.
///
/// libevent serves the signals of a process on one loop only: the main thread's.
package final class SignalWatch {
    private let event: OwnedEvent

    /// Watches `signal` from now on.
    package init(on loop: EventLoop, signal: Int32, handler: @escaping () -> Void) throws(EventLoopError) {
        event = OwnedEvent(on: loop, handler: handler)
        event.assign(fd: signal, flags: EV_SIGNAL | EV_PERSIST)
        guard event.add() else { throw .signalRefused(signal) }
    }
}
