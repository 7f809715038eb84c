import CLarderSystem
import Glibc
import LarderEventLoop
import LarderStore
import LarderTLS
import Synchronization

/// A connection with its socket, as a worker keeps it: at a fixed address, which the event loop
/// and the worker's lists know.
struct Client: Watched {
    var watch = WatchStorage()
    /// The worker's `resting` one as long as nothing is in hand.
    var connection: ConnectionHandle
    var lastActivityMilliseconds: Int64
    var resting: RestingConnection
    let fd: Int32
    let isUnixSocket: Bool
    /// nil: the client speaks in the clear.
    var tls: TLSSession?
    var tlsState = TLSState()
    let worker: WorkerHandle
    var next: ClientHandle?
    var previous: ClientHandle?
    /// The next one whose turn was cut short.
    var nextYielded: ClientHandle?
    var isYielded = false
    /// Waiting to send; nothing is read meanwhile.
    var isSending = false
    /// Waiting for a store; nothing is read meanwhile.
    var isParked = false
    /// When the client must have logged in, in seconds since the server's start; 0: not set, or it has logged in.
    var loginDeadlineSeconds: Int32 = 0
}

/// The event loop's call for a client's socket.
///
/// SAFETY: the context is the client, whose watch is taken off the loop before it is freed.
func clientIsReady(_ fd: Int32, _ ready: Int16, _ context: UnsafeMutableRawPointer?) {
    guard let client = ClientHandle(context: context) else { return }
    let worker = client.pointee.worker
    worker.beginTurn()
    if client.pointee.isSending, ready & Interest.write.rawValue != 0 { return worker.goOnSending(client) }
    if !client.pointee.isYielded { worker.receiveAndAnswer(client) }
}

/// What a worker does with its clients. All of it happens in the worker's thread.
extension WorkerHandle {
    /// The client can take more of its answers.
    @inline(never)
    fileprivate func goOnSending(_ client: ClientHandle) {
        guard send(client) else { return }
        uncountUnread(client)
        client.pointee.isSending = false
        guard client.watch.wants(read: true, write: false) else { return close(client) }
        serve(client)
    }

    /// Reads once, and serves what has come.
    @inline(never)
    func receive(_ client: ClientHandle) { receiveAndAnswer(client) }

    /// As `receive`, inlined into the event loop's call. Most requests take one function instead of four.
    @inline(__always)
    fileprivate func receiveAndAnswer(_ client: ClientHandle) {
        wake(client)
        guard let room = client.pointee.connection.pointee.inputRoom(&pointee.context), let start = room.baseAddress
        else {
            pointee.context.counters.add(.readBufferOutOfMemory)
            return close(client)
        }
        let count = receiveBytes(client, start, room.count)
        if count > 0 {
            client.pointee.lastActivityMilliseconds = pointee.context.now
            client.pointee.connection.pointee.didRead(count, &pointee.context)
            if pointee.context.heldBytes != pointee.heldBytesReported { reportHeldBytes(except: client) }
            return answer(client)
        }
        didNotReceive(client, count)
    }

    @inline(never)
    private func didNotReceive(_ client: ClientHandle, _ count: Int) {
        if count < 0, errno == EAGAIN || errno == EINTR || errno == EWOULDBLOCK {
            // Woken for nothing.
            return settle(client)
        }
        close(client, count < 0 ? .error : .normal)
    }

    /// As `read`.
    @inline(__always)
    func receiveBytes(_ client: ClientHandle, _ start: UnsafeMutableRawPointer, _ count: Int) -> Int {
        if client.pointee.tls != nil { return decrypt(client, start, count) }
        return larder_receive(client.pointee.fd, start, count)
    }

    /// Reads what is left in a client's socket when the server stops, and lets the client go
    /// unless a request of its is half-way.
    func receiveLast(_ client: ClientHandle) {
        wake(client)
        guard let room = client.pointee.connection.pointee.inputRoom(&pointee.context), let start = room.baseAddress
        else {
            return close(client)
        }
        if client.pointee.tlsState.isShakingHands { return close(client) }
        let count = receiveBytes(client, start, room.count)
        if count == 0 { return close(client) }
        if count > 0 { client.pointee.connection.pointee.didRead(count, &pointee.context) }
        serve(client)
    }

    /// Gives a client at rest a connection to work with.
    @inline(__always)
    func wake(_ client: ClientHandle) {
        guard client.pointee.connection == pointee.resting else { return }
        let connection = pointee.connections.take() ?? ConnectionFreeList.make(pointee.context)
        connection.takeUp(client.pointee.resting, number: client.pointee.fd)
        client.pointee.connection = connection
    }

    @inline(__always)
    private func giveBack(_ connection: ConnectionHandle) {
        if !pointee.connections.giveBack(connection) { ConnectionFreeList.free(connection, &pointee.context) }
    }

    /// Answers what has arrived.
    @inline(never)
    func serve(_ client: ClientHandle) { answer(client) }

    @inline(__always)
    private func answer(_ client: ClientHandle) {
        let connection = client.pointee.connection
        let action = connection.pointee.advance(&pointee.context)
        // Most answers lie in the buffer, and go out whole.
        guard case .read = action, client.pointee.tls == nil, connection.pointee.output.hasBytesOnly, maySend(client)
        else { return finish(client, action) }
        let count = connection.pointee.output.buffer.count
        let sent = sendBuffer(client)
        if sent == count {
            noteSent(client, sent)
            connection.pointee.output.reset(&pointee.context.pool)
        } else if !sendRest(client, sent) {
            return
        }
        settle(client)
    }

    /// Carries out the action that `advance` returned.
    @inline(never)
    private func finish(_ client: ClientHandle, _ action: Connection.Action) {
        if action == .yield { return yield(client) }
        let isAnswered = !client.pointee.connection.pointee.output.isEmpty
        guard !isAnswered || send(client) else { return }
        // Requests that have no answer end here.
        if action == .read, client.pointee.connection.pointee.timed.since != 0 { recordTimed(client) }
        switch action {
        // A long answer is sent in shares, between which others have their turn.
        case .send, .yield: yield(client)
        case .read:
            if !isAnswered, client.pointee.connection.pointee.isBeginningOfRequest { acknowledge(client) }
            rest(client)
        case .park: park(client)
        case .holdLogin: holdLogin(client)
        case .holdWrite: holdWrite(client)
        case .close: close(client, client.pointee.connection.pointee.closeReason)
        }
    }

    /// Leaves a client alone until the store is there.
    private func park(_ client: ClientHandle) {
        note(client)
        if pointee.isStopping { return close(client) }
        client.pointee.isParked = true
        _ = client.watch.wants(read: false, write: false)
    }

    /// The stores have what their files held: whoever waited is served.
    func unparkAll() {
        pointee.context.waitsForStore = false
        pointee.context.noteObservation()
        var next = pointee.clients
        while let client = next {
            next = client.pointee.next
            guard client.pointee.isParked else { continue }
            client.pointee.isParked = false
            if client.watch.wants(read: true, write: false) { serve(client) } else { close(client) }
        }
    }

    /// Everything that arrived is answered: the client gives back what it borrowed for it.
    @inline(__always)
    private func rest(_ client: ClientHandle) {
        if client.pointee.tls != nil, waitsForTurn(client) { return }
        settle(client)
    }

    /// Gives back what the client borrowed, if nothing is in hand.
    @inline(__always)
    func settle(_ client: ClientHandle) {
        let connection = client.pointee.connection
        guard connection.isAtRest else { return wait(client) }
        pointee.connectionTable.set(
            client.pointee.fd, .reading, atMilliseconds: client.pointee.lastActivityMilliseconds)
        if pointee.isStopping { return close(client) }
        guard connection != pointee.resting else { return }
        client.pointee.resting = connection.resting
        client.pointee.connection = pointee.resting
        giveBack(connection)
    }

    /// As far as it arrived: the client keeps what is in hand, and no buffer that holds nothing.
    @inline(never)
    private func wait(_ client: ClientHandle) {
        note(client)
        let connection = client.pointee.connection
        if connection.pointee.phase == .streaming, !pointee.listening.contains(client) {
            pointee.listening.append(client)
        }
        if pointee.isStopping, !connection.pointee.isInRequest { return close(client) }
        connection.pointee.giveBackEmptyBuffers(&pointee.context)
    }

    /// Sends what there is. False: not all of it went, and the client is served again when it can
    /// take more, or it is gone.
    @inline(__always)
    func send(_ client: ClientHandle) -> Bool {
        let connection = client.pointee.connection
        guard maySend(client) else {
            close(client, .error)
            return false
        }
        guard client.pointee.tls == nil, !connection.pointee.output.hasSegments else { return sendAll(client) }
        let count = connection.pointee.output.buffer.count
        let sent = sendBuffer(client)
        guard sent == count else { return sendRest(client, sent) }
        noteSent(client, sent)
        connection.pointee.output.reset(&pointee.context.pool)
        return true
    }

    /// Answers go out whole, nearly always.
    @inline(never)
    private func sendAll(_ client: ClientHandle) -> Bool {
        while !client.pointee.connection.pointee.output.isEmpty {
            // The store's file may have been changed after these values were found.
            guard maySend(client) else {
                close(client, .error)
                return false
            }
            guard wasSent(client, sendOnce(client)) else { return false }
        }
        client.pointee.connection.pointee.output.reset(&pointee.context.pool)
        return true
    }

    @inline(never)
    private func sendRest(_ client: ClientHandle, _ sent: Int) -> Bool {
        wasSent(client, sent) && sendAll(client)
    }

    /// What came of one call; false when the client cannot take more, or is gone.
    private func wasSent(_ client: ClientHandle, _ sent: Int) -> Bool {
        if sent > 0 {
            noteSent(client, sent)
            client.pointee.connection.pointee.output.didSend(sent, pointee.context.session)
            return true
        }
        if sent < 0, errno == EINTR { return true }
        if sent < 0, errno == EAGAIN || errno == EWOULDBLOCK {
            waitToSend(client)
        } else {
            close(client, .error)
        }
        return false
    }

    @inline(__always)
    private func noteSent(_ client: ClientHandle, _ sent: Int) {
        pointee.context.counters.add(.bytesWritten, Int64(sent))
        // Whoever takes its answers is not silent.
        client.pointee.lastActivityMilliseconds = pointee.context.now
        if client.pointee.connection.pointee.timed.since != 0 { recordTimed(client) }
    }

    private func recordTimed(_ client: ClientHandle) {
        client.pointee.connection.pointee.recordTimed(&pointee.context)
    }

    private func sendOnce(_ client: ClientHandle) -> Int {
        if client.pointee.tls != nil { return encrypt(client) }
        return client.pointee.connection.pointee.output.hasSegments ? sendGathered(client) : sendBuffer(client)
    }

    @inline(__always)
    private func sendBuffer(_ client: ClientHandle) -> Int {
        let buffer = client.pointee.connection.pointee.output.buffer
        return larder_send(client.pointee.fd, buffer.base + buffer.start, buffer.count, Int32(MSG_NOSIGNAL))
    }

    /// Bytes of the buffer, and values that lie elsewhere, in one call.
    @inline(never)
    private func sendGathered(_ client: ClientHandle) -> Int {
        withUnsafeTemporaryAllocation(of: iovec.self, capacity: Output.vectorsMax) { vectors in
            var message = msghdr()
            message.msg_iov = vectors.baseAddress
            guard let start = vectors.baseAddress else { return -1 }
            message.msg_iovlen = client.pointee.connection.pointee.output.gather(start)
            // SAFETY: the message and its vectors live until the call returns.
            return sendmsg(client.pointee.fd, &message, Int32(MSG_NOSIGNAL))
        }
    }

    private func waitToSend(_ client: ClientHandle) {
        let wasSending = client.pointee.isSending
        client.pointee.isSending = true
        note(client)
        guard countUnread(client) else {
            pointee.context.counters.add(.responseOutOfMemory)
            return close(client, .error)
        }
        guard !wasSending || client.pointee.tls != nil else { return }
        // Every caller leaves the client alone from here on.
        let wantsRead = client.pointee.tlsState.sendWantsRead
        if !client.watch.wants(read: wantsRead, write: !wantsRead) { close(client) }
    }

    // MARK: Coming and going

    /// Takes a client in.
    func adopt(_ fd: Int32, from listener: Listener) {
        var tls: TLSSession?
        if listener.encryption != .off {
            tls = pointee.context.state.access.tls?.makeSession(fd: fd, listener)
            guard tls != nil else {
                Glibc.close(fd)
                return pointee.context.state.connectionLimit.release()
            }
        }
        let client = ClientHandle(
            Client(
                connection: pointee.resting, lastActivityMilliseconds: pointee.context.now,
                resting: RestingConnection(
                    listener.bindingProtocol, cacheNumber: listener.cacheNumber, pointee.context),
                fd: fd, isUnixSocket: listener.isUnixSocket, tls: tls, tlsState: TLSState(isShakingHands: tls != nil),
                worker: self, next: pointee.clients))
        if pointee.context.login == .text, listener.bindingProtocol != .uwsgi {
            wake(client)
            client.pointee.connection.beginLogin()
        }
        pointee.clients?.pointee.previous = client
        pointee.clients = client
        pointee.clientCount += 1
        let watch = client.watch
        watch.assign(
            to: pointee.loop.takeUnretainedValue(), fd: fd, interest: .read,
            handler: tls == nil ? clientIsReady : encryptedClientIsReady, context: client.context)
        pointee.connectionTable.set(fd, .new, atMilliseconds: pointee.context.now)
        if pointee.context.isWatched { pointee.context.logArrival(of: fd) }
        if pointee.context.verbosity > 1 {
            StandardError.write(
                "<\(fd) new \((listener.bindingProtocol ?? pointee.context.bindingProtocol).name) client connection",
                .debug)
        }
        if !watch.add() { close(client) }
    }

    /// Lets a client go, whatever state it is in.
    func close(_ client: ClientHandle, _ reason: CloseReason = .normal) {
        if client.pointee.isYielded { removeYielded(client) }
        if !pointee.listening.isEmpty { pointee.listening.removeAll { $0 == client } }
        if !pointee.heldLogins.isEmpty { pointee.heldLogins.removeAll { $0 == client } }
        if !pointee.heldWrites.isEmpty { pointee.heldWrites.removeAll { $0 == client } }
        if !pointee.cutOff.isEmpty { pointee.cutOff.removeAll { $0 == client } }
        if pointee.context.isWatched { pointee.context.logDeparture(of: client.pointee.fd, reason) }
        client.watch.remove()
        let connection = client.pointee.connection
        if connection != pointee.resting {
            if client.pointee.isSending { uncountUnread(client) }
            connection.pointee.timed = TimedSteps()
            if connection.isAtRest {
                giveBack(connection)
            } else {
                ConnectionFreeList.free(connection, &pointee.context)
            }
        }
        if let tls = client.pointee.tls { end(tls, client.pointee.tlsState) }
        let state = pointee.context.state
        if pointee.context.verbosity > 1 { StandardError.write("<\(client.pointee.fd) connection closed.", .debug) }
        state.connectionTable.clear(client.pointee.fd)
        Glibc.close(client.pointee.fd)
        state.connectionLimit.release()
        client.pointee.next?.pointee.previous = client.pointee.previous
        if let previous = client.pointee.previous {
            previous.pointee.next = client.pointee.next
        } else {
            pointee.clients = client.pointee.next
        }
        pointee.clientCount -= 1
        client.deallocate()
    }

    private func removeYielded(_ client: ClientHandle) {
        var previous: ClientHandle?
        var current = pointee.yieldedFirst
        while let candidate = current, candidate != client {
            previous = candidate
            current = candidate.pointee.nextYielded
        }
        guard current != nil else { return }
        if let previous {
            previous.pointee.nextYielded = client.pointee.nextYielded
        } else {
            pointee.yieldedFirst = client.pointee.nextYielded
        }
        if pointee.yieldedLast == client { pointee.yieldedLast = previous }
    }

    /// Writes down for `stats conns` what a client is doing.
    private func note(_ client: ClientHandle) {
        let state: ConnectionTable.State
        if client.pointee.isSending {
            state = .sending
        } else {
            switch client.pointee.connection.pointee.phase {
            case .readingValue: state = .readingValue
            case .skipping: state = .skipping
            case .streaming: state = .watching
            default: state = .reading
            }
        }
        pointee.connectionTable.set(
            client.pointee.fd, state, atMilliseconds: client.pointee.lastActivityMilliseconds)
    }
}
