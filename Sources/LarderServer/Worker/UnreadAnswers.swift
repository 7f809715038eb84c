import CLarderSystem
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

    /// Adds what a client holds that cannot be sent more now, and makes room if that is too much.
    func countUnread(_ client: ClientPointer) {
        client.pointee.connection.pointee.giveBackEmptyBuffers(&pointee.context)
        changeUnread(of: client, to: client.pointee.connection.pointee.unreadBytes)
        let state = pointee.context.state
        while state.unreadBytes.load(ordering: .relaxed) > state.unreadBytesMax, dropStalestAnswer(except: client) {}
    }

    /// The client has taken everything, or is to go.
    @inline(never)
    func uncountUnread(_ client: ClientPointer) { changeUnread(of: client, to: 0) }

    private func changeUnread(of client: ClientPointer, to held: Int) {
        let change = held - client.pointee.connection.pointee.unreadBytesCounted
        guard change != 0 else { return }
        client.pointee.connection.pointee.unreadBytesCounted = held
        pointee.context.state.unreadBytes.add(change, ordering: .relaxed)
    }

    /// Unread answers hold more memory than they may: the client goes that has taken nothing for longest. False when there
    /// is none but the current one.
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

    /// Closes a client that has taken nothing for too long. One that takes little does not let the socket tell, which asks
    /// for more only when much of its buffer is free; so the bytes in it are looked at.
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
    /// Bytes of memory that its client's answers take up, and what it sent meanwhile.
    var unreadBytes: Int { output.heldBytes + input.capacity }
}
