import LarderTestServer
import Testing

@testable import LarderClient

/// Over servers, whose time is told in whole seconds.
@Suite(.timeLimit(.minutes(2))) struct KeptEndsTests {
    private func item(_ text: String, key: String = "k") -> NewItem {
        NewItem(key: key, bytes: Array(text.utf8), flags: 16)
    }

    @Test func theEndStaysWhereItWas() async throws {
        try await LarderTestServer.withServer { server in
            let connection = server.makeConnection()
            _ = try await connection.store(.set, [item("0")], expiration: .after(.seconds(100)))
            for number in 1...199 {
                server.advance(by: .milliseconds(500))
                #expect(try await connection.store(.set, [item("\(number)")], expiration: .kept) == [])
            }
            let found = try #require(try await connection.timedItem(for: "k"))
            #expect(found.value.bytes == Array("199".utf8))
            #expect(found.value.flags == 16)
            #expect(found.left == .limited(.seconds(1)))
            server.advance(by: .milliseconds(499))
            #expect(try await connection.timedItem(for: "k") != nil)
            server.advance(by: .milliseconds(1))
            #expect(try await connection.timedItem(for: "k") == nil)
        }
    }

    /// The server's clock counts, however far from the client's it is.
    @Test func ofAServerWithAnotherTime() async throws {
        try await LarderTestServer.withServer { server in
            let connection = server.makeConnection()
            server.advance(by: .seconds(200 * 86400))
            _ = try await connection.store(.set, [item("0")], expiration: .after(.seconds(60)))
            server.advance(by: .seconds(20))
            _ = try await connection.store(.set, [item("1")], expiration: .kept)
            #expect(try await connection.timedItem(for: "k")?.left == .limited(.seconds(40)))
        }
    }

    /// Beyond 2038 servers read no point in time, and a span has to do.
    @Test func ofAServerInTheFarFuture() async throws {
        try await LarderTestServer.withServer { server in
            let connection = server.makeConnection()
            server.advance(by: .seconds(30 * 365 * 86400))
            _ = try await connection.store(.set, [item("0")], expiration: .after(.seconds(60)))
            server.advance(by: .seconds(20))
            _ = try await connection.store(.set, [item("1")], expiration: .kept)
            #expect(try await connection.timedItem(for: "k")?.left == .limited(.seconds(40)))
        }
    }

    @Test func manyAtOnceEachKeepItsOwn() async throws {
        try await LarderTestServer.withServer { server in
            let connection = server.makeConnection()
            for number in 1...50 {
                _ = try await connection.store(
                    .set, [item("a", key: "k\(number)")], expiration: .after(.seconds(number)))
            }
            _ = try await connection.store(.set, [item("a", key: "ever")], expiration: .never)
            let items = (["ever", "new"] + (1...50).map { "k\($0)" }).map { item("b", key: $0) }
            #expect(try await connection.store(.replace, items, expiration: .kept) == ["new"])
            #expect(try await connection.store(.set, items, expiration: .kept) == [])
            for number in 1...50 {
                let left = try await connection.timedItem(for: "k\(number)")?.left
                #expect(left == .limited(.seconds(number)))
            }
            for key in ["ever", "new"] {
                #expect(try await connection.timedItem(for: key)?.left == .unlimited)
            }
        }
    }

    /// What replaces a lease's stand-in does not end with it.
    @Test func aLeaseIsNoValueWhoseEndIsKept() async throws {
        try await LarderTestServer.withServer { server in
            let connection = server.makeConnection()
            guard case .won = try await connection.lease("k", seconds: 30) else {
                Issue.record("no lease")
                return
            }
            _ = try await connection.store(.set, [item("1")], expiration: .kept)
            #expect(try await connection.timedItem(for: "k")?.left == .unlimited)
        }
    }

    /// Nor one of the binary dialect.
    @Test func aLeaseOfTheBinaryDialectIsNone() async throws {
        try await LarderTestServer.withServer { server in
            let other = server.makeConnection { $0.dialect = .binary }
            guard case .won = try await other.lease("k", seconds: 30) else {
                Issue.record("no lease")
                return
            }
            let connection = server.makeConnection()
            #expect(try await connection.timedItem(for: "k") == nil)
            _ = try await connection.store(.set, [item("1")], expiration: .kept)
            #expect(try await connection.timedItem(for: "k")?.left == .unlimited)
        }
    }

    /// In which nobody is told when an item ends.
    @Test func theBinaryDialectSaysThatItCannot() async throws {
        try await LarderTestServer.withServer { server in
            let connection = server.makeConnection { $0.dialect = .binary }
            _ = try await connection.store(.add, [item("0")], expiration: .kept)
            #expect(try await connection.timedItem(for: "k")?.left == .unknown)
            #expect(try await connection.timedItem(for: "none") == nil)
            #expect(try await connection.touch("k", expiration: .kept))
            #expect(try await !connection.touch("none", expiration: .kept))
            let error = await #expect(throws: MemcacheError.self) {
                try await connection.store(.set, [item("1")], expiration: .kept)
            }
            #expect(error?.code == .notSupported)
        }
    }

    @Test func aReplacementByCasKeepsTheEnd() async throws {
        try await LarderTestServer.withServer { server in
            let connection = server.makeConnection()
            _ = try await connection.store(.set, [item("0")], expiration: .after(.seconds(60)))
            let cas = try #require(try await connection.timedItem(for: "k")).value.cas
            server.advance(by: .seconds(20))
            #expect(try await !connection.replace(item("1"), cas: cas + 1, expiration: .kept))
            #expect(try await connection.replace(item("1"), cas: cas, expiration: .kept))
            #expect(try await !connection.replace(item("2"), cas: cas, expiration: .kept))
            #expect(try await !connection.replace(item("2", key: "none"), cas: cas, expiration: .kept))
            let found = try await connection.timedItem(for: "k")
            #expect(found?.value.bytes == Array("1".utf8))
            #expect(found?.left == .limited(.seconds(40)))
        }
    }

    /// Real ones, Larder without cas among them.
    @Test(
        arguments: [(TestServer.larder, []), (TestServer.larder, ["-C"]), (TestServer.memcached, [])]
            as [(String, [String])])
    func overServersInTheirOwnProcess(executable: String, arguments: [String]) async throws {
        let server = try TestServer(arguments: arguments, executable: executable)
        let connection = server.connection()
        _ = try await connection.store(.set, [item("0")], expiration: .after(.seconds(100_000)))
        for number in 1...200 {
            #expect(try await connection.store(.set, [item("\(number)")], expiration: .kept) == [])
        }
        let found = try #require(try await connection.timedItem(for: "k"))
        #expect(found.value.bytes == Array("200".utf8))
        guard case .limited(let left) = found.left else {
            Issue.record("\(found.left)")
            return
        }
        // It is never more, and how much less is the machine's affair.
        #expect(left <= .seconds(100_000) && left > .seconds(50_000))
    }

    /// A hostile server that tells nonsense, or never lets anybody store.
    @Test(arguments: [
        "HD c5 tx s1", "HD c5 t-2 s1", "HD c5 t99999999999999999999 s1", "VA x", "HD c5 s1 t-1 s",
    ])
    func nonsenseIsAnError(answer: String) async throws {
        let server = try FakeServer { line in
            line.hasPrefix("mg larder:clock")
                ? .say("HD t5 k\(opaqueKey(line)) \(opaque(line))\r\n")
                : .say("\(answer) kk \(opaque(line))\r\n")
        }
        var configuration = ConnectionConfiguration()
        configuration.silence()
        let connection = MemcacheConnection(
            to: .unixSocket(path: server.path), configuration: configuration)
        await #expect(throws: MemcacheError.self) {
            try await connection.store(.set, [item("1")], expiration: .kept)
        }
    }

    private func opaqueKey(_ line: String) -> Substring { line.split(separator: " ")[1] }
}
