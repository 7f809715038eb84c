import Logging
import NIOCore
import Synchronization

/// A connection to one server, which many tasks may use at once: their requests go out one after another without
/// waiting for each other's answers.
///
/// It connects when it is first used, and again after it was lost. Whoever cancels a request, or runs out of time, leaves
/// at once; the answer that still comes is dropped.
public final class MemcacheConnection: Sendable {
    /// Where the server listens.
    public let address: ServerAddress
    /// How the connection is made, kept and watched.
    public let configuration: ConnectionConfiguration
    let observer: RequestObserver
    private let settings: LinkSettings
    private let gate: ReconnectGate
    private let state = Mutex(ConnectionState())
    private let opaqueCount = Atomic<UInt64>(0)

    /// A connection that opens when it is first used.
    public convenience init(to address: ServerAddress, configuration: ConnectionConfiguration = .init()) {
        self.init(
            to: address, configuration: configuration, gate: ReconnectGate(configuration.backoff),
            observer: RequestObserver(address, configuration))
    }

    init(
        to address: ServerAddress, configuration: ConnectionConfiguration, gate: ReconnectGate,
        observer: RequestObserver
    ) {
        self.address = address
        self.configuration = configuration
        self.gate = gate
        settings = LinkSettings(address, configuration)
        self.observer = observer
    }

    deinit {
        state.withLock { state in
            if case .open(let link) = state.phase {
                link.end(MemcacheError(.closed, "nobody holds the connection"))
            }
        }
    }

    /// A connection that is open already; where failures are misses, one that opens as soon as it can.
    public static func connect(
        to address: ServerAddress, configuration: ConnectionConfiguration = .init()
    ) async throws -> MemcacheConnection {
        let connection = MemcacheConnection(to: address, configuration: configuration)
        try await connection.connect()
        return connection
    }

    func connect() async throws {
        try await observer.tolerating(instead: ()) { try await self.ping() }
    }

    /// Asks for an answer and nothing else, and opens the connection if it is not.
    public func ping() async throws {
        let answers = try await answers(commandCount: 1) { encoder in encoder.ping() }
        guard answers.first?.code == .noOperation else { throw observer.unexpected(answers.first) }
    }

    /// Whether the server could not be reached when last tried, or the connection was lost or closed.
    public var isBroken: Bool {
        state.withLock { state in
            switch state.phase {
            case .unconnected(let isLost): isLost
            case .connecting, .open: false
            case .closed: true
            }
        }
    }

    /// Whether it is connected now.
    var isOpen: Bool {
        state.withLock { state in
            if case .open = state.phase { true } else { false }
        }
    }

    /// Closes it for good: who waits for an answer, or asks from now on, gets an error.
    public func close() async {
        let error = MemcacheError(.closed, "the connection to \(address) was closed")
        let (link, waiting) = state.withLock { $0.close() }
        for batch in waiting { batch.finish(.failure(error)) }
        link?.end(error)
        try? await link?.channel.closeFuture.get()
    }

    /// Sends commands, at least one, and waits for all of their answers.
    func answers(
        commandCount: Int, _ encode: (inout any RequestEncoder) throws -> Void
    ) async throws -> [Answer] {
        var encoder = encoder(commandCount: commandCount)
        try encode(&encoder)
        return try await PendingBatch(encoder).answers(submit)
    }

    func encoder(commandCount: Int) -> any RequestEncoder {
        // A command has two answers at most.
        let first = opaqueCount.wrappingAdd(2 * UInt64(commandCount), ordering: .relaxed).oldValue
        return settings.dialect.makeEncoder(firstOpaque: first, commandCount: commandCount)
    }

    /// What the answers to a lease come to.
    func leased(_ answers: [Answer]) throws(MemcacheError) -> Lease<StoredItem> {
        if let lease = settings.dialect.lease(answers) { return lease }
        throw observer.unexpected(answers.first { $0.isRefusal } ?? answers.first)
    }

    func submit(_ batch: PendingBatch) {
        switch state.withLock({ $0.submit(batch, gate) }) {
        case .send(let link): link.send(batch)
        case .wait: break
        case .open(let attempt): open(attempt)
        case .leave:
            batch.finish(
                .failure(MemcacheError(.backingOff, "\(address) could not be reached a moment ago")))
        case .refuse:
            batch.finish(.failure(MemcacheError(.closed, "the connection to \(address) was closed")))
        }
    }

    private func open(_ attempt: ReconnectGate.Attempt) {
        let begin = ContinuousClock.now
        let events = LinkEvents(
            answered: { [gate] in gate.succeeded() },
            ended: { [weak self] end in self?.ended(end, attempt) },
            resend: { [weak self] batch in
                guard let self else {
                    return batch.finish(.failure(MemcacheError(.closed, "nobody holds the connection")))
                }
                submit(batch)
            })
        Link.open(settings, events).whenComplete { [self] result in
            switch result {
            case .success(let link):
                observer.opened(after: begin.duration(to: .now))
                opened(link)
            case .failure(let error): couldNotOpen(error, attempt)
            }
        }
    }

    private func opened(_ link: Link) {
        guard let waiting = state.withLock({ $0.opened(link) }) else {
            return link.end(MemcacheError(.closed, "the connection was closed"))
        }
        for batch in waiting { link.send(batch) }
    }

    private func couldNotOpen(_ cause: any Error, _ attempt: ReconnectGate.Attempt) {
        gate.failed(attempt)
        let error = cause as? MemcacheError ?? MemcacheError(.cannotConnect, "\(address)", underlying: cause)
        observer.couldNotOpen(error)
        for batch in state.withLock({ $0.couldNotOpen() }) { batch.finish(.failure(error)) }
    }

    private func ended(_ end: LinkEnd, _ attempt: ReconnectGate.Attempt) {
        // A server that was well may be tried at once, whatever befell other connections before.
        if end.hasAnswered { gate.succeeded() }
        if let error = end.error, error.code != .closed {
            if !end.hasAnswered { gate.failed(attempt) }
            observer.lost(error)
        }
        state.withLock { $0.ended(isLost: end.error != nil) }
    }
}
