import CLarderSystem
import LarderEventLoop
import LarderStore
import Synchronization

/// Memory that clients hold by not reading their answers: buffers, and copies of values that could not stay in the
/// arena. All clients together have one limit, and each client has a deadline.
extension UnsafeMutablePointer<WorkerCore> {
    /// How long a client may read nothing of an answer.
    private static var unreadMillisecondsMax: Int64 { 60_000 }
    /// After this time the socket's send buffer is checked, too.
    private static var unreadMillisecondsDoubtful: Int64 { 30_000 }

    /// Counts the memory of a client that cannot be sent more now, and makes room if the total is too high.
    func countUnread(_ client: ClientPointer) {
        client.pointee.connection.pointee.giveBackEmptyBuffers(&pointee.context)
        changeUnread(of: client, to: client.pointee.connection.pointee.unreadBytes)
        let state = pointee.context.state
        while state.unreadBytes.load(ordering: .relaxed) > state.unreadBytesMax, dropStalestAnswer(except: client) {}
    }

    /// The client has read everything, or will be closed.
    @inline(never)
    func uncountUnread(_ client: ClientPointer) { changeUnread(of: client, to: 0) }

    private func changeUnread(of client: ClientPointer, to held: Int) {
        let change = held - client.pointee.connection.pointee.unreadBytesCounted
        guard change != 0 else { return }
        client.pointee.connection.pointee.unreadBytesCounted = held
        pointee.context.state.unreadBytes.add(change, ordering: .relaxed)
    }

    /// Unread answers hold too much memory: drops the client that has read nothing for longest. False if there is no
    /// client but the current one.
    private func dropStalestAnswer(except current: ClientPointer) -> Bool {
        var stalest: ClientPointer?
        var next = pointee.clients
        while let client = next {
            next = client.pointee.next
            guard client != current, client.pointee.isSending, client.pointee.connection.pointee.unreadBytesCounted > 0
            else { continue }
            let time = client.pointee.lastActivityMilliseconds
            if stalest.map({ time < $0.pointee.lastActivityMilliseconds }) ?? true { stalest = client }
        }
        guard let stalest else { return false }
        cutOff(stalest)
        return true
    }

    /// Frees the memory of a client. The client is closed at the end of the turn, since a caller may be going through a
    /// list of clients.
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

    /// Closes a client that has read nothing for too long. A client that reads slowly may not make the socket writable,
    /// so the bytes in the send buffer are compared.
    func closeIfUnread(_ client: ClientPointer, silentMilliseconds silent: Int64) {
        guard silent > Self.unreadMillisecondsDoubtful else { return }
        let unsent = larder_unsent_bytes(client.pointee.fd)
        let before = client.pointee.connection.pointee.unsentBytes
        client.pointee.connection.pointee.unsentBytes = unsent
        if before >= 0, unsent != before {
            client.pointee.lastActivityMilliseconds = pointee.context.now
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
