import LarderEventLoop

extension Client {
    /// Whether its change is on its way, and will be answered.
    var waitsForLog: Bool { connection.pointee.phase == .holdingWrite }
}

/// Clients whose change waits for the log of a replicated cache.
extension WorkerHandle {
    /// Stops reading from a client until its change is answered.
    @inline(never)
    func holdWrite(_ client: ClientHandle) {
        // The answer may have come while earlier answers were sent.
        if client.pointee.connection.pointee.continueWrite(&pointee.context) { return yield(client) }
        _ = client.watch.wants(read: false, write: false)
        pointee.heldWrites.append(client)
    }

    /// Answers the changes that are done.
    @inline(never)
    func continueWrites() {
        for client in pointee.heldWrites {
            guard client.pointee.connection.pointee.continueWrite(&pointee.context) else { continue }
            pointee.heldWrites.removeAll { $0 == client }
            if client.watch.wants(read: true, write: false) { serve(client) } else { close(client) }
        }
    }
}
