import Glibc
package import LarderTLS

/// What went wrong on the way to a server, or with it.
package struct SocketClientError: Error, CustomStringConvertible, Sendable {
    package let description: String

    fileprivate init(_ what: String) {
        description = what
    }

    /// With the reason that the system gave last.
    fileprivate init(system what: String) {
        description = "\(what): \(String(cString: strerror(errno)))"
    }
}

/// A connection to a server, for tests: every wait has a deadline.
///
/// While it sends it also reads, so a server that answers faster than the test listens
/// never stands still.
package final class SocketClient {
    /// Bytes that came and that nobody has taken yet.
    package private(set) var received: [UInt8] = []
    /// The server closed its side; nothing more will come.
    package private(set) var isAtEnd = false

    private let descriptor: Int32
    /// nil: in the clear.
    private let session: TLSSession?
    private let patienceMilliseconds: Int64

    /// Connects to `endpoint`.
    ///
    /// - Parameters:
    ///   - patienceMilliseconds: How long one wait may take before it is an error.
    ///   - tls: What to make a session from; nil for talking in the clear.
    package init(
        _ endpoint: ServerEndpoint, patienceMilliseconds: Int64 = 10_000, tls: TLSContext? = nil
    ) throws {
        self.patienceMilliseconds = patienceMilliseconds
        let family = if case .tcp = endpoint { AF_INET } else { AF_UNIX }
        let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        descriptor = socket(family, type, 0)
        guard descriptor >= 0 else { throw SocketClientError(system: "socket") }
        do {
            try Self.connect(descriptor, to: endpoint)
            session = if let tls { try Self.shakeHands(descriptor, tls) } else { nil }
        } catch {
            close(descriptor)
            throw error
        }
        _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
        // Or half a command would wait for the acknowledgement of the half before.
        var yes: Int32 = 1
        if case .tcp = endpoint {
            setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &yes, socklen_t(MemoryLayout<Int32>.size))
        }
    }

    deinit {
        session?.free()
        close(descriptor)
    }

    /// While the descriptor still blocks.
    private static func shakeHands(_ descriptor: Int32, _ tls: TLSContext) throws -> TLSSession {
        guard let session = tls.makeSession(fd: descriptor) else { throw SocketClientError("no memory for TLS") }
        let outcome = session.clientHandshake()
        guard outcome == .done(0) else {
            session.free()
            throw SocketClientError("the TLS handshake came to \(outcome)")
        }
        return session
    }

    /// Sends all of `bytes`, or as many as the server takes before it closes.
    package func send(_ bytes: [UInt8]) throws {
        let deadline = Deadline(milliseconds: patienceMilliseconds)
        var sent = 0
        while sent < bytes.count, !isAtEnd {
            let events = try wait(for: POLLIN | POLLOUT, deadline, doing: "sending")
            if events & Int16(POLLIN | POLLHUP | POLLERR) != 0 { try readAvailable() }
            guard events & Int16(POLLOUT) != 0, !isAtEnd else { continue }
            let count = unsafeSend(bytes, from: sent)
            if count > 0 {
                sent += count
            } else if errno == EPIPE || errno == ECONNRESET {
                isAtEnd = true
            } else if errno != EAGAIN && errno != EINTR {
                throw SocketClientError(system: "send")
            }
        }
    }

    /// Tells the server that nothing more will be sent.
    package func finishSending() {
        if let session { return session.close() }
        _ = shutdown(descriptor, Int32(SHUT_WR))
    }

    /// Waits for more bytes in `received`; false when the server has closed instead.
    package func receiveMore() throws -> Bool {
        let deadline = Deadline(milliseconds: patienceMilliseconds)
        let before = received.count
        while received.count == before, !isAtEnd {
            _ = try wait(for: POLLIN, deadline, doing: "waiting for an answer")
            try readAvailable()
        }
        return received.count > before
    }

    /// Takes the first `count` bytes of `received`, once they are there.
    package func receive(count: Int) throws -> [UInt8] {
        while received.count < count {
            guard try receiveMore() else {
                throw SocketClientError("the server closed after \(received.count) of \(count) bytes")
            }
        }
        let bytes = Array(received[..<count])
        consume(count)
        return bytes
    }

    /// Takes a line, with its end.
    package func receiveLine() throws -> [UInt8] {
        var searched = 0
        while true {
            if let newline = received[searched...].firstIndex(of: UInt8(ascii: "\n")) {
                return try receive(count: newline + 1)
            }
            searched = received.count
            guard try receiveMore() else {
                throw SocketClientError("the server closed in the middle of a line")
            }
        }
    }

    /// Everything that comes until the server closes.
    package func receiveToEnd() throws -> [UInt8] {
        while try receiveMore() {}
        defer { received = [] }
        return received
    }

    /// Forgets the first `count` bytes of `received`.
    package func consume(_ count: Int) {
        received.removeFirst(count)
    }

    // MARK: System calls

    private static func connect(_ descriptor: Int32, to endpoint: ServerEndpoint) throws {
        let result: Int32
        switch endpoint {
        case .tcp(let port):
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = UInt16(port).bigEndian
            address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
            let length = socklen_t(MemoryLayout<sockaddr_in>.size)
            result = withUnsafeBytes(of: &address) { bytes in
                Glibc.connect(descriptor, bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self), length)
            }
        case .unix(let path):
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            let room = MemoryLayout.size(ofValue: address.sun_path)
            guard path.utf8.count < room else {
                throw SocketClientError("the socket's path is too long: \(path)")
            }
            withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
            let length = socklen_t(MemoryLayout<sockaddr_un>.size)
            result = withUnsafeBytes(of: &address) { bytes in
                Glibc.connect(descriptor, bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self), length)
            }
        }
        guard result == 0 else { throw SocketClientError(system: "connect to \(endpoint)") }
    }

    private func wait(for events: Int32, _ deadline: Deadline, doing what: String) throws -> Int16 {
        while true {
            var request = pollfd(fd: descriptor, events: Int16(events), revents: 0)
            let count = poll(&request, 1, Int32(deadline.remainingMilliseconds))
            if count > 0 { return request.revents }
            if count == 0 {
                throw SocketClientError("no progress in \(patienceMilliseconds) ms while \(what)")
            }
            guard errno == EINTR else { throw SocketClientError(system: "poll") }
        }
    }

    private func readAvailable() throws {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = receiveOnce(&buffer)
            if count > 0 {
                received.append(contentsOf: buffer[..<count])
            } else if count == 0 || errno == ECONNRESET {
                isAtEnd = true
                return
            } else if errno == EAGAIN {
                return
            } else if errno != EINTR {
                throw SocketClientError(system: "recv")
            }
        }
    }

    private func receiveOnce(_ buffer: inout [UInt8]) -> Int {
        guard let session else { return recv(descriptor, &buffer, buffer.count, 0) }
        return result(of: session.read(into: &buffer, count: buffer.count))
    }

    /// As the system calls tell it.
    private func result(of outcome: TLSSession.Outcome) -> Int {
        switch outcome {
        case .done(let count): return count
        case .closed: return 0
        case .wantsRead, .wantsWrite: errno = EAGAIN
        case .failed: errno = EPROTO
        }
        return -1
    }

    private func unsafeSend(_ bytes: [UInt8], from start: Int) -> Int {
        bytes.withUnsafeBytes { buffer in
            guard let base = buffer.baseAddress else { return 0 }
            if let session { return result(of: session.write(base + start, count: bytes.count - start)) }
            return Glibc.send(descriptor, base + start, bytes.count - start, Int32(MSG_NOSIGNAL))
        }
    }
}

/// A moment on the monotonic clock.
package struct Deadline: Sendable {
    private let instant: ContinuousClock.Instant

    package init(milliseconds: Int64) {
        instant = ContinuousClock.now + .milliseconds(milliseconds)
    }

    package var remainingMilliseconds: Int64 {
        let (seconds, attoseconds) = (instant - .now).components
        return max(0, seconds * 1000 + attoseconds / 1_000_000_000_000_000)
    }

    package var hasPassed: Bool { remainingMilliseconds == 0 }
}
