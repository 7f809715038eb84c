import Glibc
import LarderClient
import LarderTestServer
import Logging
import Testing

/// Lets other tasks run until something is so. What does not come in two minutes will not come.
private func until(_ condition: () async throws -> Bool) async rethrows {
    let end = ContinuousClock.now + .seconds(120)
    while try await !condition() {
        guard ContinuousClock.now < end else {
            Issue.record("What is waited for does not come.")
            return
        }
        await Task.yield()
    }
}

@Suite(.timeLimit(.minutes(2))) struct LarderTestServerTests {
    typealias Configuration = LarderTestServer.Configuration

    private static let both: [Configuration.Transport] = [.tcp, .unixSocket]

    private func configuration(_ transport: Configuration.Transport) -> Configuration {
        var configuration = Configuration()
        configuration.transport = transport
        return configuration
    }

    @Test(arguments: both) func itServes(transport: Configuration.Transport) async throws {
        try await LarderTestServer.withServer(configuration(transport)) { server in
            let cache = server.makeCache()
            try await cache.set("k", "value")
            #expect(try await cache.get("k") == "value")
            #expect(server.connectionCount == 1)
        }
    }

    @Test func timePassesWhenItIsTold() async throws {
        try await LarderTestServer.withServer { server in
            let cache = server.makeCache()
            try await cache.set("k", 1, expiration: .after(.seconds(60)))
            try await cache.set("ever", 1)
            let begin = server.now
            server.advance(by: .milliseconds(59_999))
            #expect(try await cache.get("k") == 1)
            server.advance(by: .milliseconds(1))
            #expect(try await cache.get("k", as: Int.self) == nil)
            #expect(try await cache.get("ever") == 1)
            #expect(server.now == begin + 60_000)
            #expect(begin % 1000 == 0)
        }
    }

    /// The worker may be in the middle of a turn, whose time was read before.
    @Test func noAnswerIsOfTheTimeBefore() async throws {
        try await LarderTestServer.withServer { server in
            let cache = server.makeCache()
            let busy = server.makeCache()
            let others = Task {
                while !Task.isCancelled {
                    _ = try await busy.getMulti((0..<100).map { "b\($0)" }, as: Int.self)
                }
            }
            for number in 0..<100 {
                try await cache.set("k\(number)", 1, expiration: .after(.seconds(1)))
                server.advance(by: .seconds(1))
                #expect(try await cache.get("k\(number)", as: Int.self) == nil, "round \(number)")
            }
            others.cancel()
            _ = try? await others.value
        }
    }

    @Test func aRunningClockRunsAndIsMovedAsWell() async throws {
        var configuration = Configuration()
        configuration.isClockRunning = true
        try await LarderTestServer.withServer(configuration) { server in
            let begin = server.now
            await until { server.now > begin }
            server.advance(by: .seconds(3600))
            #expect(server.now >= begin + 3_600_000)
        }
    }

    @Test func manyServersAtOnceHaveTheirOwn() async throws {
        let servers = try (0..<20).map { _ in try LarderTestServer() }
        #expect(Set(servers.map(\.address)).count == 20)
        try await withThrowingTaskGroup { group in
            for (number, server) in servers.enumerated() {
                group.addTask {
                    let cache = server.makeCache()
                    for key in 0..<20 { try await cache.set("k\(key)", number) }
                    if number % 2 == 0 { server.advance(by: .seconds(number)) }
                    #expect(try await cache.getMulti(["k0", "k19"]) == ["k0": number, "k19": number])
                }
            }
            try await group.waitForAll()
        }
        #expect(servers[1].now <= servers[18].now)
        for server in servers { server.stop() }
    }

    // MARK: Failures

    @Test(arguments: both) func aServerThatStopsAnsweringIsSilent(transport: Configuration.Transport)
        async throws
    {
        try await LarderTestServer.withServer(configuration(transport)) { server in
            let patient = server.makeCache()
            try await patient.set("k", 1)
            server.stopAnswering()
            let impatient = server.makeConnection {
                $0.connectTimeout = .milliseconds(50)
                $0.logger.logLevel = .critical
            }
            let error = await #expect(throws: MemcacheError.self) { try await impatient.items(for: ["k"]) }
            #expect(error?.code == .cannotConnect)
            // Neither a second order nor time changes anything.
            server.stopAnswering()
            server.advance(by: .seconds(5))
            async let waiting = patient.get("k", as: Int.self)
            server.resumeAnswering()
            #expect(try await waiting == 1)
        }
    }

    @Test func whatWasAskedMeanwhileIsAnsweredByTheNewTime() async throws {
        try await LarderTestServer.withServer { server in
            let cache = server.makeCache()
            try await cache.set("k", 1, expiration: .after(.seconds(10)))
            server.stopAnswering()
            async let waiting = cache.get("k", as: Int.self)
            server.advance(by: .seconds(10))
            server.resumeAnswering()
            #expect(try await waiting == nil)
        }
    }

    @Test(arguments: [false, true]) func connectionsAreClosed(isSilent: Bool) async throws {
        try await LarderTestServer.withServer { server in
            let connection = server.makeConnection { $0.logger.logLevel = .critical }
            try await connection.ping()
            #expect(server.connectionCount == 1)
            if isSilent { server.stopAnswering() }
            server.closeConnections()
            #expect(server.connectionCount == 0)
            if isSilent { server.resumeAnswering() }
            await until { (try? await connection.ping()) != nil }
            #expect(server.connectionCount == 1)
        }
    }

    @Test(arguments: both) func aStoppedServerIsGoneAndComesBackEmpty(transport: Configuration.Transport)
        async throws
    {
        let server = try LarderTestServer(configuration(transport))
        let address = server.address
        let connection = server.makeConnection { $0.logger.logLevel = .critical }
        let cache = RemoteCache(connection)
        try await cache.set("k", 1)
        for _ in 0..<3 {
            server.stop()
            server.stop()
            #expect(server.connectionCount == 0)
            // The end of the old connection may be heard of later than this.
            await until { (try? await connection.ping()) == nil }
            let error = await #expect(throws: MemcacheError.self) { try await connection.ping() }
            #expect(error?.code == .cannotConnect)
            try server.restart()
            #expect(server.address == address)
            #expect(try await cache.get("k", as: Int.self) == nil)
            try await cache.set("k", 1)
        }
        try server.restart()
        await until { (try? await connection.ping()) != nil }
        #expect(try await cache.get("k", as: Int.self) == nil)
        server.stop()
    }

    @Test func aFullServerRefuses() async throws {
        var configuration = Configuration()
        configuration.memoryBytes = 2 << 20
        configuration.itemBytesMax = 100_000
        configuration.evicts = false
        try await LarderTestServer.withServer(configuration) { server in
            let cache = server.makeCache { $0.logger.logLevel = .critical }
            #expect(try await !cache.set("large", [UInt8](repeating: 1, count: 100_000)))
            var stored = 0
            while try await cache.set("k\(stored)", [UInt8](repeating: 1, count: 50_000)) { stored += 1 }
            #expect((10..<42).contains(stored))
        }
    }

    @Test func aServerThatCannotBeSaysWhy() {
        var configuration = Configuration()
        configuration.memoryBytes = 1 << 60
        let error = #expect(throws: LarderTestServerError.self) { try LarderTestServer(configuration) }
        #expect(error?.message.isEmpty == false)
    }

    // MARK: What is left

    /// The names of this process's threads.
    private func threads() -> [String] {
        entries(of: "/proc/self/task").compactMap { number in
            guard let file = fopen("/proc/self/task/\(number)/comm", "r") else { return nil }
            defer { fclose(file) }
            var line = [CChar](repeating: 0, count: 64)
            guard fgets(&line, 64, file) != nil else { return nil }
            return String(
                decoding: line.prefix { $0 != 0 && $0 != 10 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
    }

    private func entries(of path: String) -> [String] {
        guard let directory = opendir(path) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { tuple in
                tuple.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }

    /// What the program does about signals is its own affair.
    @Test func signalsAreLeftAlone() async throws {
        /// What stands first in the structure: the handler.
        func handlers() -> [UInt] {
            [SIGTERM, SIGINT, SIGUSR1, SIGHUP, SIGPIPE].map { signal in
                var action = sigaction()
                sigaction(signal, nil, &action)
                return withUnsafeBytes(of: action) { $0.load(as: UInt.self) }
            }
        }
        let before = handlers()
        try await LarderTestServer.withServer { server in
            try await server.makeCache().set("k", 1)
            #expect(handlers() == before)
        }
        #expect(handlers() == before)
    }

    /// The directory of its socket, which nobody else has.
    @Test func nothingIsLeft() async throws {
        var path = ""
        do {
            let server = try LarderTestServer(configuration(.unixSocket))
            guard case .unixSocket(let socket) = server.address else {
                Issue.record("\(server.address)")
                return
            }
            path = String(socket[..<(socket.lastIndex(of: "/") ?? socket.endIndex)])
            #expect(entries(of: path) == ["socket"])
            #expect(threads().contains("larder-main"))
            try await server.makeCache().set("k", 1)
        }
        #expect(access(path, F_OK) != 0)
    }
}
