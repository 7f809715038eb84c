import LarderTesting
import Testing

@testable import LarderClient

@Suite struct ConnectionTests {
    @Test(arguments: [ServerProcess.Transport.tcp, .unix], Dialect.allCases)
    func eachRequestHasItsAnswer(transport: ServerProcess.Transport, dialect: Dialect) async throws {
        let server = try TestServer(transport: transport)
        try await everyRequest(server.connection { $0.dialect = dialect })
    }

    /// Debian's memcached is what many have; it answers the same.
    @Test(arguments: Dialect.allCases)
    func memcachedAnswersTheSame(dialect: Dialect) async throws {
        let server = try TestServer(executable: TestServer.memcached)
        try await everyRequest(server.connection { $0.dialect = dialect })
    }

    private func everyRequest(_ connection: MemcacheConnection) async throws {
        let a = NewItem(key: "a", bytes: [1, 2, 3], flags: 16)
        let b = NewItem(key: "a key with spaces\n", bytes: [], flags: 0)
        #expect(try await connection.items(for: ["a"]).isEmpty)
        #expect(try await connection.store(.set, [a, b], expiration: .never) == [])
        let found = try await connection.items(for: ["a", b.key, "none"])
        #expect(found.count == 2)
        #expect(found["a"]?.bytes == [1, 2, 3] && found["a"]?.flags == 16)
        #expect(found[b.key]?.bytes == [])

        #expect(
            try await connection.store(.add, [a, NewItem(key: "c", bytes: [9])], expiration: .never) == ["a"])
        #expect(
            try await connection.store(.replace, [a, NewItem(key: "d", bytes: [9])], expiration: .never) == [
                "d"
            ])

        let cas = try #require(try await connection.items(for: ["a"])["a"]?.cas)
        #expect(try await connection.replace(a, cas: cas &+ 1000, expiration: .never) == false)
        #expect(try await connection.replace(a, cas: 0, expiration: .never) == false)
        #expect(
            try await connection.replace(NewItem(key: "none", bytes: []), cas: cas, expiration: .never)
                == false)
        #expect(try await connection.replace(a, cas: cas, expiration: .never))

        #expect(try await connection.delete(["a", "none"]) == ["a"])
        #expect(try await connection.touch("c", expiration: .after(.seconds(1000))))
        #expect(try await connection.touch("none", expiration: .never) == false)

        #expect(try await connection.add(5, to: "n", initial: nil, expiration: .never) == nil)
        #expect(try await connection.add(5, to: "n", initial: 10, expiration: .never) == 10)
        #expect(try await connection.add(5, to: "n", initial: 10, expiration: .never) == 15)
        #expect(try await connection.add(-20, to: "n", initial: nil, expiration: .never) == 0)
        #expect(try await connection.add(.min, to: "n", initial: nil, expiration: .never) == 0)
        #expect(
            try await connection.add(1, to: "large", initial: .max, expiration: .after(.seconds(100)))
                == UInt64.max)
        #expect(try await connection.add(1, to: "large", initial: nil, expiration: .never) == 0)
        let noNumber = await #expect(throws: MemcacheError.self) {
            try await connection.add(1, to: "c", initial: nil, expiration: .never)
        }
        #expect(noNumber?.code == .clientError)
        try await ends(connection)
        try await leases(connection)

        try await connection.flushAll()
        #expect(try await connection.items(for: ["c", "n", "l"]).isEmpty)
        await connection.close()
        await #expect(throws: MemcacheError.self) { try await connection.ping() }
    }

    /// Times that are over, and times far away.
    private func ends(_ connection: MemcacheConnection) async throws {
        let item = NewItem(key: "end", bytes: [1])
        for past in [Expiration.after(.zero), .at(1_000_000_000), .at(-1), .after(.seconds(-5))] {
            #expect(try await connection.store(.set, [item], expiration: past) == [])
            #expect(try await connection.items(for: ["end"]).isEmpty)
        }
        for future in [Expiration.after(.seconds(40 * 86400)), .at(4_000_000_000), .at(1 << 40), .never] {
            #expect(try await connection.store(.set, [item], expiration: future) == [])
            #expect(try await connection.items(for: ["end"]).count == 1)
            #expect(try await connection.touch("end", expiration: future))
            #expect(try await connection.items(for: ["end"]).count == 1)
        }
        #expect(try await connection.touch("end", expiration: .after(.zero)))
        #expect(try await connection.items(for: ["end"]).isEmpty)
        #expect(try await connection.add(1, to: "end", initial: 7, expiration: .after(.zero)) == 7)
        #expect(try await connection.items(for: ["end"]).isEmpty)
    }

    private func leases(_ connection: MemcacheConnection) async throws {
        guard case .won(let ticket) = try await connection.lease("l", seconds: 30) else {
            Issue.record("nobody won")
            return
        }
        #expect(try await connection.lease("l", seconds: 30) == .lost)
        #expect(try await connection.replace(NewItem(key: "l", bytes: [7]), cas: ticket.number, expiration: .never))
        guard case .found(let item) = try await connection.lease("l", seconds: 30) else {
            Issue.record("not found")
            return
        }
        #expect(item.bytes == [7])
        // What is empty is there all the same.
        let empty = NewItem(key: "empty", bytes: [])
        #expect(try await connection.store(.set, [empty], expiration: .never) == [])
        guard case .found(let nothing) = try await connection.lease("empty", seconds: 30) else {
            Issue.record("empty bytes are no lease")
            return
        }
        #expect(nothing.bytes.isEmpty)
        // A lease for longer than a span can be.
        guard case .won = try await connection.lease("long", seconds: 1 << 40) else {
            Issue.record("nobody won")
            return
        }
        #expect(try await connection.lease("long", seconds: 30) == .lost)
        #expect(try await connection.delete(["long"]) == ["long"])
    }

    /// A lease of the binary dialect is one for all who use this library.
    @Test(arguments: [TestServer.larder, TestServer.memcached])
    func bothDialectsKnowABinaryLease(executable: String) async throws {
        let server = try TestServer(executable: executable)
        let binary = server.connection { $0.dialect = .binary }
        let meta = server.connection()
        guard case .won(let ticket) = try await binary.lease("l", seconds: 30) else {
            Issue.record("nobody won")
            return
        }
        for connection in [binary, meta] {
            #expect(try await connection.lease("l", seconds: 30) == .lost)
            #expect(try await connection.items(for: ["l"]).isEmpty)
        }
        #expect(try await binary.replace(NewItem(key: "l", bytes: [7]), cas: ticket.number, expiration: .never))
        #expect(try await meta.items(for: ["l"])["l"]?.bytes == [7])
    }

    @Test func clustersAreNotAskedInTheBinaryDialect() async throws {
        let server = try TestServer()
        let connection = server.connection { $0.dialect = .binary }
        let error = await #expect(throws: MemcacheError.self) { try await connection.clusterConfiguration() }
        #expect(error?.code == .notSupported)
    }
}
