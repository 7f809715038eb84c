import CLarderSystem
import Glibc
import LarderEventLoop
import LarderStore
import Synchronization

/// Memory that clients hold by not reading their answers: buffers, and copies of values that could not stay in the
/// arena. All clients together have one limit, and each client has a deadline.
extension WorkerHandle {
    /// How long a client may read nothing of an answer.
    private static var unreadMillisecondsMax: Int64 { 60_000 }
    /// After this time the socket's send buffer is checked, too.
    private static var unreadMillisecondsDoubtful: Int64 { 30_000 }

    /// Counts the memory of a client that cannot be sent more now, and makes room if the total is too high. Then copies
    /// the value that may not stay pinned. False if there is no memory for the copy.
    func countUnread(_ client: ClientHandle) -> Bool {
        let connection = client.pointee.connection
        connection.pointee.giveBackEmptyBuffers(&pointee.context)
        let toCopy = connection.pointee.output.briefBytes
        let isFromFile = toCopy > 0 && connection.pointee.output.sendsFromFile
        changeUnread(of: client, to: connection.pointee.unreadBytes + toCopy)
        reorder(client)
        let state = pointee.context.state
        // Memory that was used already is cheaper than new, whose pages the system has to clear.
        var spare: UnsafeMutableRawPointer?
        defer { free(spare) }
        while state.unreadBytes.load(ordering: .relaxed) > state.unreadBytesMax,
            let stalest = stalestAnswer(except: client)
        {
            if spare == nil, toCopy > 0 { spare = stalest.pointee.connection.pointee.output.takeCopy() }
            cutOff(stalest)
        }
        guard toCopy > 0 else { return true }
        guard connection.pointee.output.copyBriefBytes(&spare, pointee.context.session) else { return false }
        // The store's file was changed before the copy was made or meanwhile.
        if isFromFile, StoreDamage.count != pointee.damagesSeen { connection.pointee.output.isSpoiled = true }
        changeUnread(of: client, to: connection.pointee.unreadBytes)
        return true
    }

    /// The client has read everything, or will be closed.
    @inline(never)
    func uncountUnread(_ client: ClientHandle) { changeUnread(of: client, to: 0) }

    private func changeUnread(of client: ClientHandle, to held: Int) {
        let before = client.pointee.connection.pointee.unreadBytesCounted
        guard held != before else { return }
        client.pointee.connection.pointee.unreadBytesCounted = held
        let state = pointee.context.state
        let unread = state.unreadBytes.add(held - before, ordering: .relaxed).newValue
        state.spareBody.note(unreadBytes: unread)
        if before == 0 { enlist(client) } else if held == 0 { unlist(client) }
    }

    // MARK: In the order of their last activity

    /// Adds a client to the list. Its place is nearly always the end.
    private func enlist(_ client: ClientHandle) {
        var previous = pointee.unreadLast
        while let other = previous, other.pointee.lastActivityMilliseconds > client.pointee.lastActivityMilliseconds {
            previous = other.pointee.connection.pointee.unreadPrevious
        }
        let next = previous.map { $0.pointee.connection.pointee.unreadNext } ?? pointee.unreadFirst
        client.pointee.connection.pointee.unreadPrevious = previous
        client.pointee.connection.pointee.unreadNext = next
        if let previous {
            previous.pointee.connection.pointee.unreadNext = client
        } else {
            pointee.unreadFirst = client
        }
        if let next { next.pointee.connection.pointee.unreadPrevious = client } else { pointee.unreadLast = client }
    }

    private func unlist(_ client: ClientHandle) {
        let previous = client.pointee.connection.pointee.unreadPrevious
        let next = client.pointee.connection.pointee.unreadNext
        if let previous { previous.pointee.connection.pointee.unreadNext = next } else { pointee.unreadFirst = next }
        if let next { next.pointee.connection.pointee.unreadPrevious = previous } else { pointee.unreadLast = previous }
        client.pointee.connection.pointee.unreadPrevious = nil
        client.pointee.connection.pointee.unreadNext = nil
    }

    /// Keeps the order after a client was active.
    private func reorder(_ client: ClientHandle) {
        guard let next = client.pointee.connection.pointee.unreadNext,
            next.pointee.lastActivityMilliseconds < client.pointee.lastActivityMilliseconds
        else { return }
        unlist(client)
        enlist(client)
    }

    /// The client to close when unread answers hold too much memory: it has read nothing for longest.
    private func stalestAnswer(except current: ClientHandle) -> ClientHandle? {
        guard let first = pointee.unreadFirst, first == current else { return pointee.unreadFirst }
        return first.pointee.connection.pointee.unreadNext
    }

    /// Frees the memory of a client. The client is closed at the end of the turn, since a caller may be going through a
    /// list of clients.
    private func cutOff(_ client: ClientHandle) {
        uncountUnread(client)
        client.watch.remove()
        client.pointee.connection.pointee.dispose(&pointee.context)
        client.pointee.connection.pointee.phase = .closing
        pointee.cutOff.append(client)
        pointee.context.state.unreadClosed.add(1, ordering: .relaxed)
    }

    func closeCutOff() {
        while let client = pointee.cutOff.popLast() { close(client, .error) }
    }

    /// In debug builds, checks at the end of a turn that no value stays pinned that was pinned for one attempt.
    @inline(__always)
    func checkBriefPins() {
        #if DEBUG
            guard pointee.context.hasPinnedBriefly else { return }
            pointee.context.hasPinnedBriefly = false
            var next = pointee.clients
            while let client = next {
                next = client.pointee.next
                let bytes = client.pointee.connection.pointee.output.briefBytes
                assert(bytes == 0, "a value stays pinned that was pinned for one attempt to send it")
            }
        #endif
    }

    /// Closes a client that has read nothing for too long. A client that reads slowly may not make the socket writable,
    /// so the bytes in the send buffer are compared.
    func closeIfUnread(_ client: ClientHandle, silentMilliseconds silent: Int64) {
        guard silent > Self.unreadMillisecondsDoubtful else { return }
        let unsent = larder_unsent_bytes(client.pointee.fd)
        let before = client.pointee.connection.pointee.unsentBytes
        client.pointee.connection.pointee.unsentBytes = unsent
        if before >= 0, unsent != before {
            client.pointee.lastActivityMilliseconds = pointee.context.now
            reorder(client)
        } else if silent > Self.unreadMillisecondsMax {
            pointee.context.state.unreadClosed.add(1, ordering: .relaxed)
            close(client, .error)
        }
    }
}

extension Connection {
    /// Bytes of memory that the client's unread answers hold, and its unread requests.
    var unreadBytes: Int { output.heldBytes + input.capacity }
}
