import Glibc
import Testing

@testable import LarderServer

private func withListeners(
    _ settings: Settings, _ body: ([Listener]) throws -> Void
) throws {
    let listeners = try Listener.openAll(settings)
    defer { for listener in listeners { close(listener.fd) } }
    try body(listeners)
}

@Suite struct ListenerTests {
    // MARK: - TCP

    @Test func withoutAnAddressItListensOnLoopbackOnly() throws {
        try withListeners(ephemeralSettings(hosts: [])) { listeners in
            #expect(!listeners.isEmpty)
            for listener in listeners {
                let text = try #require(listener.address).text
                #expect(text.hasPrefix("tcp:127.0.0.1:") || text.hasPrefix("tcp6:[::1]:"))
                #expect(!listener.isUnixSocket)
                _ = try TestClient(to: listener)
            }
        }
    }

    @Test func aStarMeansEveryAddress() throws {
        try withListeners(ephemeralSettings(hosts: ["*"])) { listeners in
            let texts = listeners.compactMap { $0.address?.text }
            #expect(texts.contains { $0.hasPrefix("tcp:0.0.0.0:") })
            #expect(texts.allSatisfy { $0.hasPrefix("tcp:0.0.0.0:") || $0.hasPrefix("tcp6:[::]:") })
        }
    }

    @Test func severalAddressesMeanSeveralListeners() throws {
        var settings = ephemeralSettings(hosts: ["127.0.0.1", "127.0.0.2"])
        settings.listenAddresses[1].port = -1
        try withListeners(settings) { listeners in
            #expect(listeners.count == 2)
            #expect(listeners.last?.address?.text.hasPrefix("tcp:127.0.0.2:") == true)
        }
    }

    @Test func aNameIsResolved() throws {
        try withListeners(ephemeralSettings(hosts: ["localhost"])) { listeners in
            #expect(!listeners.isEmpty)
        }
    }

    @Test func anAddressOfItsOwnPortTakesThatPort() throws {
        try withListeners(ephemeralSettings()) { first in
            let port = try #require(first[0].address?.port)
            var settings = ephemeralSettings()
            settings.listenAddresses = [.init(host: "127.0.0.2", port: port)]
            try withListeners(settings) { second in
                #expect(second[0].address?.port == port)
            }
        }
    }

    @Test func portZeroMeansNoTCP() throws {
        var settings = Settings()
        settings.tcpPort = 0
        #expect(try Listener.openAll(settings).isEmpty)
    }

    @Test func aPortInUseIsOneClearSentence() throws {
        try withListeners(ephemeralSettings()) { listeners in
            let port = try #require(listeners[0].address?.port)
            var settings = ephemeralSettings()
            settings.tcpPort = port
            let error = #expect(throws: StartupError.self) { try Listener.openAll(settings) }
            #expect(error?.message == "failed to listen on TCP port \(port): Address already in use")
            #expect(error?.exitCode == 71)
        }
    }

    @Test func anAddressOfAnotherMachineIsRefused() {
        // 192.0.2.0/24 is kept for documentation: no machine has it.
        #expect(throws: StartupError.tcpListener(port: -1, error: EADDRNOTAVAIL)) {
            try Listener.openAll(ephemeralSettings(hosts: ["192.0.2.1"]))
        }
    }

    @Test func afterAFailureNoListenerIsLeft() throws {
        let port = try freePort()
        var settings = ephemeralSettings(hosts: ["127.0.0.1", "192.0.2.1"])
        settings.tcpPort = port
        #expect(throws: StartupError.self) { try Listener.openAll(settings) }
        settings.listenAddresses.removeLast()
        try withListeners(settings) { #expect($0.count == 1) }
    }

    private func freePort() throws -> Int {
        var port: Int?
        try withListeners(ephemeralSettings()) { port = $0[0].address?.port }
        return try #require(port)
    }

    @Test func acceptedSocketsInheritTheOptions() throws {
        try withListeners(ephemeralSettings()) { listeners in
            let client = try TestClient(to: listeners[0])
            var waiting = pollfd(fd: listeners[0].fd, events: Int16(POLLIN), revents: 0)
            #expect(poll(&waiting, 1, -1) == 1)
            let fd = accept(listeners[0].fd, nil, nil)
            try #require(fd >= 0)
            defer { close(fd) }
            #expect(option(fd, Int32(IPPROTO_TCP), TCP_NODELAY) != 0)
            #expect(option(fd, SOL_SOCKET, SO_KEEPALIVE) != 0)
            withExtendedLifetime(client) {}
        }
    }

    private func option(_ fd: Int32, _ level: Int32, _ name: Int32) -> Int32 {
        var value: Int32 = -1
        var length = socklen_t(MemoryLayout<Int32>.size)
        #expect(getsockopt(fd, level, name, &value, &length) == 0)
        return value
    }

    // MARK: - Unix

    @Test(arguments: [0o700, 0o666, 0o600] as [UInt32])
    func theSocketFileHasTheModeOfTheMask(mask: UInt32) throws {
        let directory = try TemporaryDirectory()
        var settings = Settings()
        settings.unixSocketPath = directory.file("s")
        settings.unixSocketMask = mask
        try withListeners(settings) { listeners in
            #expect(listeners.map(\.isUnixSocket) == [true])
            #expect(listeners[0].address?.text == "unix:" + directory.file("s"))
            var status = stat()
            #expect(lstat(directory.file("s"), &status) == 0)
            #expect(status.st_mode & 0o777 == mask)
            _ = try TestClient(to: listeners[0])
        }
    }

    @Test func aStaleSocketFileIsReplaced() throws {
        let directory = try TemporaryDirectory()
        var settings = Settings()
        settings.unixSocketPath = directory.file("s")
        try withListeners(settings) { _ in }
        try withListeners(settings) { listeners in
            _ = try TestClient(to: listeners[0])
        }
    }

    @Test func aFileThatIsNoSocketIsLeftAlone() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("precious")
        try replaceFile(at: path, through: path + ".new", with: "data")
        var settings = Settings()
        settings.unixSocketPath = path
        let error = #expect(throws: StartupError.self) { try Listener.openAll(settings) }
        #expect(error?.message == "failed to listen on UNIX socket: \(path): Address already in use")
        #expect(contents(of: path) == "data")
    }

    @Test func aPathThatIsTooLongIsRefused() {
        var settings = Settings()
        let path = "/tmp/" + String(repeating: "x", count: 120)
        settings.unixSocketPath = path
        #expect(throws: StartupError.unixListener(path: path, error: ENAMETOOLONG)) {
            try Listener.openAll(settings)
        }
    }

    // MARK: - Port file

    @Test func thePortFileNamesEachPort() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("ports")
        try withListeners(ephemeralSettings(hosts: [])) { listeners in
            PortFile.write(listeners, to: path)
            let lines = listeners.compactMap { listener -> String? in
                guard let address = listener.address, let port = address.port else { return nil }
                return address.text.hasPrefix("tcp6:") ? "TCP INET6: \(port)\n" : "TCP INET: \(port)\n"
            }
            #expect(contents(of: path) == lines.joined())
            #expect(contents(of: path + ".lck") == nil)
        }
    }

    @Test func aUnixSocketHasNoPortFile() throws {
        let directory = try TemporaryDirectory()
        var settings = Settings()
        settings.unixSocketPath = directory.file("s")
        try withListeners(settings) { listeners in
            PortFile.write(listeners, to: directory.file("ports"))
            #expect(contents(of: directory.file("ports")) == nil)
        }
        // Nothing to listen at is a file of no ports, to whoever waits for it.
        PortFile.write([], to: directory.file("ports"))
        #expect(contents(of: directory.file("ports"))?.isEmpty == true)
    }
}
