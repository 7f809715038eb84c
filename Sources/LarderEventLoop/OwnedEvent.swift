import CLibevent
import Glibc

/// An event with a closure, for the few that a loop has besides its connections: timers, signals and
/// wake-ups. It owns its memory and keeps the loop alive; it ends with its owner.
final class OwnedEvent {
    private let loop: EventLoop
    private let native = UnsafeMutablePointer<event>.allocate(capacity: 1)
    fileprivate let handler: () -> Void

    init(on loop: EventLoop, handler: @escaping () -> Void) {
        self.loop = loop
        self.handler = handler
        native.initialize(to: event())
        fill(fd: -1, flags: 0)
    }

    deinit {
        // SAFETY: assigned in init; once deleted, libevent no longer knows the address that is freed.
        event_del(native)
        native.deallocate()
    }

    /// Takes the event off the loop and gives it another descriptor (or signal) and other flags.
    func assign(fd: Int32, flags: Int32) {
        remove()
        fill(fd: fd, flags: flags)
    }

    private func fill(fd: Int32, flags: Int32) {
        // SAFETY: the event is not added. Unretained, because deinit deletes it before this object goes away.
        let context = Unmanaged.passUnretained(self).toOpaque()
        let result = event_assign(native, loop.base, fd, Int16(flags), runHandler, context)
        precondition(result == 0, "the flags of an event contradict each other")
    }

    func add() -> Bool {
        // SAFETY: assigned in init, freed in deinit only.
        event_add(native, nil) == 0
    }

    func add(afterMilliseconds milliseconds: Int) -> Bool {
        var delay = timeval(tv_sec: milliseconds / 1000, tv_usec: milliseconds % 1000 * 1000)
        // SAFETY: as above; libevent copies the delay.
        return event_add(native, &delay) == 0
    }

    func remove() {
        // SAFETY: as above.
        event_del(native)
    }

    /// Has the handler called once in this turn, behind the handlers that are due.
    func activate() {
        // SAFETY: as above.
        event_active(native, EV_TIMEOUT, 1)
    }
}

/// A function, not a closure literal: a literal written in main-actor code would carry a check
/// that traps on any other thread.
private func runHandler(_ fd: Int32, _ ready: Int16, _ context: UnsafeMutableRawPointer?) {
    guard let context else { return }
    // SAFETY: the context is the OwnedEvent that assigned it and that is alive while its event is added.
    // The local reference keeps it alive when the handler lets go of its owner.
    let event = Unmanaged<OwnedEvent>.fromOpaque(context).takeUnretainedValue()
    event.handler()
}
