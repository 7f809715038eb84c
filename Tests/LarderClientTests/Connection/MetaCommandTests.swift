import Testing

@testable import LarderClient

/// Commands with the caller's own flags, and adding to values, against both servers.
@Suite struct MetaCommandTests {
    private static let executables = [TestServer.larder, TestServer.memcached]

    @Test(arguments: executables) func flagsGoOutAndComeBack(executable: String) async throws {
        let server = try TestServer(executable: executable)
        let connection = server.connection()
        #expect(try await connection.meta(.get("k", "v")).code == .miss)
        #expect(try await connection.meta(.delete("k")).code == .notFound)
        #expect(try await connection.meta(.set("k", [1, 2], "T60", "F7", "c")).flags.keys.sorted() == ["c"])
        let found = try await connection.meta(.get("k", "v", "f", "t", "s", "h"))
        #expect(found.code == .value && found.bytes == [1, 2])
        #expect(found.flags["f"] == "7" && found.flags["s"] == "2" && found.flags["h"] == "0")
        #expect(found.flags["t"].flatMap { Int($0) }.map { (58...60).contains($0) } == true)
        #expect(try await connection.meta(.set("k", [3], "ME")).code == .notStored)
        #expect(try await connection.meta(.set("k", [3], "C99999")).code == .exists)
        #expect(try await connection.meta(.arithmetic("n", "N0", "J5", "v")).bytes == [0x35])
        #expect(try await connection.meta(.get("a key")).code == .miss)
    }

    /// A stale value is given to everybody, and the right to make it anew to one.
    @Test(arguments: executables) func staleValuesAreGivenMeanwhile(executable: String) async throws {
        let server = try TestServer(executable: executable)
        let connection = server.connection()
        #expect(try await connection.meta(.set("k", [1])).code == .done)
        #expect(try await connection.meta(.delete("k", "I", "T30")).code == .done)
        let first = try await connection.meta(.get("k", "v", "c"))
        #expect(first.bytes == [1] && first.flags["W"] == "" && first.flags["X"] == "")
        let second = try await connection.meta(.get("k", "v"))
        #expect(second.bytes == [1] && second.flags["Z"] == "" && second.flags["W"] == nil)
        let cas = try #require(first.flags["c"])
        #expect(try await connection.meta(.set("k", [2], "C" + cas)).code == .done)
        #expect(try await connection.meta(.get("k", "v")).flags.isEmpty)
    }

    @Test(arguments: [
        "", " ", "v v", "v\r\nflush_all", "\u{e9}", "O1", "k", "b", "q", String(repeating: "T", count: 2000),
    ])
    func flagsThatCannotBeAreRefused(flag: String) async throws {
        let server = try TestServer()
        let connection = server.connection()
        let error = await #expect(throws: MemcacheError.self) {
            try await connection.meta(.get("k", flag))
        }
        #expect(error?.code == .clientError)
        // What the server refuses is an error, too, and the connection goes on.
        await #expect(throws: MemcacheError.self) { try await connection.meta(.get("k", "N-")) }
        #expect(try await connection.meta(.get("k", "v")).code == .miss)
        #expect(!connection.isBroken)
    }

    @Test func theBinaryDialectHasNone() async throws {
        let server = try TestServer()
        let connection = server.connection { $0.dialect = .binary }
        let error = await #expect(throws: MemcacheError.self) { try await connection.meta(.get("k")) }
        #expect(error?.code == .notSupported)
    }

    @Test(arguments: Dialect.allCases, executables)
    func bytesAreAdded(dialect: Dialect, executable: String) async throws {
        let server = try TestServer(executable: executable)
        let connection = server.connection { $0.dialect = dialect }
        let group = ServerGroup([GroupMember(server.address)], configuration: connection.configuration)
        let everyWay: [any ItemServers] = [
            connection, group, RetryingServers(group), Pooled(LazyPool(size: 1) { connection }),
        ]
        for servers in everyWay {
            #expect(try await servers.append([2], to: "k") == false)
            #expect(try await servers.prepend([2], to: "k") == false)
            let item = NewItem(key: "k", bytes: [5], flags: 7)
            #expect(try await servers.store(.set, [item], expiration: .never) == [])
            #expect(try await servers.append([6, 0x0D, 0x0A], to: "k"))
            #expect(try await servers.prepend([4], to: "k"))
            let found = try #require(try await servers.items(for: ["k"])["k"])
            #expect(found.bytes == [4, 5, 6, 0x0D, 0x0A] && found.flags == 7)
            #expect(try await servers.delete(["k"]) == ["k"])
        }
    }
}
