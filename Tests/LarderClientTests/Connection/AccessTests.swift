import Foundation
import LarderTesting
import NIOSSL
import Testing

@testable import LarderClient

@Suite(.timeLimit(.minutes(1))) struct AccessTests {
    @Test func loginByName() async throws {
        let file = FileManager.default.temporaryDirectory.appending(path: "larder-users-\(UUID().uuidString)")
        try Data("me:secret word\n".utf8).write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        let server = try TestServer(arguments: ["-Y", file.path])

        let right = server.connection { $0.authentication = .ascii(user: "me", password: "secret word") }
        #expect(try await right.store(.set, [NewItem(key: "a", bytes: [1])], expiration: .never) == [])
        #expect(try await right.items(for: ["a"])["a"]?.bytes == [1])

        let wrong = server.connection { $0.authentication = .ascii(user: "me", password: "secret") }
        let refused = await #expect(throws: MemcacheError.self) { try await wrong.items(for: ["a"]) }
        #expect(refused?.code == .authenticationFailed)

        // Who may not come in is not told that nothing is there.
        let nobody = server.connection { $0.onFailure = .miss }
        let unknown = await #expect(throws: MemcacheError.self) { try await nobody.items(for: ["a"]) }
        #expect(unknown?.code == .authenticationFailed)
    }

    @Test func encrypted() async throws {
        let certificate = try TestCertificate.shared.get()
        let server = try TestServer(transport: .tcp, arguments: certificate.serverOptions)
        guard case .host(_, let port) = server.address else { return }
        var tls = TLSConfiguration.makeClientConfiguration()
        tls.trustRoots = .file(certificate.chainPath)
        var configuration = server.configuration
        configuration.security = try .tls(tls)
        let connection = MemcacheConnection(to: .host("localhost", port: port), configuration: configuration)
        let bytes = [UInt8](repeating: 7, count: 100_000)
        #expect(try await connection.store(.set, [NewItem(key: "a", bytes: bytes)], expiration: .never) == [])
        #expect(try await connection.items(for: ["a"])["a"]?.bytes == bytes)

        // The certificate is not for this name.
        configuration.security = try .tls(tls, serverName: "example.com")
        let other = MemcacheConnection(to: .host("localhost", port: port), configuration: configuration)
        let refused = await #expect(throws: MemcacheError.self) { try await other.items(for: ["a"]) }
        #expect(refused?.code == .cannotConnect)

        // Nobody known has signed it.
        configuration.security = try .tls(.makeClientConfiguration())
        let stranger = MemcacheConnection(to: .host("localhost", port: port), configuration: configuration)
        await #expect(throws: MemcacheError.self) { try await stranger.items(for: ["a"]) }
    }
}
