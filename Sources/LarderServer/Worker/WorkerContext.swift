import LarderStore
import LarderWire
import Synchronization

/// One worker's own things, which nobody else touches: its session, its buffers, its counters, and
/// the settings that it asks for at each request.
struct WorkerContext: ~Copyable {
    let number: Int
    let session: Session
    let counters: Counters
    let server: Unmanaged<ServerState>
    var pool = BufferPool()
    /// Absolute milliseconds, read once at the beginning of a turn.
    var now: Int64 = 0
    /// This turn's `-v` level.
    var verbosity = 0
    var detailIsEnabled = false
    let itemSizeMax: Int
    let casIsEnabled: Bool
    let requestsPerEventMax: Int
    /// How a client of the text protocol begins.
    let firstPhase: Connection.Phase
    /// Bytes of half-sent values and long lines that this worker holds.
    var heldBytes = 0

    init(_ server: ServerState, number: Int) throws(StoreError) {
        self.number = number
        self.server = Unmanaged.passUnretained(server)
        session = try server.store.makeSession()
        counters = server.counters[number]
        itemSizeMax = server.settings.maxItemSizeBytes
        casIsEnabled = server.settings.casEnabled
        requestsPerEventMax = server.settings.requestsPerEventMax
        firstPhase = server.authenticator == nil ? .readingCommand : .loggingIn
    }

    deinit { pool.deallocate() }

    /// Off the hot path: everything that is not copied into the context.
    var state: ServerState { server.takeUnretainedValue() }

    mutating func beginTurn(now: Int64) {
        self.now = now
        verbosity = server._withUnsafeGuaranteedRef { $0.verbosity.load(ordering: .relaxed) }
        detailIsEnabled = server._withUnsafeGuaranteedRef { $0.detail.isEnabled }
        session.begin(now: now)
    }

    func endTurn() { session.end() }
}
