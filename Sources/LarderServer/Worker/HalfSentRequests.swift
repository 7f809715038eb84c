import Synchronization

/// Memory that half-sent values and long lines hold. All clients together have one limit.
extension WorkerHandle {
    /// Adds what this worker's half-sent requests hold to what all hold, and makes room if that is
    /// too much.
    func reportHeldBytes(except current: ClientHandle) {
        let change = pointee.context.heldBytes - pointee.heldBytesReported
        pointee.heldBytesReported = pointee.context.heldBytes
        let state = pointee.context.state
        let total = state.heldBytes.add(change, ordering: .relaxed).newValue
        let others = pointee.context.heldBytes - current.pointee.connection.pointee.heldBytes
        if total > state.heldBytesMax, others > 0 { dropStalestRequest(except: current) }
    }

    /// Half-sent requests hold more memory than they may: the one that has waited longest goes.
    private func dropStalestRequest(except current: ClientHandle) {
        var stalest: ClientHandle?
        var next = pointee.clients
        while let client = next {
            next = client.pointee.next
            guard client != current, client.pointee.connection.pointee.heldBytes > 0 else { continue }
            let time = client.pointee.lastActivityMilliseconds
            if stalest.map({ time < $0.pointee.lastActivityMilliseconds }) ?? true { stalest = client }
        }
        guard let stalest else { return }
        pointee.context.state.droppedForMemory.add(1, ordering: .relaxed)
        close(stalest)
    }
}
