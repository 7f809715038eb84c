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
