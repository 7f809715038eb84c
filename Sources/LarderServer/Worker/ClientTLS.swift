import Glibc
import LarderEventLoop
import LarderTLS

/// What there is to know of a client's TLS beside the session.
struct TLSState {
    var isShakingHands = false
    /// A read cannot go on before the socket takes bytes.
    var readWantsWrite = false
    /// A write cannot go on before the socket has bytes.
    var sendWantsRead = false
    /// What the client sent is read to its end.
    var hasEnded = false
    /// The session is broken: not even a good-bye may be said.
    var isBroken = false
    /// The session has bytes that were not read yet, and the client's turn is to come.
    var hasInput = false
}

/// The event loop's call for the socket of a client that speaks TLS.
///
/// SAFETY: as for `clientIsReady`.
func encryptedClientIsReady(_ fd: Int32, _ ready: Int16, _ context: UnsafeMutableRawPointer?) {
    guard let client = ClientHandle(context: context) else { return }
    let worker = client.pointee.worker
    worker.beginTurn()
    if client.pointee.tlsState.isShakingHands { return worker.shakeHands(client) }
    if client.pointee.isSending {
        client.pointee.tlsState.sendWantsRead = false
        guard worker.send(client) else { return }
        worker.uncountUnread(client)
        client.pointee.isSending = false
        guard client.watch.wants(read: true, write: false) else { return worker.close(client) }
        return worker.serve(client)
    }
    if client.pointee.tlsState.readWantsWrite {
        client.pointee.tlsState.readWantsWrite = false
        guard client.watch.wants(read: true, write: false) else { return worker.close(client) }
    }
    if !client.pointee.isYielded { worker.receive(client) }
}

/// The transport of clients that speak TLS: the same calls as on a socket, with the same meaning of what they
/// return. Nothing else of the server knows of it.
extension WorkerHandle {
    /// How long a client may take over its handshake.
    static var handshakeMillisecondsMax: Int64 { 10_000 }

    func shakeHands(_ client: ClientHandle) {
        guard let tls = client.pointee.tls else { return }
        var goesOn = true
        switch tls.handshake() {
        case .done:
            guard pointee.context.state.access.tls?.admits(tls) != false else {
                pointee.context.counters.add(.tlsHandshakeErrors)
                client.pointee.tlsState.isBroken = true
                return close(client)
            }
            client.pointee.tlsState.isShakingHands = false
            client.pointee.lastActivityMilliseconds = pointee.context.now
            if !tls.isResumed { pointee.context.counters.add(.tlsNewSessions) }
            guard client.watch.wants(read: true, write: false) else { return close(client) }
            // What came with the end of the handshake is not in the socket any more.
            return receive(client)
        case .wantsRead: goesOn = client.watch.wants(read: true, write: false)
        case .wantsWrite: goesOn = client.watch.wants(read: false, write: true)
        case .closed: goesOn = false
        case .failed(let error):
            pointee.context.counters.add(.tlsHandshakeErrors)
            logFailure("TLS handshake", error, client)
            goesOn = false
        }
        if !goesOn {
            client.pointee.tlsState.isBroken = true
            close(client)
        }
    }

    /// As `read`: takes as many records as there is room for and as have arrived.
    @inline(never)
    func decrypt(_ client: ClientHandle, _ start: UnsafeMutableRawPointer, _ count: Int) -> Int {
        guard let tls = client.pointee.tls, !client.pointee.tlsState.hasEnded else { return 0 }
        var total = 0
        while total < count {
            switch tls.read(into: start + total, count: count - total) {
            case .done(let taken):
                total += taken
                if !tls.hasPending { return total }
            case .wantsRead:
                return total > 0 ? total : failWith(EAGAIN)
            case .wantsWrite:
                client.pointee.tlsState.readWantsWrite = true
                _ = client.watch.wants(read: true, write: true)
                return total > 0 ? total : failWith(EAGAIN)
            case .closed:
                client.pointee.tlsState.hasEnded = true
                return total
            case .failed(let error):
                pointee.context.counters.add(.tlsProtocolErrors)
                logFailure("TLS", error, client)
                client.pointee.tlsState.isBroken = true
                client.pointee.tlsState.hasEnded = true
                return total
            }
        }
        return total
    }

    /// Whether the session has taken bytes from the socket that `decrypt` had no room for, of which the socket will not
    /// tell: then they are read when those have had their turn that wait for one.
    @inline(never)
    func waitsForTurn(_ client: ClientHandle) -> Bool {
        guard let tls = client.pointee.tls, tls.hasPending || client.pointee.tlsState.hasEnded else { return false }
        client.pointee.tlsState.hasInput = true
        yield(client)
        return true
    }

    /// Reads those bytes. A turn each, not one within another: the client may have sent more before each is served.
    func receivePending(_ client: ClientHandle) {
        wake(client)
        guard let room = client.pointee.connection.pointee.inputRoom(&pointee.context), let start = room.baseAddress
        else {
            pointee.context.counters.add(.readBufferOutOfMemory)
            return close(client)
        }
        let count = decrypt(client, start, room.count)
        if count > 0 {
            client.pointee.lastActivityMilliseconds = pointee.context.now
            client.pointee.connection.pointee.didRead(count, &pointee.context)
            return serve(client)
        }
        // Half a record: the rest of it will come by the socket.
        if count < 0 { return settle(client) }
        close(client)
    }

    /// As `sendmsg`: at most one record, made of as many small pieces as fit, or of a part of a large value
    /// where it lies.
    @inline(never)
    func encrypt(_ client: ClientHandle) -> Int {
        guard let tls = client.pointee.tls else { return failWith(EPIPE) }
        let outcome: TLSSession.Outcome
        if client.pointee.connection.pointee.output.hasSegments {
            outcome = withUnsafeTemporaryAllocation(of: iovec.self, capacity: Output.vectorsMax) { vectors in
                guard let start = vectors.baseAddress else { return .closed }
                let count = client.pointee.connection.pointee.output.gather(start)
                return writeRecord(tls, UnsafeBufferPointer(start: start, count: count))
            }
        } else {
            let buffer = client.pointee.connection.pointee.output.buffer
            outcome = tls.write(buffer.base + buffer.start, count: buffer.count)
        }
        switch outcome {
        case .done(let count): return count
        case .wantsWrite: return failWith(EAGAIN)
        case .wantsRead:
            client.pointee.tlsState.sendWantsRead = true
            return failWith(EAGAIN)
        case .closed:
            client.pointee.tlsState.isBroken = true
            return failWith(EPIPE)
        case .failed(let error):
            pointee.context.counters.add(.tlsProtocolErrors)
            logFailure("TLS", error, client)
            client.pointee.tlsState.isBroken = true
            return failWith(EPIPE)
        }
    }

    /// The same pieces make the same record each time, which is what a write that is tried again needs.
    private func writeRecord(_ tls: TLSSession, _ pieces: UnsafeBufferPointer<iovec>) -> TLSSession.Outcome {
        guard let first = pieces.first, let firstBytes = first.iov_base else { return .closed }
        if pieces.count == 1 || first.iov_len >= TLSSession.recordBytesMax {
            return tls.write(firstBytes, count: first.iov_len)
        }
        guard let record = recordBuffer() else { return .closed }
        var filled = 0
        for piece in pieces where filled < record.count {
            guard let bytes = piece.iov_base, let start = record.baseAddress else { break }
            let count = min(piece.iov_len, record.count - filled)
            // SAFETY: the piece has at least that many bytes, and the record room for them.
            memcpy(start + filled, bytes, count)
            filled += count
        }
        return record.baseAddress.map { tls.write($0, count: filled) } ?? .closed
    }

    /// The worker's memory for one record, taken when first needed.
    private func recordBuffer() -> UnsafeMutableRawBufferPointer? {
        if pointee.recordBuffer == nil {
            let size = min(pointee.context.state.settings.tlsWriteBufferBytes, TLSSession.recordBytesMax)
            pointee.recordBuffer = malloc(size).map { UnsafeMutableRawBufferPointer(start: $0, count: size) }
        }
        return pointee.recordBuffer
    }

    /// Ends a session before its socket is closed.
    func end(_ tls: TLSSession, _ state: TLSState) {
        if !state.isShakingHands, !state.isBroken { tls.close() }
        tls.free()
    }

    private func failWith(_ error: Int32) -> Int {
        errno = error
        return -1
    }

    private func logFailure(_ what: String, _ error: UInt, _ client: ClientHandle) {
        guard pointee.context.verbosity > 0 else { return }
        StandardError.write("<\(client.pointee.fd) \(what): \(TLSSession.describe(error))", .debug)
    }
}
