#if ServiceLifecycle
    import LarderTestServer
    import Logging
    import ServiceLifecycle
    import ServiceLifecycleTestKit
    import Testing

    @testable import LarderClient

    @Suite(.timeLimit(.minutes(1))) struct ServicesTests {
        /// What can be a service, over a server.
        enum Kind: String, CaseIterable, Sendable {
            case connection, eagerPool, lazyPool, pooled, group

            func make(_ server: LarderTestServer) async throws -> any Service {
                let (address, configuration) = (server.address, server.connectionConfiguration)
                switch self {
                case .connection: return server.makeConnection()
                case .eagerPool:
                    return try await EagerPool(size: 2, to: address, configuration: configuration)
                case .lazyPool: return LazyPool(size: 2, to: address, configuration: configuration)
                case .pooled: return Pooled(LazyPool(size: 2, to: address, configuration: configuration))
                case .group: return ServerGroup([GroupMember(address)], configuration: configuration)
                }
            }

            func servers(_ service: any Service) -> (any ItemServers)? {
                switch service {
                case let pool as EagerPool<MemcacheConnection>: return Pooled(pool)
                case let pool as LazyPool<MemcacheConnection>: return Pooled(pool)
                default: return service as? any ItemServers
                }
            }
        }

        @Test(arguments: Kind.allCases, [false, true])
        func itServesUntilTheEndAndThenCloses(kind: Kind, isCancelled: Bool) async throws {
            try await LarderTestServer.withServer { server in
                let service = try await kind.make(server)
                let servers = try #require(kind.servers(service))
                try await testGracefulShutdown { trigger in
                    let running = Task { try await service.run() }
                    let item = NewItem(key: "k", bytes: [1])
                    #expect(try await servers.store(.set, [item], expiration: .never) == [])
                    #expect(server.connectionCount > 0)
                    if isCancelled { running.cancel() } else { trigger.triggerGracefulShutdown() }
                    try await running.value
                }
                let error = await #expect(throws: MemcacheError.self) { try await servers.items(for: ["k"]) }
                #expect(error?.code == .closed)
                await until { server.connectionCount == 0 }
            }
        }

        @Test func aConnectionIsOpenedByItsService() async throws {
            try await LarderTestServer.withServer { server in
                let connection = server.makeConnection()
                try await testGracefulShutdown { trigger in
                    let running = Task { try await connection.run() }
                    await until { server.connectionCount == 1 }
                    trigger.triggerGracefulShutdown()
                    try await running.value
                }
            }
        }

        @Test(arguments: [FailurePolicy.throw, .miss])
        func withoutAServerTheServiceFailsOrWaits(policy: FailurePolicy) async throws {
            let server = try LarderTestServer()
            server.stop()
            let connection = server.makeConnection {
                $0.onFailure = policy
                $0.silence()
            }
            try await testGracefulShutdown { trigger in
                let running = Task { try await connection.run() }
                switch policy {
                case .throw:
                    let error = await #expect(throws: MemcacheError.self) { try await running.value }
                    #expect(error?.code == .cannotConnect)
                case .miss:
                    await until { connection.isBroken }
                    try server.restart()
                    await until { (try? await connection.ping()) != nil }
                    trigger.triggerGracefulShutdown()
                    try await running.value
                }
            }
            server.stop()
        }

        @Test func discoveriesEndWithTheApplication() async throws {
            let group = ServerGroup([])
            let asked = Shared(0)
            let discovery = ServerDiscovery(of: group, interval: .seconds(100_000)) {
                asked.next()
                return [GroupMember(.host("10.0.0.1"))]
            }
            let cluster = try FakeServer { _ in .say("CONFIG cluster 0 11\r\n1\na|b|11211\r\nEND\r\n") }
            let other = ServerGroup([])
            let clusterDiscovery = ClusterDiscovery(
                of: other, from: .unixSocket(path: cluster.path), interval: .seconds(100_000))
            try await testGracefulShutdown { trigger in
                let services: [any Service] = [discovery, clusterDiscovery]
                let running = services.map { service in Task { try await service.run() } }
                await until { asked.value == 1 && cluster.acceptedCount == 1 }
                trigger.triggerGracefulShutdown()
                for task in running { try await task.value }
            }
            #expect(group.members.count == 1)
        }

        /// As an application has it: what uses the cache ends before the cache does.
        @Test func inAGroupOfServices() async throws {
            try await LarderTestServer.withServer { server in
                let connection = server.makeConnection()
                let cache = RemoteCache(connection)
                struct User: Service {
                    let cache: RemoteCache
                    func run() async throws {
                        try await cache.set("k", 1)
                        try? await gracefulShutdown()
                        try await cache.set("last", 2)
                    }
                }
                var logger = Logger(label: "test")
                logger.logLevel = .critical
                let group = ServiceGroup(services: [connection, User(cache: cache)], logger: logger)
                let running = Task { try await group.run() }
                let other = server.makeCache()
                await until { (try? await other.get("k", as: Int.self)) == 1 }
                await group.triggerGracefulShutdown()
                try await running.value
                #expect(try await other.get("last") == 2)
                #expect(connection.isBroken)
            }
        }
    }
#endif
