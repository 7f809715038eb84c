import Logging
import NIOCore
import Synchronization

/// A connection to one server, which many tasks may use at once: their requests go out one after another without
/// waiting for each other's answers.
///
/// It connects when it is first used, and again after it was lost. Whoever cancels a request, or runs out of time, leaves
/// at once; the answer that still comes is dropped.
public final class MemcacheConnection: Sendable {
    private enum Phase {
        case unconnected(isLost: Bool)
        case connecting([PendingBatch])
        case open(Link)
        case closed
    }

    /// Where the server listens.
    public let address: ServerAddress
    /// How the connection is made, kept and watched.
    public let configuration: ConnectionConfiguration
    let observer: RequestObserver
    private let settings: LinkSettings
    private let gate: ReconnectGate
    private let phase = Mutex(Phase.unconnected(isLost: false))
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
        phase.withLock { phase in
            if case .open(let link) = phase {
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
        phase.withLock { phase in
            switch phase {
            case .unconnected(let isLost): isLost
            case .connecting, .open: false
            case .closed: true
            }
        }
    }

    /// Whether it is connected now.
    var isOpen: Bool {
        phase.withLock { phase in
            if case .open = phase { true } else { false }
        }
    }

    /// Closes it for good: who waits for an answer, or asks from now on, gets an error.
    public func close() async {
        let error = MemcacheError(.closed, "the connection to \(address) was closed")
        let (link, waiting) = phase.withLock { phase -> (Link?, [PendingBatch]) in
            defer { phase = .closed }
            return switch phase {
            case .open(let link): (link, [])
            case .connecting(let waiting): (nil, waiting)
            case .unconnected, .closed: (nil, [])
            }
        }
        for batch in waiting { batch.finish(.failure(error)) }
        link?.end(error)
        try? await link?.channel.closeFuture.get()
    }

    /// Sends commands, at least one, and waits for all of their answers.
    func answers(
        commandCount: Int, _ encode: (inout any RequestEncoder) throws -> Void
    ) async throws -> [Answer] {
        // A command has two answers at most.
        let first = opaqueCount.wrappingAdd(2 * UInt64(commandCount), ordering: .relaxed).oldValue
        var encoder = settings.dialect.makeEncoder(firstOpaque: first, commandCount: commandCount)
        try encode(&encoder)
        return try await PendingBatch(encoder).answers(submit)
    }

    /// What the answers to a lease come to.
    func leased(_ answers: [Answer]) throws(MemcacheError) -> Lease<StoredItem> {
        if let lease = settings.dialect.lease(answers) { return lease }
        throw observer.unexpected(answers.first { $0.isRefusal } ?? answers.first)
    }

    private func submit(_ batch: PendingBatch) {
        enum Step {
            case send(Link)
            case wait, open
            case fail(MemcacheError)
        }
        let step = phase.withLock { phase -> Step in
            switch phase {
            case .open(let link): return .send(link)
            case .connecting(var waiting):
                waiting.append(batch)
                phase = .connecting(waiting)
                return .wait
            case .unconnected:
                guard gate.mayTry() else {
                    return .fail(MemcacheError(.backingOff, "\(address) could not be reached a moment ago"))
                }
                phase = .connecting([batch])
                return .open
            case .closed:
                return .fail(MemcacheError(.closed, "the connection to \(address) was closed"))
            }
        }
        switch step {
        case .send(let link): link.send(batch)
        case .wait: break
        case .open: open()
        case .fail(let error): batch.finish(.failure(error))
        }
    }

    private func open() {
        let begin = ContinuousClock.now
        let events = LinkEvents(
            ended: { [weak self] end in self?.ended(end) },
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
            case .failure(let error): couldNotOpen(error)
            }
        }
    }

    private func opened(_ link: Link) {
        let waiting = phase.withLock { phase -> [PendingBatch]? in
            guard case .connecting(let waiting) = phase else { return nil }
            phase = .open(link)
            return waiting
        }
        guard let waiting else { return link.end(MemcacheError(.closed, "the connection was closed")) }
        for batch in waiting { link.send(batch) }
    }

    private func couldNotOpen(_ cause: any Error) {
        gate.failed()
        let error = cause as? MemcacheError ?? MemcacheError(.cannotConnect, "\(address)", underlying: cause)
        observer.couldNotOpen(error)
        let waiting = phase.withLock { phase -> [PendingBatch] in
            guard case .connecting(let waiting) = phase else { return [] }
            phase = .unconnected(isLost: true)
            return waiting
        }
        for batch in waiting { batch.finish(.failure(error)) }
    }

    private func ended(_ end: LinkEnd) {
        if end.hasAnswered { gate.succeeded() } else if end.error != nil { gate.failed() }
        if let error = end.error, error.code != .closed { observer.lost(error) }
        phase.withLock { phase in
            if case .open = phase { phase = .unconnected(isLost: end.error != nil) }
        }
    }
}
