import CLarderSystem
import CLibevent
import Glibc

/// Limits for clients of a `OneAnswerServer`.
package struct OneAnswerLimits {
    /// Clients at the same time.
    package var clientsMax = 32
    /// From the accept to the end of the answer.
    package var lifetimeMilliseconds: Int64 = 5_000
    /// While `clientsMax` clients are connected, clients older than this are closed.
    package var graceMilliseconds: Int64 = 100

    package init() {}
}

/// A server that sends each client one answer, without waiting for a request, and closes the connection. The thread of
/// the event loop must own it.
package final class OneAnswerServer {
    private struct Client {
        let buffers: OpaquePointer
        let acceptedMilliseconds: Int64
    }

    private let loop: EventLoop
    private let limits: OneAnswerLimits
    private let answer: () -> [UInt8]
    private var listeners: [OpaquePointer] = []
    /// In the order of their accepts.
    private var clients: [Client] = []
    private var timer: Timer?

    /// How often the ages of the clients are checked.
    private static let tickMilliseconds = 100

    /// Takes over the listening sockets, which do not block.
    package init(
        on loop: EventLoop, listeners fds: [Int32], limits: OneAnswerLimits = OneAnswerLimits(),
        answer: @escaping () -> [UInt8]
    ) throws(EventLoopError) {
        self.loop = loop
        self.limits = limits
        self.answer = answer
        timer = Timer(on: loop) { [unowned self] in tick() }
        for fd in fds { try listen(fd) }
    }

    deinit {
        for listener in listeners { evconnlistener_free(listener) }
        for client in clients { bufferevent_free(client.buffers) }
    }

    private func listen(_ fd: Int32) throws(EventLoopError) {
        // A backlog of 0: the socket listens already.
        let flags = UInt32(LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC)
        guard let listener = evconnlistener_new(loop.base, acceptClient, context, flags, 0, fd) else {
            throw .watchRefused(fd)
        }
        evconnlistener_set_error_cb(listener, acceptFailed)
        listeners.append(listener)
    }

    // SAFETY: unretained, because deinit frees the listeners and the clients before this object goes away.
    private var context: UnsafeMutableRawPointer { Unmanaged.passUnretained(self).toOpaque() }

    // MARK: - Clients

    fileprivate func accept(_ fd: Int32) {
        guard let buffers = bufferevent_socket_new(loop.base, fd, Int32(BEV_OPT_CLOSE_ON_FREE.rawValue)) else {
            close(fd)
            return
        }
        bufferevent_setcb(buffers, nil, clientHasAll, clientFailed, context)
        if clients.isEmpty { timer?.start(afterMilliseconds: Self.tickMilliseconds) }
        clients.append(Client(buffers: buffers, acceptedMilliseconds: larder_milliseconds(false)))
        let bytes = answer()
        guard bufferevent_write(buffers, bytes, bytes.count) == 0 else { return end(buffers) }
        if clients.count >= limits.clientsMax { pause() }
    }

    /// Called when the system has taken the whole answer.
    fileprivate func finish(_ buffers: OpaquePointer) {
        let fd = bufferevent_getfd(buffers)
        // Closing over unread bytes would reset the connection, and the client might lose the answer.
        shutdown(fd, Int32(SHUT_WR))
        withUnsafeTemporaryAllocation(byteCount: 2048, alignment: 1) { bytes in
            _ = recv(fd, bytes.baseAddress, bytes.count, 0)
        }
        end(buffers)
    }

    fileprivate func end(_ buffers: OpaquePointer) {
        clients.removeAll { $0.buffers == buffers }
        bufferevent_free(buffers)
        acceptIfThereIsRoom()
    }

    /// Stops accepting until there is room. The next tick tries again.
    fileprivate func pause() {
        for listener in listeners { evconnlistener_disable(listener) }
        timer?.start(afterMilliseconds: Self.tickMilliseconds)
    }

    private func tick() {
        let now = larder_milliseconds(false)
        let age = clients.count >= limits.clientsMax ? limits.graceMilliseconds : limits.lifetimeMilliseconds
        for client in Array(clients.prefix(while: { now - $0.acceptedMilliseconds >= age })) { end(client.buffers) }
        acceptIfThereIsRoom()
        if !clients.isEmpty { timer?.start(afterMilliseconds: Self.tickMilliseconds) }
    }

    private func acceptIfThereIsRoom() {
        guard clients.count < limits.clientsMax else { return }
        for listener in listeners { evconnlistener_enable(listener) }
    }
}

// Functions, not closure literals: a literal written in main-actor code would trap on another thread.

private func server(_ context: UnsafeMutableRawPointer?) -> OneAnswerServer? {
    // SAFETY: the context is the OneAnswerServer, which frees its listeners and clients before it goes away.
    context.map { Unmanaged<OneAnswerServer>.fromOpaque($0).takeUnretainedValue() }
}

private func acceptClient(
    _ listener: OpaquePointer?, _ fd: Int32, _ address: UnsafeMutablePointer<sockaddr>?, _ length: Int32,
    _ context: UnsafeMutableRawPointer?
) {
    server(context)?.accept(fd)
}

private func clientHasAll(_ buffers: OpaquePointer?, _ context: UnsafeMutableRawPointer?) {
    guard let buffers else { return }
    server(context)?.finish(buffers)
}

private func clientFailed(_ buffers: OpaquePointer?, _ what: Int16, _ context: UnsafeMutableRawPointer?) {
    guard let buffers else { return }
    server(context)?.end(buffers)
}

/// Called when the system refuses a descriptor for a new client.
private func acceptFailed(_ listener: OpaquePointer?, _ context: UnsafeMutableRawPointer?) {
    server(context)?.pause()
}
