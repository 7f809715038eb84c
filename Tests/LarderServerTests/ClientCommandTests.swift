import Testing

@testable import LarderServer

private func command(_ words: String...) -> ClientCommand? {
    guard case .client(let settings) = parseCommandLine(words) else { return nil }
    return settings.command
}

private func exitCode(_ words: String...) -> Int32? {
    guard case .end(let ending) = parseCommandLine(words) else { return nil }
    return ending.exitCode
}

@Suite struct ClientCommandTests {
    private let key = Array("key".utf8)

    @Test func takesItsWords() {
        #expect(command("stats") == .stats([]))
        #expect(command("larder", "stats", "detail", "dump") == .stats(["detail", "dump"]))
        #expect(command("get", "key") == .get(key: key))
        #expect(command("set", "key") == .set(key: key, value: nil))
        #expect(command("set", "key", "-") == .set(key: key, value: nil))
        #expect(command("set", "key", "") == .set(key: key, value: []))
        #expect(command("set", "--", "key", "-5") == .set(key: key, value: Array("-5".utf8)))
        #expect(command("delete", "a key") == .delete(key: Array("a key".utf8)))
        #expect(command("keys") == .keys(KeyListing()))
        #expect(
            command("keys", "user:", "--limit=5", "-0", "-t", "2")
                == .keys(KeyListing(prefix: Array("user:".utf8), limit: 5, endsInNull: true, busyMilliseconds: 2000)))
        #expect(command("top") == .top(once: false))
        #expect(command("top", "--once") == .top(once: true))
    }

    @Test func takesTheOptionsOfPing() throws {
        guard
            case .client(let settings) = parseCommandLine(
                ["get", "-l", "10.0.0.1", "-p", "12000", "-Z", "key", "-t", "0.5", "-s", "/run/l.sock"])
        else {
            Issue.record("no client command")
            return
        }
        let server = settings.server
        #expect(
            server.host == "10.0.0.1" && server.port == 12000 && server.usesTLS && server.timeoutMilliseconds == 500)
        #expect(server.unixSocketPath == "/run/l.sock" && settings.command == .get(key: key))
    }

    /// In a container that is the server of the container.
    @Test func theEnvironmentNamesTheServer() {
        func server(_ words: String..., variables: [String: String]) -> PingSettings? {
            guard case .client(let settings) = parseCommandLine(words, environment: { variables[$0] }) else {
                return nil
            }
            return settings.server
        }
        for words in ["stats", "keys", "top"] {
            #expect(server(words, variables: ["LARDER_PORT": "12000"])?.port == 12000)
        }
        #expect(server("get", "key", variables: ["MEMCACHED_PORT_NUMBER": "12000"])?.port == 12000)
        let unix = ["LARDER_UNIX_SOCKET": "/run/l"]
        #expect(server("set", "key", "-t", "9", variables: unix)?.unixSocketPath == "/run/l")
        #expect(server("set", "key", "-t", "9", variables: unix)?.timeoutMilliseconds == 9000)
        // A place among the options, and settings with a mistake.
        #expect(server("delete", "-p", "5", "key", variables: unix)?.unixSocketPath == nil)
        #expect(server("top", variables: ["LARDER_THREADS": "none", "LARDER_PORT": "12000"]) == PingSettings())
    }

    @Test func refusesOtherWords() {
        for name in ["stats", "get", "set", "delete", "keys", "top"] { #expect(exitCode(name, "-h") == 0) }
        #expect(exitCode("get") == 64 && exitCode("get", "a", "b") == 64 && exitCode("get", "") == 64)
        #expect(exitCode("set") == 64 && exitCode("set", "a", "b", "c") == 64)
        #expect(exitCode("keys", "--limit", "-1") == 64 && exitCode("top", "a") == 64)
        #expect(exitCode("get", "key", "--once") == 1 && exitCode("get", "key", "-m", "64") == 1)
        #expect(exitCode("stats", "a\r\nflush_all") == 64)
        #expect(command("get", String(repeating: "x", count: 250)) != nil)
        #expect(exitCode("get", String(repeating: "x", count: 251)) == 64)
        #expect(command("get", String(repeating: " ", count: 186)) != nil)
        #expect(exitCode("get", String(repeating: " ", count: 187)) == 64)
        #expect(exitCode("get", "\u{FFFD}") == 64)
    }
}
