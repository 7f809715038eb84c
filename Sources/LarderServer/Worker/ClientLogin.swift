import CLarderSystem
import LarderEventLoop
import LarderStore
import LarderWire
import Synchronization

/// Clients that must log in: held attempts, and clients that do not log in in time.
extension WorkerHandle {
    /// Stops reading from a client until the time of its attempt has come.
    @inline(never)
    func holdLogin(_ client: ClientHandle) {
        if pointee.isStopping { return close(client) }
        _ = client.watch.wants(read: false, write: false)
        pointee.heldLogins.append(client)
        startLoginTimer()
    }

    private func startLoginTimer() {
        guard let first = pointee.heldLogins.lazy.map({ $0.pointee.connection.loginMilliseconds }).min() else { return }
        if pointee.loginTimer == nil {
            pointee.loginTimer = Timer(on: pointee.loop.takeUnretainedValue()) { [self] in continueLogins() }
        }
        pointee.loginTimer?.start(afterMilliseconds: Int(Swift.max(1, first - larder_milliseconds(false))))
    }

    private func continueLogins() {
        beginTurn()
        let now = larder_milliseconds(false)
        // In random order: one attempt of an address has its turn at a time, and a fixed order could keep one client
        // waiting for ever.
        for client in pointee.heldLogins.shuffled() where client.pointee.connection.loginMilliseconds <= now {
            // The worker does not read from a waiting client, so check whether it has hung up. A closed client must not
            // take a turn.
            if client.pointee.connection.isWaitingForTurn, larder_has_hung_up(client.pointee.fd) {
                close(client)
                continue
            }
            client.pointee.connection.pointee.continueLogin(now: now, &pointee.context)
            guard client.pointee.connection.pointee.phase != .holdingLogin else { continue }
            pointee.heldLogins.removeAll { $0 == client }
            if client.watch.wants(read: true, write: false) { serve(client) } else { close(client) }
        }
        startLoginTimer()
    }

    /// Closes a client that has not logged in in time. True if it closed the client.
    func closeIfLoginIsLate(_ client: ClientHandle, timeoutSeconds: Int) -> Bool {
        guard hasToLogIn(client) else {
            client.pointee.loginDeadlineSeconds = 0
            return false
        }
        let now = (pointee.context.now - pointee.context.clock.startMilliseconds) / 1000
        if client.pointee.loginDeadlineSeconds == 0 {
            client.pointee.loginDeadlineSeconds = Int32(clamping: now + Int64(timeoutSeconds))
            return false
        }
        guard now >= Int64(client.pointee.loginDeadlineSeconds) else { return false }
        pointee.context.state.loginTimeouts.add(1, ordering: .relaxed)
        close(client, .idleTimeout)
        return true
    }

    private func hasToLogIn(_ client: ClientHandle) -> Bool {
        let connection = client.pointee.connection
        if connection == pointee.resting { return !client.pointee.resting.isAuthenticated }
        return connection.pointee.phase == .loggingIn || connection.pointee.phase == .holdingLogin
            || !connection.pointee.binaryParser.isAuthenticated
    }
}

extension ConnectionHandle {
    fileprivate var loginMilliseconds: Int64 { pointee.heldLogin?.milliseconds ?? 0 }
    fileprivate var isWaitingForTurn: Bool { pointee.heldLogin.map { !$0.hadTurn } ?? false }
}
