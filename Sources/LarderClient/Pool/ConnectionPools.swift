extension EagerPool where Resource == MemcacheConnection {
    /// A pool of connections to one server, all opened at once. A server that could not be reached is left alone for a
    /// while by all of them.
    ///
    /// Where failures are misses the pool comes up without the server, and connects when it is there.
    public convenience init(
        size: Int, to address: ServerAddress, configuration: ConnectionConfiguration = .init()
    ) async throws {
        let makes = PooledConnections(address, configuration)
        try await self.init(
            size: size, observer: PoolObserver(address, configuration), isBroken: { $0.isBroken },
            discard: { await $0.close() }, create: makes.open)
    }
}

extension LazyPool where Resource == MemcacheConnection {
    /// A pool of connections to one server, opened as they are needed. A server that could not be reached is left alone
    /// for a while by all of them.
    public convenience init(
        size: Int, to address: ServerAddress, configuration: ConnectionConfiguration = .init()
    ) {
        let makes = PooledConnections(address, configuration)
        self.init(
            size: size, observer: PoolObserver(address, configuration), isBroken: { $0.isBroken },
            discard: { await $0.close() }, create: makes.open)
    }
}

/// What the connections of a pool have in common.
private struct PooledConnections: Sendable {
    private let address: ServerAddress
    private let configuration: ConnectionConfiguration
    private let gate: ReconnectGate
    private let observer: RequestObserver

    init(_ address: ServerAddress, _ configuration: ConnectionConfiguration) {
        self.address = address
        self.configuration = configuration
        gate = ReconnectGate(configuration.backoff)
        observer = RequestObserver(address, configuration)
    }

    @Sendable func open() async throws -> MemcacheConnection {
        let connection = MemcacheConnection(
            to: address, configuration: configuration, gate: gate, observer: observer)
        try await connection.connect()
        return connection
    }
}
