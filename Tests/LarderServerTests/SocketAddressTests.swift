import Glibc
import Testing

@testable import LarderServer

@Suite struct SocketAddressTests {
    @Test func bothEndsOfATCPConnection() throws {
        let listeners = try Listener.openAll(ephemeralSettings())
        defer { for listener in listeners { close(listener.fd) } }
        let client = try TestClient(to: listeners[0])
        let peer = try #require(SocketAddress.peer(of: client.fd))
        #expect(peer == listeners[0].address)
        #expect(peer.text == "tcp:127.0.0.1:\(try #require(peer.port))")
        #expect(SocketAddress.local(of: client.fd) != peer)
    }

    @Test func anIPv6AddressIsInBrackets() throws {
        var address = sockaddr_in6()
        address.sin6_family = sa_family_t(AF_INET6)
        address.sin6_addr = in6addr_loopback
        address.sin6_port = UInt16(4711).bigEndian
        let text = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                SocketAddress($0, length: MemoryLayout<sockaddr_in6>.size)
            }
        }
        #expect(text.text == "tcp6:[::1]:4711")
        #expect(text.with(port: 80).text == "tcp6:[::1]:80")
    }

    @Test func aUnixSocketHasAPathAndItsClientHasNone() throws {
        let directory = try TemporaryDirectory()
        var settings = Settings()
        settings.unixSocketPath = directory.file("s")
        let listeners = try Listener.openAll(settings)
        defer { close(listeners[0].fd) }
        let client = try TestClient(to: listeners[0])
        #expect(SocketAddress.peer(of: client.fd)?.text == "unix:" + directory.file("s"))
        #expect(SocketAddress.local(of: client.fd)?.text == "unix:<AF 1>")
        #expect(SocketAddress.peer(of: client.fd)?.port == nil)
    }

    @Test func aSocketWithoutAPeerHasNoPeerAddress() throws {
        let listeners = try Listener.openAll(ephemeralSettings())
        defer { for listener in listeners { close(listener.fd) } }
        #expect(SocketAddress.peer(of: listeners[0].fd) == nil)
    }
}
