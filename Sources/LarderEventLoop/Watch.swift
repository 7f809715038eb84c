import CLibevent

/// Readiness that a watch asks for and that its handler is told.
package struct Interest: OptionSet, Sendable {
    package let rawValue: Int16

    package init(rawValue: Int16) {
        self.rawValue = rawValue
    }

    /// The descriptor has bytes, a peer that waits to be accepted, an end of stream or an error.
    package static let read = Interest(rawValue: Int16(EV_READ))
    /// The descriptor takes bytes.
    package static let write = Interest(rawValue: Int16(EV_WRITE))
    package static let both: Interest = [.read, .write]
}

/// Called with the descriptor, the `Interest` bits that came true and the context given to `assign`.
/// A C function pointer, not a closure: calling it touches no reference count.
package typealias WatchHandler =
    @convention(c) (_ fd: Int32, _ ready: Int16, _ context: UnsafeMutableRawPointer?) -> Void

/// The memory of one watch, embedded by its owner (a connection) so that an event costs no allocation.
///
/// The owner lives behind an `UnsafeMutablePointer`: libevent keeps the address while the watch is added.
package struct WatchStorage {
    var native = event()

    package init() {}
}

/// A readiness watch on a descriptor: the operations on a `WatchStorage`. It owns nothing; make one
/// from the storage's address wherever it is needed.
package struct Watch {
    private let native: UnsafeMutablePointer<event>

    /// The watch that lives at `storage`; the address must stay the same while the watch is added.
    package init(_ storage: UnsafeMutablePointer<WatchStorage>) {
        // SAFETY: `native` is the first and only member of WatchStorage, so both share one address.
        native = UnsafeMutableRawPointer(storage).assumingMemoryBound(to: event.self)
    }

    /// Fills the storage. Call it once before `add`, and never while added.
    ///
    /// A persistent watch fires until removed; one that is not must be added again after each event.
    package func assign(
        to loop: EventLoop, fd: Int32, interest: Interest, persistent: Bool = true,
        handler: @escaping WatchHandler, context: UnsafeMutableRawPointer?
    ) {
        let flags = interest.rawValue | (persistent ? Int16(EV_PERSIST) : 0)
        // SAFETY: the storage is not added, so libevent holds no link into the bytes overwritten here.
        let result = event_assign(native, loop.base, fd, flags, handler, context)
        precondition(result == 0, "a watch asks for readiness only")
    }

    /// Starts watching. False: the system refused, and the descriptor is best closed.
    @discardableResult
    package func add() -> Bool {
        // SAFETY: the storage was assigned and outlives the watch: its owner removes it before freeing it.
        event_add(native, nil) == 0
    }

    /// Stops watching. Harmless when not added; required before the storage is freed or the
    /// descriptor is closed.
    package func remove() {
        // SAFETY: the storage was assigned; after this call libevent holds no pointer to it.
        event_del(native)
    }

    /// Changes what an assigned watch waits for and leaves it added; with neither it is removed, and
    /// a later call adds it again. Asking for what is already watched costs nothing.
    @discardableResult
    package func wants(read: Bool, write: Bool) -> Bool {
        var interest: Interest = []
        if read { interest.insert(.read) }
        if write { interest.insert(.write) }
        if interest.isEmpty {
            remove()
            return true
        }
        // SAFETY: the storage was assigned; only its own thread reads or writes it.
        let old = native.pointee
        let directions = Interest.both.rawValue
        let events = (old.ev_events & ~directions) | interest.rawValue
        if events == old.ev_events, isAdded { return true }
        remove()
        let result = event_assign(
            native, old.ev_base, old.ev_fd, events, old.ev_evcallback.evcb_cb_union.evcb_callback,
            old.ev_evcallback.evcb_arg)
        return result == 0 && add()
    }

    /// Whether the watch is added.
    package var isAdded: Bool {
        // SAFETY: the storage was assigned.
        event_pending(native, Interest.both.rawValue, nil) != 0
    }
}
