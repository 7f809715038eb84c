import LarderTesting
import Synchronization
import Testing

@testable import LarderClient

@Suite(.timeLimit(.minutes(2))) struct ServerGroupTests {
    private static let keys = (0..<300).map { "user:\($0)" }

    @Test(arguments: [Distribution.ketama(), .ketamaWeighted, .rendezvous, .jump], [1, 3])
    func eachKeyIsOnItsServer(distribution: Distribution, connectionsPerServer: Int) async throws {
        let servers = try (0..<3).map { _ in try TestServer() }
        let group = ServerGroup(
            servers.map { GroupMember($0.address) }, distribution: distribution,
            configuration: servers[0].configuration, connectionsPerServer: connectionsPerServer)
        let items = Self.keys.map { NewItem(key: $0, bytes: Array($0.utf8)) }
        #expect(try await group.store(.set, items, expiration: .never) == [])
        let found = try await group.items(for: Self.keys + ["nobody's"])
        #expect(found.count == Self.keys.count)
        #expect(found.allSatisfy { Array($0.key.utf8) == $0.value.bytes })
        var total = 0
        for server in servers {
            let own = try await server.connection().items(for: Self.keys)
            #expect(own.keys.allSatisfy { group.address(for: $0) == server.address })
            #expect(own.count > 30)
            total += own.count
        }
        #expect(total == Self.keys.count)

        #expect(try await group.store(.add, items, expiration: .never).sorted() == Self.keys.sorted())
        #expect(try await group.touch("user:1", expiration: .after(.seconds(100))))
        #expect(try await group.add(1, to: "n", initial: 7, expiration: .never) == 7)
        let cas = try #require(try await group.items(for: ["user:2"])["user:2"]?.cas)
        #expect(try await group.replace(items[2], cas: cas, expiration: .never))
        #expect(try await group.delete(Self.keys) == Set(Self.keys))
        try await group.flushAll()
        #expect(try await group.items(for: ["n"]).isEmpty)
        await group.close()
    }

    @Test func whoFailsIsLeftOutAndOthersHaveItsKeys() async throws {
        let servers = try (0..<3).map { _ in try TestServer() }
        var configuration = servers[0].configuration
        configuration.onFailure = .miss
        configuration.backoff = Backoff(initial: .zero)
        configuration.silence()
        let group = ServerGroup(
            servers.map { GroupMember($0.address) }, configuration: configuration,
            ejection: Ejection(
                failureCount: 2, absence: Backoff(initial: .seconds(3600), longest: .seconds(3600))))
        let items = Self.keys.map { NewItem(key: $0, bytes: Array($0.utf8)) }
        #expect(try await group.store(.set, items, expiration: .never) == [])
        servers[1].stop()
        let lost = Set(Self.keys.filter { group.address(for: $0) == servers[1].address })
        // The first failures are misses of that server's keys alone.
        #expect(Set(try await group.items(for: Self.keys).keys) == Set(Self.keys).subtracting(lost))
        await until {
            _ = try? await group.items(for: Self.keys)
            return group.ejectedServers == [servers[1].address]
        }
        #expect(try await group.store(.set, items, expiration: .never) == [])
        #expect(try await group.items(for: Self.keys).count == Self.keys.count)
    }

    /// One that is down keeps no other from deleting; and that its values may still be there is an error, whatever the
    /// caller chose for values that are asked for.
    @Test(arguments: [FailurePolicy.throw, .miss])
    func whatIsUpIsDeletedAndFlushed(onFailure: FailurePolicy) async throws {
        let servers = try (0..<3).map { _ in try TestServer() }
        var configuration = servers[0].configuration
        configuration.onFailure = onFailure
        configuration.silence()
        let group = ServerGroup(
            servers.map { GroupMember($0.address) }, configuration: configuration, ejection: nil)
        let items = Self.keys.map { NewItem(key: $0, bytes: [1]) }
        #expect(try await group.store(.set, items, expiration: .never) == [])
        servers[1].stop()
        await #expect(throws: MemcacheError.self) { try await group.delete(Self.keys) }
        for server in [servers[0], servers[2]] {
            #expect(try await server.connection().items(for: Self.keys) == [:])
            #expect(try await server.connection().store(.set, [items[0]], expiration: .never) == [])
        }
        await #expect(throws: MemcacheError.self) { try await group.flushAll() }
        for server in [servers[0], servers[2]] {
            #expect(try await server.connection().items(for: [items[0].key]) == [:])
        }
    }

    @Test(arguments: [1, 3]) func closesForGood(connectionsPerServer: Int) async throws {
        let server = try TestServer()
        let group = ServerGroup(
            [GroupMember(server.address)], configuration: server.configuration,
            connectionsPerServer: connectionsPerServer)
        #expect(try await group.items(for: Self.keys) == [:])
        await group.close()
        await #expect(throws: (any Error).self) { try await group.items(for: Self.keys) }
        try await until { try server.connectionCount() == 0 }
        group.update([GroupMember(server.address), GroupMember(.host("a"))])
        #expect(group.members.count == 1)
        await #expect(throws: (any Error).self) { try await group.items(for: Self.keys) }
    }

    /// What makes connections may ask the group who is in it.
    @Test func whoConnectsMayAskTheGroup() throws {
        let group = Shared<ServerGroup?>(nil)
        let seen = Shared<[Int]>([])
        let made = ServerGroup([GroupMember(.host("a"))], ejection: nil) { _, _ in
            if let group = group.value { seen.change { $0.append(group.members.count) } }
            return FlakyServers()
        }
        group.change { $0 = made }
        made.update([GroupMember(.host("a")), GroupMember(.host("b")), GroupMember(.host("c"))])
        #expect(seen.value == [1, 1])
        #expect(made.members.count == 3)
        group.change { $0 = nil }
    }

    @Test func aServerThatIsDownIsAnErrorWhereThatIsChosen() async throws {
        let server = try TestServer()
        let group = ServerGroup(
            [GroupMember(server.address), GroupMember(.unixSocket(path: "/nonexistent/larder.sock"))],
            configuration: server.configuration, ejection: nil)
        await #expect(throws: MemcacheError.self) { try await group.items(for: Self.keys) }
        await #expect(throws: MemcacheError.self) { try await ServerGroup([]).items(for: ["a"]) }
    }

    @Test func whoAnswersAgainIsBack() async throws {
        let flaky = FlakyServers()
        let group = ServerGroup(
            [GroupMember(.host("a"))], ejection: Ejection(failureCount: 3, absence: Backoff(initial: .zero))
        ) { _, _ in flaky }
        flaky.isDown = true
        for count in 1...3 {
            #expect(group.ejectedServers.isEmpty)
            await #expect(throws: MemcacheError.self) { try await group.touch("k", expiration: .never) }
            #expect(flaky.askedCount == count)
        }
        #expect(group.ejectedServers == [.host("a")])
        flaky.isDown = false
        #expect(try await group.touch("k", expiration: .never))
        #expect(group.ejectedServers.isEmpty)
    }

    @Test func oneRequestAloneTriesAServerThatIsOut() {
        var health = ServerHealth(
            Ejection(
                failureCount: 1, absence: Backoff(initial: .seconds(1), longest: .seconds(60), jitter: 0)))
        let begin = ContinuousClock.now
        func admits(afterMilliseconds span: Int) -> Bool { health.admits(at: begin + .milliseconds(span)) }
        func change(afterMilliseconds span: Int) -> ServerHealth.Change {
            health.failed(at: begin + .milliseconds(span))
        }
        #expect(change(afterMilliseconds: 0) == .ejected)
        #expect(!admits(afterMilliseconds: 999))
        #expect(admits(afterMilliseconds: 1000))
        #expect(!admits(afterMilliseconds: 1000))
        // It failed again: twice as long.
        #expect(change(afterMilliseconds: 1000) == .none)
        #expect(!admits(afterMilliseconds: 2999))
        #expect(admits(afterMilliseconds: 3000))
        let last = health.succeeded()
        #expect(last == .returned)
        #expect(admits(afterMilliseconds: 3000) && !health.isEjected)
    }

    @Test func serversComeAndGo() async throws {
        let servers = try (0..<2).map { _ in try TestServer() }
        let group = ServerGroup([GroupMember(servers[0].address)], configuration: servers[0].configuration)
        let items = Self.keys.map { NewItem(key: $0, bytes: []) }
        #expect(try await group.store(.set, items, expiration: .never) == [])
        group.update(servers.map { GroupMember($0.address) })
        #expect(group.members.count == 2)
        let kept = Self.keys.filter { group.address(for: $0) == servers[0].address }
        #expect(Set(try await group.items(for: Self.keys).keys) == Set(kept))
        #expect(kept.count < Self.keys.count)
        group.update([GroupMember(servers[1].address)])
        #expect(try await group.items(for: Self.keys).isEmpty)
        // The connection to the one that left is closed.
        try await until { try servers[0].connectionCount() == servers[1].connectionCount() - 1 }
    }
}

/// A server that can be switched off.
private final class FlakyServers: ItemServers {
    private let state = Mutex((isDown: false, askedCount: 0))

    var isDown: Bool {
        get { state.withLock { $0.isDown } }
        set { state.withLock { $0.isDown = newValue } }
    }
    var askedCount: Int { state.withLock { $0.askedCount } }

    private func ask() throws {
        try state.withLock { state in
            state.askedCount += 1
            if state.isDown { throw MemcacheError(.connectionLost, "switched off") }
        }
    }

    func items(for keys: [String]) async throws -> [String: StoredItem] {
        try ask()
        return [:]
    }
    func store(_ mode: StoreMode, _ items: [NewItem], expiration: Expiration) async throws -> [String] {
        try ask()
        return []
    }
    func replace(_ item: NewItem, cas: UInt64, expiration: Expiration) async throws -> Bool {
        try ask()
        return true
    }
    func delete(_ keys: [String]) async throws -> Set<String> {
        try ask()
        return []
    }
    func add(_ delta: Int64, to key: String, initial: UInt64?, expiration: Expiration) async throws -> UInt64? {
        try ask()
        return nil
    }
    func touch(_ key: String, expiration: Expiration) async throws -> Bool {
        try ask()
        return true
    }
    func lease(_ key: String, seconds: Int) async throws -> Lease<StoredItem> {
        try ask()
        return .lost
    }
    func flushAll() async throws { try ask() }
}
