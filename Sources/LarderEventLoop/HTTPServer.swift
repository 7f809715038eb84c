import CLarderSystem
import CLibevent
import Glibc

/// The part of a request that an answer depends on.
package struct HTTPRequest {
    /// The path, as it was sent. Bytes that are not UTF-8 are replaced.
    package var path: String
    /// The text behind `?`, as it was sent; empty if there is none.
    package var query: String

    package init(path: String, query: String = "") {
        self.path = path
        self.query = query
    }
}

/// What comes back for a path.
package struct HTTPAnswer {
    package var status: Int32
    package var contentType: String
    package var body: [UInt8]

    package init(status: Int32 = 200, contentType: String = "text/plain; charset=utf-8", body: [UInt8]) {
        self.status = status
        self.contentType = contentType
        self.body = body
    }
}

/// Limits for clients of an `HTTPServer`.
package struct HTTPLimits {
    /// Clients at the same time.
    package var clientsMax = 32
    /// The first line and the headers together.
    package var headerBytesMax = 8 << 10
    /// The body of a request, which is read and thrown away.
    package var bodyBytesMax = 4 << 10
    /// How long a client may send or read nothing.
    package var silentSecondsMax = 3
    /// From the accept to the end of the answer.
    package var lifetimeMilliseconds: Int64 = 5_000
    /// When all places are taken, clients older than this make room.
    package var graceMilliseconds: Int64 = 100

    package init() {}
}

/// A small HTTP server on a loop of its own thread: libevent's evhttp, for GET and HEAD. Each connection has one request.
///
/// evhttp limits headers, bodies and silence. The number of clients and the time of a whole request are limited here,
/// since libevent 2.1 has no limit for them.
package final class HTTPServer {
    private struct Client {
        let connection: OpaquePointer
        let acceptedMilliseconds: Int64
    }

    private let loop: EventLoop
    private let native: OpaquePointer
    private let limits: HTTPLimits
    private let handler: (HTTPRequest) -> HTTPAnswer
    private var listeners: [OpaquePointer] = []
    /// The oldest first.
    private var clients: [Client] = []
    /// Accepted in this turn; each has one reference of ours.
    private var newcomers: [OpaquePointer] = []
    private var isClosing = false
    private var settling: OwnedEvent?
    private var timer: Timer?

    /// How often the clients' times are looked at.
    private static let tickMilliseconds = 100
    private static let idleTickMilliseconds = 1_000
    /// What evhttp may hand over: all methods, so that the answer to others than GET and HEAD is 405 and not 501.
    private static let everyMethod: UInt16 = 0xffff

    /// Takes over the listening sockets, which do not block.
    package init(
        on loop: EventLoop, listeners fds: [Int32], limits: HTTPLimits = HTTPLimits(),
        handler: @escaping (HTTPRequest) -> HTTPAnswer
    ) throws(EventLoopError) {
        guard let native = evhttp_new(loop.base) else { throw .loopUnavailable }
        self.loop = loop
        self.native = native
        self.limits = limits
        self.handler = handler
        evhttp_set_max_headers_size(native, limits.headerBytesMax)
        evhttp_set_max_body_size(native, limits.bodyBytesMax)
        evhttp_set_timeout(native, Int32(limits.silentSecondsMax))
        evhttp_set_allowed_methods(native, Self.everyMethod)
        settling = OwnedEvent(on: loop) { [unowned self] in settle() }
        timer = Timer(on: loop) { [unowned self] in tick() }
        // SAFETY: unretained, because deinit frees `native` before this object goes away.
        let context = Unmanaged.passUnretained(self).toOpaque()
        evhttp_set_bevcb(native, acceptClient, context)
        evhttp_set_gencb(native, answerRequest, context)
        for fd in fds { try listen(fd) }
        timer?.start(afterMilliseconds: Self.idleTickMilliseconds)
    }

    deinit {
        isClosing = true
        settle()
        // Closes all listeners and clients.
        evhttp_free(native)
    }

    private func listen(_ fd: Int32) throws(EventLoopError) {
        // A backlog of 0: the socket listens already.
        let flags = UInt32(LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC)
        guard let listener = evconnlistener_new(loop.base, nil, nil, flags, 0, fd) else { throw .watchRefused(fd) }
        guard evhttp_bind_listener(native, listener) != nil else {
            evconnlistener_free(listener)
            throw .watchRefused(fd)
        }
        evconnlistener_set_error_cb(listener, acceptFailed)
        listeners.append(listener)
    }

    // MARK: - Clients

    /// A client was accepted; evhttp takes the bufferevent, or makes its own.
    fileprivate func accept() -> OpaquePointer? {
        guard let buffers = bufferevent_socket_new(loop.base, -1, Int32(BEV_OPT_CLOSE_ON_FREE.rawValue)) else {
            return nil
        }
        bufferevent_incref(buffers)
        newcomers.append(buffers)
        settling?.activate()
        if clients.count + newcomers.count >= limits.clientsMax {
            for listener in listeners { evconnlistener_disable(listener) }
        }
        return buffers
    }

    /// Notes the connections that evhttp has made for the newcomers.
    private func settle() {
        let now = larder_milliseconds(false)
        for buffers in newcomers {
            var argument: UnsafeMutableRawPointer?
            // SAFETY: our reference keeps the bufferevent. evhttp sets its connection as the argument of the callbacks;
            // a connection that has ended took the callbacks away, and the argument is then null.
            bufferevent_getcb(buffers, nil, nil, nil, &argument)
            if let argument {
                let connection = OpaquePointer(argument)
                // SAFETY: unretained, because deinit closes all connections before this object goes away.
                evhttp_connection_set_closecb(connection, clientClosed, Unmanaged.passUnretained(self).toOpaque())
                clients.append(Client(connection: connection, acceptedMilliseconds: now))
            }
            bufferevent_decref(buffers)
        }
        newcomers = []
        if !isClosing { timer?.start(afterMilliseconds: Self.tickMilliseconds) }
    }

    fileprivate func forget(_ connection: OpaquePointer) {
        if let place = clients.firstIndex(where: { $0.connection == connection }) { clients.remove(at: place) }
        acceptIfThereIsRoom()
    }

    private func tick() {
        let now = larder_milliseconds(false)
        let isFull = clients.count >= limits.clientsMax
        let age = isFull ? limits.graceMilliseconds : limits.lifetimeMilliseconds
        let late = Array(clients.prefix { now - $0.acceptedMilliseconds >= age })
        // SAFETY: a connection in the list is alive: `forget` takes it out when it ends. No request is held here.
        for client in late { evhttp_connection_free(client.connection) }
        // A listener pauses when all places are taken, and when the system refuses a descriptor.
        acceptIfThereIsRoom()
        timer?.start(afterMilliseconds: clients.isEmpty ? Self.idleTickMilliseconds : Self.tickMilliseconds)
    }

    private func acceptIfThereIsRoom() {
        guard !isClosing, clients.count + newcomers.count < limits.clientsMax else { return }
        for listener in listeners { evconnlistener_enable(listener) }
    }

    // MARK: - Requests

    fileprivate func answer(_ request: OpaquePointer) {
        let method = evhttp_request_get_command(request)
        // SAFETY: the pointers belong to the request, which lives until it is answered.
        let headers = evhttp_request_get_output_headers(request)
        let uri = evhttp_request_get_evhttp_uri(request)
        let path = uri.flatMap { evhttp_uri_get_path($0) }.map { String(cString: $0) }
        let query = uri.flatMap { evhttp_uri_get_query($0) }.map { String(cString: $0) }
        var answer = HTTPAnswer(status: 405, body: Array("405: only GET and HEAD\n".utf8))
        if method == EVHTTP_REQ_GET || method == EVHTTP_REQ_HEAD {
            answer = handler(HTTPRequest(path: path ?? "/", query: query ?? ""))
        } else {
            evhttp_add_header(headers, "Allow", "GET, HEAD")
        }
        evhttp_add_header(headers, "Content-Type", answer.contentType)
        evhttp_add_header(headers, "Content-Length", String(answer.body.count))
        evhttp_add_header(headers, "Cache-Control", "no-store")
        evhttp_add_header(headers, "X-Content-Type-Options", "nosniff")
        // A page loads nothing from other hosts, and runs no script that is part of a document.
        evhttp_add_header(headers, "Content-Security-Policy", "default-src 'self'")
        evhttp_add_header(headers, "Connection", "close")
        let buffer = evbuffer_new()
        defer { if let buffer { evbuffer_free(buffer) } }
        if let buffer, method != EVHTTP_REQ_HEAD { evbuffer_add(buffer, answer.body, answer.body.count) }
        evhttp_send_reply(request, answer.status, nil, buffer)
    }
}

// Functions, not closure literals: a literal written in main-actor code would trap on another thread.

private func server(_ context: UnsafeMutableRawPointer?) -> HTTPServer? {
    // SAFETY: the context is the HTTPServer, which frees evhttp before it goes away.
    context.map { Unmanaged<HTTPServer>.fromOpaque($0).takeUnretainedValue() }
}

private func acceptClient(_ base: OpaquePointer?, _ context: UnsafeMutableRawPointer?) -> OpaquePointer? {
    server(context)?.accept()
}

private func answerRequest(_ request: OpaquePointer?, _ context: UnsafeMutableRawPointer?) {
    guard let request else { return }
    server(context)?.answer(request)
}

private func clientClosed(_ connection: OpaquePointer?, _ context: UnsafeMutableRawPointer?) {
    guard let connection else { return }
    server(context)?.forget(connection)
}

/// The system refuses a descriptor: the next tick tries again.
private func acceptFailed(_ listener: OpaquePointer?, _ context: UnsafeMutableRawPointer?) {
    evconnlistener_disable(listener)
}
