import CLibevent
import Glibc

/// One thread's event loop: a libevent base without locks.
///
/// It is created, turned and freed on one thread and is not `Sendable`. Other threads reach it
/// through a `Wakeup` only. libevent 2.1 has no hook before it waits, so the owner turns the loop
/// itself and does its once-per-turn work (flushing replies, reading the clock) between turns.
package final class EventLoop {
    let base: OpaquePointer
    private let thread = pthread_self()

    /// Creates the loop of the calling thread.
    package init() throws(EventLoopError) {
        guard let config = event_config_new() else { throw .loopUnavailable }
        defer { event_config_free(config) }
        // No locks: one thread uses the base. The changelist gathers the interest changes of a turn,
        // so that turning write interest on and off again costs no epoll_ctl; its one condition, no
        // descriptor duplicated by dup, holds here. The precise timer stays off: milliseconds do.
        let flags = EVENT_BASE_FLAG_NOLOCK.rawValue | EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST.rawValue
        guard event_config_set_flag(config, Int32(flags)) == 0,
            let base = event_base_new_with_config(config)
        else { throw .loopUnavailable }
        self.base = base
    }

    deinit {
        event_base_free(base)
    }

    /// Runs the handlers of what is ready. With `block` it waits until at least one has run;
    /// without, it looks once and returns.
    ///
    /// A loop that watches nothing returns at once: a server always has a `Wakeup`.
    package func turn(block: Bool) {
        assert(pthread_equal(thread, pthread_self()) != 0, "an event loop is turned by its own thread")
        let flags = block ? EVLOOP_ONCE : EVLOOP_ONCE | EVLOOP_NONBLOCK
        let result = event_base_loop(base, flags)
        // -1 means that the epoll descriptor itself is broken: nothing could ever be served again.
        precondition(result >= 0, "the event loop's polling descriptor failed")
    }
}

/// The event library at hand.
package enum EventLibrary {
    /// Its version, as `stats` shows it.
    package static var version: String { String(cString: event_get_version()) }
}
