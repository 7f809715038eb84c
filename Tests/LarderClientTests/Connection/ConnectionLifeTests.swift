import LarderTesting
import Synchronization
import Testing

@testable import LarderClient

private final class Count: Sendable {
    private let number = Atomic(0)
    var value: Int { number.load(ordering: .relaxed) }
    func add() { number.add(1, ordering: .relaxed) }
}

@Suite(.timeLimit(.minutes(1))) struct ConnectionLifeTests {
    private func connection(
        to path: String, in dialect: Dialect = .meta,
        _ configure: (inout ConnectionConfiguration) -> Void = { _ in }
    ) -> MemcacheConnection {
        var configuration = ConnectionConfiguration()
        configuration.dialect = dialect
        configuration.requestTimeout = .seconds(30)
        configuration.connectTimeout = .seconds(30)
        configuration.backoff = Backoff(initial: .zero)
        configuration.silence()
        configure(&configuration)
        return MemcacheConnection(to: .unixSocket(path: path), configuration: configuration)
    }

    @Test(arguments: Dialect.allCases)
    func aSilentServerIsGivenUp(dialect: Dialect) async throws {
        let server = try FakeServer(speaking: dialect) { _ in .silence }
        let connection = connection(to: server.path, in: dialect) { $0.requestTimeout = .milliseconds(30) }
        let error = await #expect(throws: MemcacheError.self) { try await connection.items(for: ["a"]) }
        #expect(error?.code == .timedOut)
        await until { connection.isBroken }
        await #expect(throws: MemcacheError.self) { try await connection.items(for: ["a"]) }
        #expect(server.acceptedCount == 2)
    }

    /// More requests to a server that says nothing do not keep its connection.
    @Test func aSilentServerIsGivenUpWhileManyAsk() async throws {
        let heard = Count()
        let ended = Count()
        let server = try FakeServer { _ in
            heard.add()
            return .silence
        }
        let connection = connection(to: server.path) { $0.requestTimeout = .milliseconds(100) }
        await withTaskGroup(of: Void.self) { group in
            while server.acceptedCount < 3 {
                let before = (heard.value, ended.value)
                group.addTask {
                    _ = try? await connection.items(for: ["a"])
                    ended.add()
                }
                // The next when this one has been heard, or has come to an end: so they keep coming.
                while before == (heard.value, ended.value),
                    server.acceptedCount < 3
                {
                    await Task.yield()
                }
            }
        }
    }

    /// A connection that closes for idleness at the moment of a request costs nobody anything.
    @Test(arguments: Dialect.allCases)
    func requestsThatMeetAnIdleConnectionsEndAreNotLost(dialect: Dialect) async throws {
        let server = try FakeServer(speaking: dialect) { $0.miss }
        let connection = connection(to: server.path, in: dialect) { $0.idleTimeout = .microseconds(100) }
        for _ in 0..<200 { #expect(try await connection.items(for: ["a"]).isEmpty) }
        #expect(server.acceptedCount > 1)
    }

    @Test(arguments: Dialect.allCases)
    func aServerThatDoesNotGreetIsGivenUp(dialect: Dialect) async throws {
        let server = try FakeServer(speaking: dialect, greets: false) { _ in .silence }
        let connection = connection(to: server.path, in: dialect) { $0.connectTimeout = .milliseconds(30) }
        let error = await #expect(throws: MemcacheError.self) { try await connection.items(for: ["a"]) }
        #expect(error?.code == .cannotConnect)
    }

    @Test(arguments: Dialect.allCases)
    func anIdleConnectionClosesAndOpensAgain(dialect: Dialect) async throws {
        let server = try FakeServer(speaking: dialect) { $0.miss }
        let connection = connection(to: server.path, in: dialect) { $0.idleTimeout = .milliseconds(20) }
        for turn in 1...3 {
            #expect(try await connection.items(for: ["a"]).isEmpty)
            #expect(server.acceptedCount == turn)
            await until { !connection.isOpen }
            // Nothing went wrong: a pool need not replace it.
            #expect(!connection.isBroken)
        }
    }

    @Test(arguments: Dialect.allCases)
    func afterTheServersReturnTheConnectionIsBack(dialect: Dialect) async throws {
        let first = try FakeServer(speaking: dialect) { $0.miss }
        let path = first.path
        let connection = connection(to: path, in: dialect)
        #expect(try await connection.items(for: ["a"]).isEmpty)
        first.stop()
        await until { connection.isBroken }
        let down = await #expect(throws: MemcacheError.self) { try await connection.items(for: ["a"]) }
        #expect(down?.code == .cannotConnect)
        let second = try FakeServer(speaking: dialect, path: path) { $0.miss }
        #expect(try await connection.items(for: ["a"]).isEmpty)
        #expect(second.acceptedCount == 1 && !connection.isBroken)
    }

    @Test(arguments: [-1, 65536, .max]) func aPortThatThereIsNotIsAnError(port: Int) async throws {
        for host in ["127.0.0.1", "localhost"] {
            var configuration = ConnectionConfiguration()
            configuration.silence()
            let connection = MemcacheConnection(to: .host(host, port: port), configuration: configuration)
            let error = await #expect(throws: MemcacheError.self) { try await connection.ping() }
            #expect(error?.code == .cannotConnect)
        }
    }

    @Test func aServerThatCannotBeReachedIsLeftAloneForAWhile() async throws {
        let connection = connection(to: "/nonexistent/larder.sock") {
            $0.backoff = Backoff(initial: .seconds(3600), longest: .seconds(3600))
        }
        let first = await #expect(throws: MemcacheError.self) { try await connection.ping() }
        #expect(first?.code == .cannotConnect)
        let second = await #expect(throws: MemcacheError.self) { try await connection.ping() }
        #expect(second?.code == .backingOff)
    }

    @Test(arguments: Dialect.allCases)
    func aServerThatIsDownIsAMissWhereThatIsChosen(dialect: Dialect) async throws {
        let connection = connection(to: "/nonexistent/larder.sock", in: dialect) { $0.onFailure = .miss }
        let item = NewItem(key: "a", bytes: [1])
        #expect(try await connection.items(for: ["a"]) == [:])
        #expect(try await connection.store(.set, [item], expiration: .never) == ["a"])
        #expect(try await connection.replace(item, cas: 1, expiration: .never) == false)
        #expect(try await connection.add(1, to: "a", initial: 1, expiration: .never) == nil)
        #expect(try await connection.touch("a", expiration: .never) == false)
        #expect(try await connection.lease("a", seconds: 1) == .won(LeaseTicket(0)))
        // What was to go may still be there: nobody is told that it is gone.
        for request in [{ _ = try await connection.delete(["a"]) }, { try await connection.flushAll() }] {
            let error = await #expect(throws: MemcacheError.self) { try await request() }
            #expect(error?.code == .cannotConnect || error?.code == .backingOff)
        }
        let listing = await #expect(throws: MemcacheError.self) {
            try await connection.keys(withPrefix: "")
        }
        #expect(listing?.isServerFailure == true)
        // What the caller does wrong stays an error.
        let error = await #expect(throws: MemcacheError.self) { try await connection.items(for: [""]) }
        #expect(error?.code == .invalidKey)
    }

    /// Longer than there are nanoseconds, and than there are seconds, in 64 bits.
    @Test(arguments: [Duration.seconds(Int64.max), .seconds(UInt64.max)])
    func timeoutsMayBeAsLongAsTheyLike(timeout: Duration) async throws {
        let server = try FakeServer { _ in .say("EN\r\n") }
        let connection = connection(to: server.path) {
            $0.connectTimeout = timeout
            $0.requestTimeout = timeout
            $0.idleTimeout = timeout
        }
        _ = try? await connection.items(for: ["a"])
        #expect(server.acceptedCount == 1)
    }

    @Test(arguments: [Duration.zero, .seconds(-1), .seconds(Int64.min)])
    func aBackoffOfNothingStaysNothing(initial: Duration) {
        var random = SeededRandom(seed: 4)
        #expect(Backoff(initial: initial).span(afterFailures: 1000, using: &random) == .zero)
    }

    @Test(arguments: Dialect.allCases, [TestServer.larder, TestServer.memcached])
    func whatIsTooLargeForTheServerIsNotStoredAndTheRestIs(dialect: Dialect, executable: String) async throws {
        let server = try TestServer(executable: executable)
        let connection = server.connection { $0.dialect = dialect }
        let items = ["a", "b", "c"].map {
            NewItem(key: $0, bytes: [UInt8](repeating: 1, count: $0 == "b" ? 2_000_000 : 10))
        }
        #expect(try await connection.store(.set, items, expiration: .never) == ["b"])
        #expect(try await connection.items(for: ["a", "b", "c"]).count == 2)
    }

    @Test(arguments: Dialect.allCases)
    func largeValuesComeWhole(dialect: Dialect) async throws {
        let server = try TestServer(arguments: ["-m", "256", "-I", "20m"])
        let connection = server.connection { $0.dialect = dialect }
        let bytes = (0..<10_000_000).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 11) }
        #expect(
            try await connection.store(.set, [NewItem(key: "large", bytes: bytes)], expiration: .never) == [])
        #expect(try await connection.items(for: ["large"])["large"]?.bytes == bytes)
    }

    /// The dialects mean the same items.
    @Test(
        arguments: ["a b", "a\nb", "\u{7F}", "日本語", String(repeating: "k", count: 250)], Dialect.allCases)
    func keysOfAllKinds(key: String, dialect: Dialect) async throws {
        let server = try TestServer()
        let connection = server.connection { $0.dialect = dialect }
        #expect(try await connection.store(.set, [NewItem(key: key, bytes: [1])], expiration: .never) == [])
        for other in Dialect.allCases {
            let reader = server.connection { $0.dialect = other }
            #expect(try await reader.items(for: [key, "other"]).keys.sorted() == [key])
        }
    }

    @Test(arguments: ["", String(repeating: "k", count: 251)], Dialect.allCases)
    func keysThatCannotBe(key: String, dialect: Dialect) async throws {
        let connection = connection(to: "/nonexistent/larder.sock", in: dialect)
        let error = await #expect(throws: MemcacheError.self) { try await connection.items(for: ["a", key]) }
        #expect(error?.code == .invalidKey)
    }

    /// Some write all keys in base64, and servers then say them so to everybody.
    @Test func aKeyThatSomebodyWroteInBase64() async throws {
        let server = try FakeServer { line in
            line.hasPrefix("mg abc ") ? .say("VA 1 kYWJj b \(opaque(line))\r\nx\r\n") : .hangUp
        }
        #expect(try await connection(to: server.path).items(for: ["abc"])["abc"]?.bytes == [0x78])
    }

    /// In base64 they are longer.
    @Test func keysWithSpacesAreShorterInTheMetaDialect() async throws {
        let server = try TestServer()
        let item = NewItem(key: String(repeating: " ", count: 188), bytes: [1])
        let error = await #expect(throws: MemcacheError.self) {
            try await server.connection().store(.set, [item], expiration: .never)
        }
        #expect(error?.code == .invalidKey)
        let binary = server.connection { $0.dialect = .binary }
        #expect(try await binary.store(.set, [item], expiration: .never) == [])
        #expect(try await binary.items(for: [item.key])[item.key]?.bytes == [1])
    }
}

@Suite struct BackoffTests {
    @Test func eachFailureDoublesTheSpanUpToALimit() {
        var random = SeededRandom(seed: 1)
        let backoff = Backoff(initial: .milliseconds(10), longest: .milliseconds(100), jitter: 0)
        let spans = (1...6).map { backoff.span(afterFailures: $0, using: &random) }
        #expect(spans == [10, 20, 40, 80, 100, 100].map { .milliseconds($0) })
        #expect(backoff.span(afterFailures: .max, using: &random) == .milliseconds(100))
    }

    @Test func chanceTakesAwayUpToItsPart() {
        var random = SeededRandom(seed: 2)
        let backoff = Backoff(initial: .milliseconds(100), longest: .seconds(1), jitter: 0.5)
        let spans = (0..<1000).map { _ in backoff.span(afterFailures: 1, using: &random) }
        #expect(spans.allSatisfy { $0 >= .milliseconds(50) && $0 <= .milliseconds(100) })
        #expect(Set(spans).count > 900)
    }

    @Test func theGateOpensWhenTheSpanIsOver() {
        var random = SeededRandom(seed: 3)
        let gate = ReconnectGate(Backoff(initial: .seconds(1), longest: .seconds(4), jitter: 0))
        let begin = ContinuousClock.now
        #expect(gate.mayTry(at: begin))
        gate.failed(at: begin, using: &random)
        #expect(!gate.mayTry(at: begin + .milliseconds(999)))
        #expect(gate.mayTry(at: begin + .seconds(1)))
        gate.failed(at: begin + .seconds(1), using: &random)
        #expect(!gate.mayTry(at: begin + .milliseconds(2999)))
        gate.succeeded()
        #expect(gate.mayTry(at: begin))
    }
}
