import CLarderSystem
import Glibc
import LarderEventLoop
import LarderStore
import Synchronization

/// What clients hold that do not take their answers: buffers, and copies of values that could not stay in the arena. All
/// of them together have one limit, and each has a deadline.
extension UnsafeMutablePointer<WorkerCore> {
    /// How long a client may take nothing of an answer.
    private static var unreadMillisecondsMax: Int64 { 60_000 }
    /// From when on the system is asked whether it does.
    private static var unreadMillisecondsDoubtful: Int64 { 30_000 }

    /// Adds what a client holds that cannot be sent more now, and makes room if that is too much. Only then is copied what
    /// may not wait in the arena. False when there is no memory for that.
    func countUnread(_ client: ClientPointer) -> Bool {
        let connection = client.pointee.connection
        connection.pointee.giveBackEmptyBuffers(&pointee.context)
        let toCopy = connection.pointee.output.briefBytes
        changeUnread(of: client, to: connection.pointee.unreadBytes + toCopy)
        reorder(client)
        let state = pointee.context.state
        // Memory that was used already is cheaper than new, whose pages the system has to clear.
        var spare: UnsafeMutableRawPointer?
        defer { free(spare) }
        while state.unreadBytes.load(ordering: .relaxed) > state.unreadBytesMax, let stalest = stalestAnswer(except: client) {
            if spare == nil, toCopy > 0 { spare = stalest.pointee.connection.pointee.output.takeCopy() }
            cutOff(stalest)
        }
        guard toCopy > 0 else { return true }
        guard connection.pointee.output.copyBriefBytes(&spare, pointee.context.session) else { return false }
        changeUnread(of: client, to: connection.pointee.unreadBytes)
        return true
    }

    /// The client has taken everything, or is to go.
    @inline(never)
    func uncountUnread(_ client: ClientPointer) { changeUnread(of: client, to: 0) }

    private func changeUnread(of client: ClientPointer, to held: Int) {
        let before = client.pointee.connection.pointee.unreadBytesCounted
        guard held != before else { return }
        client.pointee.connection.pointee.unreadBytesCounted = held
        let state = pointee.context.state
        let unread = state.unreadBytes.add(held - before, ordering: .relaxed).newValue
        state.spareBody.note(unreadBytes: unread)
        if before == 0 { enlist(client) } else if held == 0 { unlist(client) }
    }

    // MARK: In the order of their last activity

    /// Adds a client to those that hold unread answers: among the last of them, nearly always.
    private func enlist(_ client: ClientPointer) {
        var previous = pointee.unreadLast
        while let other = previous, other.pointee.lastActivityMilliseconds > client.pointee.lastActivityMilliseconds {
            previous = other.pointee.connection.pointee.unreadPrevious
        }
        let next = previous.map { $0.pointee.connection.pointee.unreadNext } ?? pointee.unreadFirst
        client.pointee.connection.pointee.unreadPrevious = previous
        client.pointee.connection.pointee.unreadNext = next
        if let previous { previous.pointee.connection.pointee.unreadNext = client } else { pointee.unreadFirst = client }
        if let next { next.pointee.connection.pointee.unreadPrevious = client } else { pointee.unreadLast = client }
    }

    private func unlist(_ client: ClientPointer) {
        let previous = client.pointee.connection.pointee.unreadPrevious
        let next = client.pointee.connection.pointee.unreadNext
        if let previous { previous.pointee.connection.pointee.unreadNext = next } else { pointee.unreadFirst = next }
        if let next { next.pointee.connection.pointee.unreadPrevious = previous } else { pointee.unreadLast = previous }
        client.pointee.connection.pointee.unreadPrevious = nil
        client.pointee.connection.pointee.unreadNext = nil
    }

    /// Keeps the order when a client that holds some was active.
    private func reorder(_ client: ClientPointer) {
        guard let next = client.pointee.connection.pointee.unreadNext,
            next.pointee.lastActivityMilliseconds < client.pointee.lastActivityMilliseconds
        else { return }
        unlist(client)
        enlist(client)
    }

    /// The client that is to go when unread answers hold more memory than they may: it has taken nothing for longest.
    private func stalestAnswer(except current: ClientPointer) -> ClientPointer? {
        guard let first = pointee.unreadFirst, first == current else { return pointee.unreadFirst }
        return first.pointee.connection.pointee.unreadNext
    }

    /// Takes from a client what it holds. It is closed at the end of the turn: until then others may have it in hand, who
    /// go through a list of clients.
    private func cutOff(_ client: ClientPointer) {
        uncountUnread(client)
        watch(client).remove()
        client.pointee.connection.pointee.dispose(&pointee.context)
        client.pointee.connection.pointee.phase = .closing
        pointee.cutOff.append(client)
        pointee.context.state.unreadClosed.add(1, ordering: .relaxed)
    }

    func closeCutOff() {
        while let client = pointee.cutOff.popLast() { close(client, .error) }
    }

    /// In debug builds: whatever was pinned briefly in this turn is sent, copied or dropped at its end.
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

    /// Closes a client that has taken nothing for too long. One that takes little does not let the socket tell, which asks
    /// for more only when much of its buffer is free; so the bytes in it are looked at.
    func closeIfUnread(_ client: ClientPointer, silentMilliseconds silent: Int64) {
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
    /// Bytes of memory that its client's answers take up, and what it sent meanwhile.
    var unreadBytes: Int { output.heldBytes + input.capacity }
}
