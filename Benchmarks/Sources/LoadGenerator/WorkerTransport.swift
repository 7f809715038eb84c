import CBenchSystem
import CBenchTLS
import Glibc

/// Bytes to and from a socket, in the clear or through TLS.
extension Worker {
    /// Sends the first `count` bytes of `output`, and keeps what does not go at once.
    @inline(__always)
    mutating func send(_ connection: UnsafeMutablePointer<Connection>, _ count: Int) {
        let sent = tryToSend(connection, output, count)
        totals.bytesSent &+= UInt64(sent)
        if sent < count && fault == nil {
            connection.pointee.keepUnsent(output + sent, count - sent)
            watchWriting(connection, true)
        }
    }

    mutating func sendUnsent(_ connection: UnsafeMutablePointer<Connection>) {
        guard connection.pointee.isUnsent, let unsent = connection.pointee.unsent else { return }
        let start = connection.pointee.unsentStart
        let sent = tryToSend(connection, unsent + start, connection.pointee.unsentEnd - start)
        guard sent > 0 else { return }
        totals.bytesSent &+= UInt64(sent)
        connection.pointee.unsentStart += sent
        if !connection.pointee.isUnsent { watchWriting(connection, false) }
    }

    /// How many bytes went; 0 where none can go now, or something is wrong.
    @inline(__always)
    private mutating func tryToSend(
        _ connection: UnsafeMutablePointer<Connection>, _ bytes: UnsafePointer<UInt8>, _ count: Int
    ) -> Int {
        if let session = connection.pointee.tls { return tryToEncrypt(session, bytes, count) }
        let sent = Glibc.send(connection.pointee.descriptor, bytes, count, Int32(MSG_NOSIGNAL))
        if sent >= 0 { return sent }
        if errno != EAGAIN && errno != EINTR { fault = "send: \(String(cString: strerror(errno)))" }
        return 0
    }

    /// Record by record, until the socket is full.
    private mutating func tryToEncrypt(
        _ session: OpaquePointer, _ bytes: UnsafePointer<UInt8>, _ count: Int
    ) -> Int {
        var sent = 0
        while sent < count {
            let result = bench_tls_write(session, bytes + sent, count - sent)
            if result <= 0 {
                if result != BENCH_TLS_WAITS { fault = tlsReason(session) }
                return sent
            }
            sent += result
        }
        return sent
    }

    /// Receives up to `room` bytes; 0 where there are none now, or something is wrong.
    @inline(__always)
    mutating func receive(
        _ connection: UnsafeMutablePointer<Connection>, _ target: UnsafeMutablePointer<UInt8>, _ room: Int
    ) -> Int {
        if let session = connection.pointee.tls { return decrypt(session, target, room) }
        let count = recv(connection.pointee.descriptor, target, room, 0)
        if count > 0 { return count }
        if count == 0 {
            fault = "the server closed a connection"
        } else if errno != EAGAIN && errno != EINTR {
            fault = "recv: \(String(cString: strerror(errno)))"
        }
        return 0
    }

    private mutating func decrypt(
        _ session: OpaquePointer, _ target: UnsafeMutablePointer<UInt8>, _ room: Int
    ) -> Int {
        var count = 0
        repeat {
            let result = bench_tls_read(session, target + count, room - count)
            if result <= 0 {
                if result == BENCH_TLS_CLOSED && count == 0 {
                    fault = "the server closed a connection"
                } else if result == BENCH_TLS_FAILED {
                    fault = tlsReason(session)
                }
                return count
            }
            count += result
        } while count < room && bench_tls_has_pending(session) != 0
        return count
    }

    /// Whether OpenSSL holds what the socket no longer shows.
    func hasPending(_ connection: UnsafeMutablePointer<Connection>) -> Bool {
        connection.pointee.tls.map { bench_tls_has_pending($0) != 0 } ?? false
    }

    mutating func watchWriting(_ connection: UnsafeMutablePointer<Connection>, _ isWriting: Bool) {
        let index = UInt32(connection - connections)
        _ = bench_epoll_watch(epoll, connection.pointee.descriptor, index, isWriting ? 1 : 0, 1)
    }

    func tlsReason(_ session: OpaquePointer) -> String {
        var reason = [CChar](repeating: 0, count: 512)
        bench_tls_describe(session, &reason, reason.count)
        return text(of: reason)
    }
}
