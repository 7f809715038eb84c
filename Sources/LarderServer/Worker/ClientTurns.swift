/// Clients that have more to do than one turn has room for, and those that something else than their socket wakes.
extension WorkerHandle {
    /// Puts a client behind the others that have something to do.
    func yield(_ client: ClientHandle) {
        client.pointee.isYielded = true
        client.pointee.nextYielded = nil
        if let last = pointee.yieldedLast {
            last.pointee.nextYielded = client
        } else {
            pointee.yieldedFirst = client
        }
        pointee.yieldedLast = client
    }

    /// Goes on with what was begun and does not wait for a client: watchers have new lines, a crawl
    /// has more to look at.
    func serveListening() {
        if !pointee.heldWrites.isEmpty { continueWrites() }
        for client in pointee.listening where !client.pointee.isYielded && !client.pointee.isSending {
            serve(client)
        }
        pointee.context.continueCrawl()
    }

    /// Gives every client that yielded its next turn.
    func serveYielded() {
        var next = pointee.yieldedFirst
        pointee.yieldedFirst = nil
        pointee.yieldedLast = nil
        while let client = next {
            next = client.pointee.nextYielded
            client.pointee.isYielded = false
            if client.pointee.tlsState.hasInput {
                client.pointee.tlsState.hasInput = false
                receivePending(client)
            } else {
                serve(client)
            }
        }
    }
}
