import CLarderSystem
import Glibc
import LarderEventLoop

/// A worker that stops for a take-over. Called in the worker's thread, within a turn.
extension WorkerHandle {
    /// How long requests in progress have to be finished while no new ones are read.
    private static var finishMilliseconds: Int64 { 10 }
    /// A request without a new byte for so long is not waited for.
    private static var quietMilliseconds: Int64 { 100 }
    /// How long clients have to take their answers.
    private static var answerMilliseconds: Int64 { 2_000 }

    /// Finishes the requests in progress, and waits at the gate. Then goes on, or leaves the clients to the other
    /// process.
    func pause(at gate: PauseGate) {
        finishRequests()
        endTurn()
        guard gate.wait() else { return beginTurn() }
        leave(gate)
    }

    // MARK: Before the gate

    /// Serves the clients that have a request in progress, and no others.
    private func finishRequests() {
        let deadline = larder_milliseconds(false) + Self.finishMilliseconds
        while true {
            if pointee.yieldedFirst != nil { serveYielded() }
            if !pointee.cutOff.isEmpty { closeCutOff() }
            var polled: [pollfd] = []
            var busy: [ClientHandle] = []
            var next = pointee.clients
            while let client = next {
                next = client.pointee.next
                guard let events = eventsInProgress(client) else { continue }
                polled.append(pollfd(fd: client.pointee.fd, events: events, revents: 0))
                busy.append(client)
            }
            if busy.isEmpty, pointee.yieldedFirst == nil { return }
            guard larder_milliseconds(false) < deadline else { return }
            guard poll(&polled, nfds_t(polled.count), pointee.yieldedFirst == nil ? 1 : 0) > 0 else { continue }
            for (place, client) in busy.enumerated() where polled[place].revents != 0 && isHere(client) {
                let isWritable = polled[place].revents & Int16(POLLOUT) != 0
                let ready = (isWritable ? Interest.write : .read).rawValue
                if client.pointee.tls == nil {
                    clientIsReady(client.pointee.fd, ready, client.context)
                } else {
                    encryptedClientIsReady(client.pointee.fd, ready, client.context)
                }
            }
        }
    }

    /// Whether a client was not closed in the meantime.
    private func isHere(_ client: ClientHandle) -> Bool {
        var next = pointee.clients
        while let candidate = next, candidate != client { next = candidate.pointee.next }
        return next != nil
    }

    /// What a client's socket must be ready for so that its request goes on; nil: it has none in progress.
    private func eventsInProgress(_ client: ClientHandle) -> Int16? {
        if client.pointee.isYielded || client.pointee.isParked { return nil }
        if client.pointee.isSending { return Int16(client.pointee.tlsState.sendWantsRead ? POLLIN : POLLOUT) }
        guard client.pointee.connection != pointee.resting, client.pointee.connection.pointee.isInRequest,
            pointee.context.clock.now() - client.pointee.lastActivityMilliseconds < Self.quietMilliseconds
        else { return nil }
        return Int16(POLLIN)
    }

    // MARK: After the gate

    /// Hands the clients over that have no request in progress. The others take their answers, and are closed. The
    /// store is not used any more.
    private func leave(_ gate: PauseGate) {
        pointee.acceptor?.close()
        closeDatagramPorts()
        closeSyncPorts()
        var handed: [HandedClient] = []
        var next = pointee.clients
        while let client = next {
            next = client.pointee.next
            client.watch.remove()
            guard let taken = handOver(client) else { continue }
            handed.append(taken)
            close(client)
        }
        gate.noteLeft(handed)
        gate.awaitGivenUp()
        closeCutOff()
        finishAnswers()
        while let client = pointee.clients { close(client) }
        // No turn may begin any more: it would wait for the store.
        pointee.cacheToMaintain = Int.max
        pointee.isStopping = true
    }

    /// A client as the other process gets it; nil: it stays here.
    private func handOver(_ client: ClientHandle) -> HandedClient? {
        guard client.pointee.tls == nil, !client.pointee.isSending, !client.pointee.isYielded,
            !client.pointee.isParked
        else { return nil }
        let connection = client.pointee.connection
        let isNew = isWaitingForLogin(connection)
        guard connection == pointee.resting || isNew else { return nil }
        let copy = fcntl(client.pointee.fd, F_DUPFD_CLOEXEC, 0)
        guard copy >= 0 else { return nil }
        return HandedClient(
            fd: copy, isUnixSocket: client.pointee.isUnixSocket, isNew: isNew, resting: client.pointee.resting)
    }

    /// Whether a client must log in, and has sent nothing.
    private func isWaitingForLogin(_ connection: ConnectionHandle) -> Bool {
        connection != pointee.resting && connection.pointee.phase == .loggingIn && connection.pointee.input.count == 0
            && connection.pointee.output.isEmpty && connection.pointee.loginFailures == 0
    }

    /// Sends the answers that are complete.
    private func finishAnswers() {
        let deadline = larder_milliseconds(false) + Self.answerMilliseconds
        while pointee.clients != nil, larder_milliseconds(false) < deadline {
            var polled: [pollfd] = []
            var next = pointee.clients
            while let client = next {
                next = client.pointee.next
                if client.pointee.connection.pointee.output.isEmpty {
                    closeQuietly(client)
                } else if send(client) {
                    closeQuietly(client)
                }
            }
            closeCutOff()
            next = pointee.clients
            while let client = next {
                next = client.pointee.next
                let events = client.pointee.tlsState.sendWantsRead ? POLLIN : POLLOUT
                polled.append(pollfd(fd: client.pointee.fd, events: Int16(events), revents: 0))
            }
            if !polled.isEmpty { poll(&polled, nfds_t(polled.count), 100) }
        }
    }

    /// Closes a client. Unread requests are read away before: otherwise the system would drop the answers that are on
    /// their way.
    private func closeQuietly(_ client: ClientHandle) {
        let piecesMax = 16
        withUnsafeTemporaryAllocation(byteCount: 64 << 10, alignment: 1) { bytes in
            for _ in 0..<piecesMax
            where recv(client.pointee.fd, bytes.baseAddress, bytes.count, Int32(MSG_DONTWAIT)) <= 0 { break }
        }
        close(client)
    }

    // MARK: In the other process

    /// Takes a client in that the former process has handed over.
    func adopt(_ handed: HandedClient) {
        // A client that has logged in must not be asked for it again, as those of the uwsgi protocol are not.
        let isPastLogin = !handed.isNew && pointee.context.login == .text
        let listener = Listener(
            fd: -1, isUnixSocket: handed.isUnixSocket, cacheNumber: Int(handed.resting.cacheNumber),
            bindingProtocol: isPastLogin || handed.resting.dialect == .uwsgi ? .uwsgi : nil)
        let before = pointee.clients
        adopt(handed.fd, from: listener)
        guard !handed.isNew, let client = pointee.clients, client != before else { return }
        client.pointee.resting = handed.resting
    }
}
