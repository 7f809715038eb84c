import CBenchSystem
import CBenchTLS
import Glibc

/// Connecting, TLS and passwords: what comes before the first request.
extension Worker {
    /// Opens the socket of a connection that has none, and begins what comes first on it.
    mutating func open(_ connection: UnsafeMutablePointer<Connection>, waits: Bool) {
        let descriptor = bench_connect(&target.address, waits ? 1 : 0)
        guard descriptor >= 0 else {
            fault = String(cString: strerror(errno))
            return
        }
        connection.pointee.descriptor = descriptor
        connection.pointee.requestsSinceOpened = 0
        guard bench_epoll_watch(epoll, descriptor, UInt32(connection - connections), 0, 0) == 0 else {
            fault = "epoll: \(String(cString: strerror(errno)))"
            return
        }
        if let context = target.tls {
            beginTLS(connection, context)
        } else {
            afterHandshake(connection, isNew: true)
        }
    }

    /// Closes a connection and opens it again; the next batch follows as soon as it can.
    mutating func reconnect(_ connection: UnsafeMutablePointer<Connection>) {
        connection.pointee.openedAt = clock.now()
        connection.pointee.close()
        totals.reconnections &+= 1
        open(connection, waits: false)
    }

    private mutating func beginTLS(_ connection: UnsafeMutablePointer<Connection>, _ context: OpaquePointer) {
        let tls = options.tls ?? Options.TLS()
        // An address in figures is no name to ask for.
        let isName =
            options.unixSocket == nil && options.host.contains { $0.isLetter } && !options.host.contains(":")
        let name = tls.serverName ?? (isName ? options.host : nil)
        let host = tls.verifies ? tls.serverName ?? (options.unixSocket == nil ? options.host : nil) : nil
        guard let session = bench_tls_session_new(context, connection.pointee.descriptor, name, host) else {
            fault = "TLS: no session could be made"
            return
        }
        connection.pointee.tls = session
        connection.pointee.state = .handshaking
        opening &+= 1
        handshake(connection)
    }

    /// Takes the handshake as far as it goes.
    mutating func handshake(_ connection: UnsafeMutablePointer<Connection>) {
        guard let session = connection.pointee.tls else { return }
        var wantsToWrite: Int32 = 0
        let result = bench_tls_handshake(session, &wantsToWrite)
        if result == 1 {
            watchWriting(connection, false)
            afterHandshake(connection, isNew: false)
        } else if result == Int32(BENCH_TLS_WAITS) {
            watchWriting(connection, wantsToWrite != 0)
        } else if result == 0 {
            fault = "the server ended a TLS handshake"
        } else {
            fault = tlsReason(session)
        }
    }

    private mutating func afterHandshake(_ connection: UnsafeMutablePointer<Connection>, isNew: Bool) {
        if login.isEmpty {
            connection.pointee.state = .ready
            if !isNew { opening &-= 1 }
            if isRunning { sendNext(connection) }
            return
        }
        if isNew { opening &+= 1 }
        connection.pointee.state = .loggingIn
        output.update(from: login, count: login.count)
        send(connection, login.count)
    }

    /// Reads the answer to the password.
    mutating func readLogin(
        _ connection: UnsafeMutablePointer<Connection>, _ start: UnsafeMutablePointer<UInt8>,
        _ end: UnsafeMutablePointer<UInt8>
    ) {
        let isBinary = options.dialect == .binary
        let isWhole =
            isBinary
            ? end - start >= BinaryOpcode.headerSize
                && end - start >= BinaryOpcode.headerSize + Int(start[10]) << 8 + Int(start[11])
            : memchr(start, 0x0a, end - start) != nil
        guard isWhole else {
            keepPartial(connection, start, end)
            return
        }
        let isAccepted =
            isBinary ? start[0] == 0x81 && start[6] == 0 && start[7] == 0 : memcmp(start, "STORED", 6) == 0
        guard isAccepted else {
            let reason =
                isBinary
                ? String(
                    decoding: UnsafeBufferPointer(start: start + 24, count: end - start - 24), as: UTF8.self)
                : line(start, end)
            fault = "the server refused the password: \(reason)"
            return
        }
        connection.pointee.state = .ready
        opening &-= 1
        if isRunning { sendNext(connection) }
    }
}
