import Testing

@testable import LarderServer

private func ping(_ line: String) -> PingSettings? {
    guard case .ping(let settings) = parseCommandLine(line.split(separator: " ").map(String.init)) else {
        return nil
    }
    return settings
}

private func exitCode(_ line: String) -> Int32? {
    guard case .end(let ending) = parseCommandLine(line.split(separator: " ").map(String.init)) else {
        return nil
    }
    return ending.exitCode
}

@Suite struct PingParserTests {
    @Test func takesItsOptions() throws {
        #expect(ping("ping") == PingSettings())
        #expect(ping("larder ping") == PingSettings())
        let tcp = try #require(ping("ping -l 10.0.0.1 -p 12000 -t 0.5 -v"))
        #expect(
            tcp.host == "10.0.0.1" && tcp.port == 12000 && tcp.timeoutMilliseconds == 500 && tcp.isVerbose)
        #expect(ping("ping -Z -B binary").map { $0.usesTLS && $0.isBinary } == true)
        #expect(ping("ping -B auto")?.isBinary == false)
        #expect(ping("ping -s /run/l.sock")?.unixSocketPath == "/run/l.sock")
        #expect(ping("ping --port=5 --timeout=9")?.timeoutMilliseconds == 9000)
    }

    /// As the health check of a container, which has the server's environment.
    @Test func theEnvironmentNamesTheServer() {
        func found(_ line: String, _ variables: [String: String], file: String = "") -> PingSettings? {
            let request = parseCommandLine(
                line.split(separator: " ").map(String.init), environment: { variables[$0] },
                readFile: { _ in .bytes(Array(file.utf8), isWritableByAll: false) })
            guard case .ping(let settings) = request else { return nil }
            return settings
        }
        #expect(found("ping", ["LARDER_PORT": "12000"])?.port == 12000)
        #expect(found("ping -v", ["MEMCACHED_PORT_NUMBER": "12000"])?.port == 12000)
        #expect(found("ping -t 9", ["LARDER_CONFIG": "f"], file: "port 12000")?.port == 12000)
        #expect(found("ping -t 9", ["LARDER_CONFIG": "f"], file: "port 12000")?.timeoutMilliseconds == 9000)
        #expect(found("ping", ["LARDER_UNIX_SOCKET": "/run/l"])?.unixSocketPath == "/run/l")
        let elsewhere = found("ping", ["LARDER_LISTEN": "10.0.0.5:12000\n10.0.0.6"])
        #expect(elsewhere?.host == "10.0.0.5" && elsewhere?.port == 12000)
        #expect(found("ping", ["LARDER_LISTEN": "*"])?.host == nil)
        #expect(found("ping", ["LARDER_PROTOCOL": "binary"])?.isBinary == true)
        let encrypted = ["LARDER_ENABLE_SSL": "yes", "LARDER_EXTENDED": "ssl_chain_cert=c,ssl_key=k"]
        #expect(found("ping", encrypted)?.usesTLS == true)
        #expect(found("ping -p 5", encrypted.merging(["LARDER_UNIX_SOCKET": "/run/l"]) { $1 })?.usesTLS == false)
        // A place among the options, and settings with a mistake.
        #expect(found("ping -p 5", ["LARDER_UNIX_SOCKET": "/run/l"])?.unixSocketPath == nil)
        #expect(found("ping -l 10.0.0.7", ["LARDER_PORT": "12000"])?.port == 11211)
        #expect(found("ping", ["LARDER_THREADS": "none", "LARDER_PORT": "12000"]) == PingSettings())
    }

    @Test func healthIsAskedOfTheAdminListener() {
        func found(_ line: String, _ variables: [String: String]) -> PingSettings? {
            guard
                case .ping(let settings) = parseCommandLine(
                    line.split(separator: " ").map(String.init), environment: { variables[$0] })
            else { return nil }
            return settings
        }
        let own = found("ping --health", ["LARDER_CONTAINER": "1", "LARDER_PORT": "12000"])
        #expect(own?.asksHealth == true && own?.host == "127.0.0.1" && own?.port == 9150)
        let given = found("ping --health -t 9", ["LARDER_CONTAINER": "1", "LARDER_ADMIN": "*:9200"])
        #expect(given?.host == nil && given?.port == 9200 && given?.timeoutMilliseconds == 9000)
        #expect(found("ping --health -l 10.0.0.1 -p 5", ["LARDER_ADMIN": "9200"])?.port == 5)
        #expect(found("ping --health", [:]) == nil && exitCode("ping --health") == 64)
        for words in ["-s /run/l", "-Z", "-B binary"] { #expect(exitCode("ping --health -p 5 \(words)") == 64) }
        #expect(found("ping", ["LARDER_CONTAINER": "1"])?.asksHealth == false)
    }

    @Test func refusesWhatCannotBe() {
        #expect(exitCode("ping -h") == 0)
        #expect(exitCode("ping -p 0") == 64)
        #expect(exitCode("ping -p x") == 64)
        #expect(exitCode("ping -t 0") == 64)
        #expect(exitCode("ping -t nan") == 64)
        #expect(exitCode("ping host") == 64)
        #expect(exitCode("ping -m 64") == 1)
    }
}
