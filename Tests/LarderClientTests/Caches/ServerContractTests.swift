import Foundation
import LarderTesting
import Testing

@testable import LarderClient

/// The contract over real servers.
@Suite struct ServerContractTests {
    /// Ways to them.
    enum Way: String, CaseIterable, Sendable {
        case connection, eagerPool, lazyPool, group, memcached, shared, multilevel
        case binary, memcachedBinary, sharedBinary, sasl

        var dialect: Dialect {
            switch self {
            case .binary, .memcachedBinary, .sharedBinary, .sasl: .binary
            default: .meta
            }
        }
    }

    /// The servers stay as long as this does.
    private struct Served {
        var cache: any Cache
        var servers: [TestServer]
        var file: TestFile?
    }

    /// For machines that are busy.
    private static let patient: ConnectionConfiguration = {
        var configuration = ConnectionConfiguration()
        configuration.connectTimeout = .seconds(30)
        configuration.requestTimeout = .seconds(30)
        return configuration
    }()

    private func serve(_ way: Way) async throws -> Served {
        switch way {
        case .connection, .multilevel:
            let server = try TestServer()
            let remote = RemoteCache(server.connection())
            guard way == .multilevel else { return Served(cache: remote, servers: [server]) }
            let near = try MemoryCache(memoryBytes: 4 << 20)
            return Served(cache: MultilevelCache(near: near, far: remote), servers: [server])
        case .memcached, .memcachedBinary:
            let server = try TestServer(executable: TestServer.memcached)
            let connection = server.connection { $0.dialect = way == .memcached ? .meta : .binary }
            return Served(cache: RemoteCache(connection), servers: [server])
        case .binary:
            let server = try TestServer()
            return Served(cache: RemoteCache(server.connection { $0.dialect = .binary }), servers: [server])
        case .sasl:
            let users = TestFile()
            try Data("me:secret\n".utf8).write(to: URL(fileURLWithPath: users.path))
            let server = try TestServer(arguments: ["-S", "-Y", users.path])
            let connection = server.connection {
                $0.authentication = .sasl(user: "me", password: "secret")
            }
            return Served(cache: RemoteCache(connection), servers: [server], file: users)
        case .eagerPool:
            let server = try TestServer()
            let pool = try await EagerPool(size: 3, to: server.address, configuration: Self.patient)
            return Served(cache: RemoteCache(Pooled(pool), compression: Compression()), servers: [server])
        case .lazyPool:
            let server = try TestServer(transport: .tcp)
            let pool = LazyPool(size: 3, to: server.address, configuration: Self.patient)
            return Served(cache: RemoteCache(Pooled(pool)), servers: [server])
        case .group:
            let servers = try (0..<3).map { _ in try TestServer() }
            let group = ServerGroup(
                servers.map { GroupMember($0.address) }, configuration: Self.patient)
            return Served(cache: RemoteCache(group), servers: servers)
        case .shared, .sharedBinary:
            let file = TestFile()
            let server = try TestServer(arguments: ["-e", file.path])
            let connection = server.connection { $0.dialect = way == .shared ? .meta : .binary }
            // The server answers when it has made its file.
            _ = try await connection.items(for: ["any"])
            let cache = try SharedCache(path: file.path, servers: connection)
            return Served(cache: cache, servers: [server], file: file)
        }
    }

    @Test(arguments: Way.allCases)
    func keepsTheContract(way: Way) async throws {
        let served = try await serve(way)
        for contract in CacheContract.timeless {
            _ = try await served.cache.flushAll()
            // The binary dialect has no way to ask for an end.
            let tells = way.dialect == .meta
            try await contract.check(
                CacheUnderTest(
                    cache: served.cache, clock: TestClock(), tellsTimeLeft: tells, keepsEnds: tells))
        }
        withExtendedLifetime(served) {}
    }

    /// Fifty who miss at the same time, over the network.
    @Test(arguments: Way.allCases)
    func oneMakesItForAll(way: Way) async throws {
        let served = try await serve(way)
        // The clock of waiting is a test's, and runs as fast as it can: nobody may be late by it.
        let clock = TestClock()
        let cached = Cached(served.cache, timeout: .seconds(100_000), clock: clock.cacheClock)
        let made = Shared(0)
        let values = try await clock.running {
            try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<50 {
                    group.addTask {
                        try await cached.getOrCreate("k") {
                            // Until others have looked.
                            while clock.sleepers < 10 { await Task.yield() }
                            return made.next()
                        }
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
        }
        #expect(made.value == 1)
        #expect(values == [Int](repeating: 1, count: 50))
        withExtendedLifetime(served) {}
    }

    /// Servers count in seconds of their own: this is the one test that asks until one is over.
    @Test(arguments: Way.allCases)
    func valuesEnd(way: Way) async throws {
        let served = try await serve(way)
        try await served.cache.set("k", 1, expiration: .after(.seconds(1)))
        try await served.cache.set("ever", 1)
        while try await served.cache.get("k", as: Int.self) != nil { await Task.yield() }
        #expect(try await served.cache.get("ever") == 1)
        withExtendedLifetime(served) {}
    }

    @Test func theGuidesDependencyOverTheNetwork() async throws {
        let served = try await serve(.eagerPool)
        let cache = served.cache
        try await cache.setMulti(["k1": 1, "k2": 2, "k3": 3, "k4": 4, "other": 5])
        try await CacheDependency(cache, "master-key").addMulti(["k1", "k2", "k3"])
        try await CacheDependency(cache, "master-key").add("k4")
        let kept = ["master-key1", "master-key2", "master-key3", "master-key4"]
        #expect(try await cache.getMulti(kept, as: String.self).values.sorted() == ["k1", "k2", "k3", "k4"])
        #expect(try await cache.get("master-key") == 4)
        #expect(try await CacheDependency(cache, "master-key").delete())
        let all = ["k1", "k2", "k3", "k4", "other", "master-key"] + kept
        #expect(Array(try await cache.values(of: all, namespace: nil).keys) == ["other"])
        withExtendedLifetime(served) {}
    }
}
