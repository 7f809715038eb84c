import Foundation
import LarderTesting
import NIOSSL
import Synchronization
import Testing

@testable import LarderClient

@Suite(.timeLimit(.minutes(1))) struct AccessTests {
    /// A server that wants this login.
    private func serve(_ dialect: Dialect, options: [String] = []) throws -> TestServer {
        let users = TestFile()
        try Data("me:secret word\n".utf8).write(to: URL(fileURLWithPath: users.path))
        // They are read before it listens.
        return try withExtendedLifetime(users) {
            try TestServer(
                transport: options.isEmpty ? .unix : .tcp,
                arguments: (dialect == .binary ? ["-S"] : []) + ["-Y", users.path] + options)
        }
    }

    private func login(_ dialect: Dialect, password: String) -> Authentication {
        switch dialect {
        case .meta: .ascii(user: "me", password: password)
        case .binary: .sasl(user: "me", password: password)
        }
    }

    @Test(arguments: Dialect.allCases)
    func loginByName(dialect: Dialect) async throws {
        let server = try serve(dialect)
        let right = server.connection { $0.authentication = login(dialect, password: "secret word") }
        #expect(try await right.store(.set, [NewItem(key: "a", bytes: [1])], expiration: .never) == [])
        #expect(try await right.items(for: ["a"])["a"]?.bytes == [1])

        let wrong = server.connection { $0.authentication = login(dialect, password: "secret") }
        let refused = await #expect(throws: MemcacheError.self) { try await wrong.items(for: ["a"]) }
        #expect(refused?.code == .authenticationFailed)

        // Who may not come in is not told that nothing is there.
        let nobody = server.connection {
            $0.onFailure = .miss
            $0.dialect = dialect
        }
        let unknown = await #expect(throws: MemcacheError.self) { try await nobody.items(for: ["a"]) }
        #expect(unknown?.code == .authenticationFailed)
    }

    /// Many logins at once, each on a connection of its own, and again after the connection was lost.
    @Test func eachConnectionLogsIn() async throws {
        let server = try serve(.binary)
        var configuration = server.configuration
        configuration.authentication = login(.binary, password: "secret word")
        let pool = try await EagerPool(size: 5, to: server.address, configuration: configuration)
        let cache = RemoteCache(Pooled(pool))
        try await cache.set("a", 1)
        for _ in 0..<20 { #expect(try await cache.get("a") == 1) }
        await pool.close()
    }

    /// A server that lets nobody log in says so at once, and nobody takes it for a miss.
    @Test(arguments: [TestServer.larder, TestServer.memcached])
    func withoutSASLThereIsNoLogin(executable: String) async throws {
        let server = try TestServer(executable: executable)
        let connection = server.connection {
            $0.authentication = .sasl(user: "me", password: "secret word")
            $0.onFailure = .miss
        }
        let error = await #expect(throws: MemcacheError.self) { try await connection.items(for: ["a"]) }
        #expect(error?.code == .authenticationFailed)
        #expect(error?.message.contains("SASL") == true)
    }

    /// Where the dialect is the wrong one, that is an error and not a silence.
    @Test func theOtherDialectIsAnError() async throws {
        let binaryOnly = try serve(.binary)
        await #expect(throws: MemcacheError.self) { try await binaryOnly.connection().items(for: ["a"]) }
        let textOnly = try serve(.meta)
        for wants in [nil, login(.binary, password: "secret word")] {
            let connection = textOnly.connection {
                $0.dialect = .binary
                $0.authentication = wants
            }
            let error = await #expect(throws: MemcacheError.self) { try await connection.items(for: ["a"]) }
            #expect(error?.code != .timedOut && error?.message.contains("in time") == false)
        }
    }

    /// A server that wants more than PLAIN, or refuses it in its own words.
    @Test(arguments: [0x20, 0x21, 0x04] as [UInt16])
    func aLoginThatIsNotAccepted(status: UInt16) async throws {
        let server = try FakeServer(speaking: .binary, greets: false) { request in
            .say(AnswerPacket(to: request, status: status, value: Array("challenge".utf8)).bytes)
        }
        var configuration = ConnectionConfiguration()
        configuration.authentication = login(.binary, password: "secret word")
        configuration.connectTimeout = .seconds(30)
        configuration.silence()
        let connection = MemcacheConnection(
            to: .unixSocket(path: server.path), configuration: configuration)
        let error = await #expect(throws: MemcacheError.self) { try await connection.items(for: ["a"]) }
        #expect(error?.code == .authenticationFailed)
    }

    @Test func theLoginIsWhatServersExpect() async throws {
        let heard = Mutex<[[UInt8]]>([])
        let server = try FakeServer(speaking: .binary, greets: false) { request in
            heard.withLock { $0.append(request.bytes) }
            return .say(AnswerPacket(to: request).bytes)
        }
        var configuration = ConnectionConfiguration()
        configuration.authentication = .sasl(user: "ü", password: "p w")
        configuration.connectTimeout = .seconds(30)
        let connection = MemcacheConnection(
            to: .unixSocket(path: server.path), configuration: configuration)
        try await connection.ping()
        let login = try #require(heard.withLock { $0.first })
        #expect(Array(login[..<12]) == [0x80, 0x21, 0, 5, 0, 0, 0, 0, 0, 0, 0, 12])
        #expect(login[24...].elementsEqual(Array("PLAIN\0ü\0p w".utf8)))
    }

    @Test(arguments: [false, true]) func encrypted(usesSASL: Bool) async throws {
        let certificate = try TestCertificate.shared.get()
        let server =
            try usesSASL
            ? serve(.binary, options: certificate.serverOptions)
            : TestServer(transport: .tcp, arguments: certificate.serverOptions)
        guard case .host(_, let port) = server.address else { return }
        var tls = TLSConfiguration.makeClientConfiguration()
        tls.trustRoots = .file(certificate.chainPath)
        var configuration = server.configuration
        configuration.security = try .tls(tls)
        if usesSASL { configuration.authentication = login(.binary, password: "secret word") }
        let connection = MemcacheConnection(to: .host("localhost", port: port), configuration: configuration)
        let bytes = [UInt8](repeating: 7, count: 100_000)
        #expect(try await connection.store(.set, [NewItem(key: "a", bytes: bytes)], expiration: .never) == [])
        #expect(try await connection.items(for: ["a"])["a"]?.bytes == bytes)

        // The certificate is not for this name.
        configuration.security = try .tls(tls, serverName: "example.com")
        configuration.silence()
        // Each time the reason is told, whatever comes first.
        for _ in 0..<30 {
            let other = MemcacheConnection(to: .host("localhost", port: port), configuration: configuration)
            let refused = await #expect(throws: MemcacheError.self) { try await other.items(for: ["a"]) }
            #expect(refused?.code == .cannotConnect)
            #expect(refused?.underlying is NIOSSLExtraError, "\(String(describing: refused))")
            let cached = await #expect(throws: CacheError.self) {
                try await RemoteCache(MemcacheConnection(to: other.address, configuration: configuration))
                    .get("a", as: Int.self)
            }
            #expect(cached?.code == .tls)
        }

        // Nobody known has signed it.
        configuration.security = try .tls(.makeClientConfiguration())
        let stranger = MemcacheConnection(to: .host("localhost", port: port), configuration: configuration)
        await #expect(throws: MemcacheError.self) { try await stranger.items(for: ["a"]) }
    }
}
