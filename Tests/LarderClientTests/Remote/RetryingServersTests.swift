import Testing

@testable import LarderClient

@Suite(.timeLimit(.minutes(1))) struct RetryingServersTests {
    private let clock = TestClock()

    private func make(
        failing failures: Int, with code: MemcacheError.Code = .connectionLost, attempts: Int = 3,
        budget: RetryBudget = RetryBudget()
    ) -> (RetryingServers, MapServers, Shared<Int>) {
        let map = MapServers(clock: clock)
        let asked = Shared(0)
        let flaky = FlakyServers(map, failures: failures, code: code, asked: asked)
        let retrying = RetryingServers(
            flaky, attempts: attempts, backoff: Backoff(initial: .milliseconds(10), jitter: 0),
            budget: budget,
            clock: clock.cacheClock)
        return (retrying, map, asked)
    }

    @Test func whatFailsIsTriedAgain() async throws {
        let (servers, _, asked) = make(failing: 2)
        let failed = try await clock.running {
            try await servers.store(.set, [NewItem(key: "k", bytes: [1])], expiration: .never)
        }
        #expect(failed == [])
        #expect(asked.value == 3)
        let found = try await servers.items(for: ["k"])
        #expect(found["k"]?.bytes == [1])
        #expect(try await servers.timedItem(for: "k")?.left == .unlimited)
        #expect(try await servers.touch("k", expiration: .never))
        #expect(asked.value == 6)
    }

    @Test func notMoreOftenThanItMayBe() async throws {
        let (servers, _, asked) = make(failing: 100)
        let error = await #expect(throws: MemcacheError.self) {
            try await clock.running { try await servers.items(for: ["k"]) }
        }
        #expect(error?.code == .connectionLost)
        #expect(asked.value == 3)
    }

    /// A second time might count twice.
    @Test func whatChangesMoreTheSecondTimeIsNotTriedAgain() async throws {
        let (servers, _, asked) = make(failing: 100)
        let item = NewItem(key: "k", bytes: [1])
        let requests: [@Sendable () async throws -> Void] = [
            { _ = try await servers.store(.add, [item], expiration: .never) },
            { _ = try await servers.store(.replace, [item], expiration: .never) },
            { _ = try await servers.replace(item, cas: 1, expiration: .never) },
            { _ = try await servers.delete(["k"]) },
            { _ = try await servers.add(1, to: "k", initial: 1, expiration: .never) },
            { _ = try await servers.lease("k", seconds: 1) },
            { try await servers.flushAll() },
        ]
        for (number, request) in requests.enumerated() {
            await #expect(throws: MemcacheError.self) { try await request() }
            #expect(asked.value == number + 1)
        }
    }

    @Test(arguments: [
        MemcacheError.Code.clientError, .invalidKey, .authenticationFailed, .closed, .serverError,
    ])
    func whatWillFailAgainIsNotTriedAgain(code: MemcacheError.Code) async throws {
        let (servers, _, asked) = make(failing: 100, with: code)
        await #expect(throws: MemcacheError.self) { try await servers.items(for: ["k"]) }
        #expect(asked.value == 1)
    }

    /// In trouble a part of all requests is made again, and not each of them.
    @Test func theBudgetBoundsThem() async throws {
        let (servers, _, asked) = make(
            failing: .max, attempts: 10, budget: RetryBudget(part: 0.1, reserve: 5))
        try await clock.running {
            for _ in 0..<1000 { _ = try? await servers.items(for: ["k"]) }
        }
        #expect((1090...1106).contains(asked.value), "\(asked.value)")
    }
}

/// Fails so often, then works.
private struct FlakyServers: ItemServers {
    private let servers: MapServers
    private let failures: Int
    private let code: MemcacheError.Code
    private let asked: Shared<Int>

    init(_ servers: MapServers, failures: Int, code: MemcacheError.Code, asked: Shared<Int>) {
        self.servers = servers
        self.failures = failures
        self.code = code
        self.asked = asked
    }

    private func fail() throws {
        if asked.next() <= failures { throw MemcacheError(code, "as the test wants it") }
    }

    func items(for keys: [String]) async throws -> [String: StoredItem] {
        try fail()
        return try await servers.items(for: keys)
    }
    func timedItem(for key: String) async throws -> Timed<StoredItem>? {
        try fail()
        return try await servers.timedItem(for: key)
    }
    func store(_ mode: StoreMode, _ items: [NewItem], expiration: Expiration) async throws -> [String] {
        try fail()
        return try await servers.store(mode, items, expiration: expiration)
    }
    func replace(_ item: NewItem, cas: UInt64, expiration: Expiration) async throws -> Bool {
        try fail()
        return try await servers.replace(item, cas: cas, expiration: expiration)
    }
    func delete(_ keys: [String]) async throws -> Set<String> {
        try fail()
        return try await servers.delete(keys)
    }
    func add(_ delta: Int64, to key: String, initial: UInt64?, expiration: Expiration) async throws -> UInt64? {
        try fail()
        return try await servers.add(delta, to: key, initial: initial, expiration: expiration)
    }
    func touch(_ key: String, expiration: Expiration) async throws -> Bool {
        try fail()
        return try await servers.touch(key, expiration: expiration)
    }
    func lease(_ key: String, seconds: Int) async throws -> Lease<StoredItem> {
        try fail()
        return try await servers.lease(key, seconds: seconds)
    }
    func flushAll() async throws {
        try fail()
        try await servers.flushAll()
    }
}
