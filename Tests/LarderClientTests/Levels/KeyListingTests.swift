import LarderTesting
import Testing

@testable import LarderClient

@Suite struct KeyListingTests {
    private static let keys = ["p:plain", "p:with space", "p:100%", "p:%41", "p:Zürich", "p:日本語", "q:other"]

    @Test(arguments: [TestServer.larder, TestServer.memcached])
    func listsTheKeysThatBeginSo(executable: String) async throws {
        let server = try TestServer(executable: executable)
        let connection = server.connection()
        _ = try await connection.store(
            .set, Self.keys.map { NewItem(key: $0, bytes: [1]) }, expiration: .never)
        #expect(Set(try await connection.keys(withPrefix: "")) == Set(Self.keys))
        #expect(Set(try await connection.keys(withPrefix: "p:")) == Set(Self.keys.dropLast()))
        #expect(try await connection.keys(withPrefix: "none").isEmpty)
        let pool = Pooled(LazyPool(size: 1, to: server.address, configuration: server.configuration))
        #expect(try await pool.keys(withPrefix: "q").sorted() == ["q:other"])
        withExtendedLifetime(server) {}
    }

    /// While others use the same connection.
    @Test func listsManyKeys() async throws {
        let server = try TestServer()
        let connection = server.connection()
        let items = (0..<20_000).map { NewItem(key: "key \($0)", bytes: [1]) }
        _ = try await connection.store(.set, items, expiration: .never)
        async let listed = connection.keys(withPrefix: "key ")
        for number in 0..<100 { #expect(try await connection.items(for: ["key \(number)"]).count == 1) }
        #expect(Set(try await listed) == Set(items.map(\.key)))
        withExtendedLifetime(server) {}
    }

    @Test func aGroupListsThoseOfAll() async throws {
        let servers = try (0..<3).map { _ in try TestServer() }
        let group = ServerGroup(
            servers.map { GroupMember($0.address) }, configuration: servers[0].configuration)
        let keys = (0..<60).map { "k\($0)" }
        _ = try await group.store(.set, keys.map { NewItem(key: $0, bytes: [1]) }, expiration: .never)
        #expect(Set(try await group.keys(withPrefix: "k")) == Set(keys))
        await group.close()
        withExtendedLifetime(servers) {}
    }

    @Test func aServerThatGivesNoListIsAnError() async throws {
        let server = try TestServer(arguments: ["-X"])
        let error = await #expect(throws: MemcacheError.self) {
            try await server.connection().keys(withPrefix: "")
        }
        #expect(error?.code == .serverError)
        let level = RemoteLevel(server.connection())
        try await level.write(LevelItem(key: "a", payload: [1]))
        #expect(try await level.get("a")?.payload == [1])
        try await level.invalidate(.exactly("a"), reason: .removed)
        #expect(try await level.lookup(KeyPattern("a")).isEmpty)
        let refusal = await #expect(throws: CacheError.self) { try await level.lookup(.everything) }
        #expect(refusal?.code == .unavailable)
        withExtendedLifetime(server) {}
    }

    /// Patient, for machines that are busy.
    private func connection(
        to server: FakeServer, requestTimeout: Duration = .seconds(30)
    ) -> MemcacheConnection {
        var configuration = ConnectionConfiguration()
        configuration.connectTimeout = .seconds(30)
        configuration.requestTimeout = requestTimeout
        return MemcacheConnection(to: .unixSocket(path: server.path), configuration: configuration)
    }

    @Test func aBusyServerIsAskedAgain() async throws {
        let asked = Shared(0)
        let server = try FakeServer { line in
            guard line.hasPrefix("lru_crawler") else { return .hangUp }
            return .say(
                asked.next() < 3
                    ? "BUSY currently processing crawler request\r\n"
                    : "key=a exp=-1 la=1\nkey=%C3%A4 exp=-1\nkey=%FF exp=-1\nkey=%4 exp=-1\nkey=\nEND\r\n")
        }
        let connection = connection(to: server)
        #expect(try await connection.keys(withPrefix: "") == ["a", "ä", "%4", ""])
        #expect(asked.value == 3)
    }

    @Test func anOldServerIsAskedForItsLists() async throws {
        let asked = Shared<[String]>([])
        let server = try FakeServer { line in
            asked.change { $0.append(line) }
            return .say(
                line == "lru_crawler metadump all" ? "key=a exp=-1\nEND\r\n" : "BADCLASS invalid class id\r\n"
            )
        }
        #expect(try await connection(to: server).keys(withPrefix: "") == ["a"])
        #expect(asked.value == ["lru_crawler metadump hash", "lru_crawler metadump all"])
    }

    @Test(arguments: [
        "NONSENSE\r\n", "ERROR\r\n", "key=\(String(repeating: "a", count: 10_000))", "key=a exp=-1\n\0\0\n",
        "VA 1000000000\r\n", "BADCLASS invalid class id\r\n",
    ])
    func nonsenseIsAnError(answer: String) async throws {
        let server = try FakeServer { _ in .say(answer) }
        let connection = connection(to: server)
        await #expect(throws: MemcacheError.self) { try await connection.keys(withPrefix: "") }
    }

    @Test func endsWithTheConnectionItsTimeOrItsTask() async throws {
        let hangingUp = try FakeServer { _ in .hangUp }
        await #expect(throws: MemcacheError.self) {
            try await connection(to: hangingUp).keys(withPrefix: "")
        }
        let asked = Shared(0)
        let silent = try FakeServer { _ in
            asked.next()
            return .silence
        }
        let error = await #expect(throws: MemcacheError.self) {
            try await connection(to: silent, requestTimeout: .milliseconds(1))
                .keys(withPrefix: "")
        }
        #expect(error?.code == .timedOut)
        let task = Task {
            try await connection(to: silent).keys(withPrefix: "")
        }
        await until { asked.value == 2 }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
    }
}
