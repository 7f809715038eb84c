import LarderTesting
import Testing

@testable import LarderClient

@Suite struct ConnectionTests {
    @Test(arguments: [ServerProcess.Transport.tcp, .unix])
    func eachRequestHasItsAnswer(transport: ServerProcess.Transport) async throws {
        let server = try TestServer(transport: transport)
        try await everyRequest(server.connection())
    }

    /// Debian's memcached is what many have; it answers the same.
    @Test func memcachedAnswersTheSame() async throws {
        let server = try TestServer(executable: TestServer.memcached)
        try await everyRequest(server.connection())
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
        #expect(try await connection.replace(a, cas: cas, expiration: .never))

        #expect(try await connection.delete(["a", "none"]) == ["a"])
        #expect(try await connection.touch("c", expiration: .after(.seconds(1000))))
        #expect(try await connection.touch("none", expiration: .never) == false)

        #expect(try await connection.add(5, to: "n", initial: nil, expiration: .never) == nil)
        #expect(try await connection.add(5, to: "n", initial: 10, expiration: .never) == 10)
        #expect(try await connection.add(5, to: "n", initial: 10, expiration: .never) == 15)
        #expect(try await connection.add(-20, to: "n", initial: nil, expiration: .never) == 0)
        await #expect(throws: MemcacheError.self) {
            try await connection.add(1, to: "c", initial: nil, expiration: .never)
        }

        guard case .won(let right) = try await connection.lease("l", seconds: 30) else {
            Issue.record("nobody won")
            return
        }
        #expect(try await connection.lease("l", seconds: 30) == .lost)
        #expect(try await connection.replace(NewItem(key: "l", bytes: [7]), cas: right, expiration: .never))
        guard case .found(let item) = try await connection.lease("l", seconds: 30) else {
            Issue.record("not found")
            return
        }
        #expect(item.bytes == [7])

        try await connection.flushAll()
        #expect(try await connection.items(for: ["c", "n", "l"]).isEmpty)
        await connection.close()
        await #expect(throws: MemcacheError.self) { try await connection.ping() }
    }
}
