import LarderEventLoop

/// Where a worker accepts its clients itself.
final class WorkerAcceptor: ConnectionSink {
    private let core: WorkerHandle
    private var acceptor: Acceptor?

    /// The listeners are the acceptor's from now on. It is the worker's, and so is the thread that it is used in.
    init(_ core: WorkerHandle, _ listeners: [Listener]) throws(EventLoopError) {
        self.core = core
        let state = core.pointee.context.state
        acceptor = try Acceptor(
            listeners, on: core.pointee.loop.takeUnretainedValue(), limit: state.connectionLimit,
            refusesOverLimit: state.settings.refusesConnectionsOverLimit, sink: self)
    }

    func adopt(_ fd: Int32, from listener: Listener) {
        core.beginTurn()
        core.adopt(fd, from: listener)
    }

    func close() { acceptor?.stop() }
}
