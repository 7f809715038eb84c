extension EagerPool where Resource == MemcacheConnection {
    /// A pool of connections to one server, all opened at once. A server that could not be reached is left alone for a
    /// while by all of them.
    ///
    /// Where failures are misses the pool comes up without the server, and connects when it is there.
    public convenience init(
        size: Int, to address: ServerAddress, configuration: ConnectionConfiguration = .init()
    ) async throws {
        let gate = ReconnectGate(configuration.backoff)
        try await self.init(size: size) {
            let connection = MemcacheConnection(to: address, configuration: configuration, gate: gate)
            try await connection.connect()
            return connection
        }
    }
}

extension LazyPool where Resource == MemcacheConnection {
    /// A pool of connections to one server, opened as they are needed. A server that could not be reached is left alone
    /// for a while by all of them.
    public convenience init(
        size: Int, to address: ServerAddress, configuration: ConnectionConfiguration = .init()
    ) {
        let gate = ReconnectGate(configuration.backoff)
        self.init(size: size) {
            let connection = MemcacheConnection(to: address, configuration: configuration, gate: gate)
            try await connection.connect()
            return connection
        }
    }
}
