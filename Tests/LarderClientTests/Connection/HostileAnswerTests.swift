import LarderTesting
import Testing

@testable import LarderClient

@Suite(.timeLimit(.minutes(1))) struct HostileAnswerTests {
    @Test(arguments: HostileAnswer.all)
    func isAnErrorAndEndsTheConnection(answer: HostileAnswer) async throws {
        let server = try FakeServer(speaking: answer.dialect) { .say(answer.bytes($0)) }
        let connection = connection(to: server, speaking: answer.dialect)
        let error = await #expect(throws: MemcacheError.self) { try await connection.items(for: ["a"]) }
        // A line may be an error that servers know.
        #expect(error?.code == .protocolViolation || answer.dialect == .meta)
        await until { connection.isBroken }
        // The next request has a connection of its own.
        await #expect(throws: MemcacheError.self) { try await connection.items(for: ["a"]) }
        #expect(server.acceptedCount == 2)
    }

    @Test(arguments: Dialect.allCases)
    func anAnswerThatNobodyAskedForReachesNobody(dialect: Dialect) async throws {
        let server = try FakeServer(speaking: dialect) { request in
            var other = Array("VA 1 O99 ka\r\n2\r\n".utf8)
            if dialect == .binary {
                var packet = AnswerPacket(to: request, extras: [0, 0, 0, 0], key: [0x61], value: [2])
                packet.opaque &+= 99
                other = packet.bytes
            }
            return .say(request.found("a", "1") + other)
        }
        let connection = connection(to: server, speaking: dialect)
        for _ in 0..<20 {
            // The second answer may come before the first has been handed on, or when the next request is out.
            if let item = try? await connection.items(for: ["a"])["a"] { #expect(item.bytes == [0x31]) }
        }
    }

    @Test(
        arguments: [
            (.meta, "ERROR\r\n"), (.meta, "HELLO\r\n"), (.meta, "\r\n"), (.meta, "STORED\r\n"),
            (.meta, "VA 1\r\nx\r\n"),
            (.binary, "ERROR\r\n"), (.binary, "HELLO"), (.binary, "\r\n"), (.binary, "VERSION 1.6.45\r\n"),
            (.binary, "\u{1}\u{1}\u{1}"),
        ] as [(Dialect, String)])
    func aServerThatGreetsStrangelyIsNoServer(dialect: Dialect, greeting: String) async throws {
        let server = try FakeServer(speaking: dialect, greets: false) { _ in .say(greeting) }
        let connection = connection(to: server, speaking: dialect)
        let error = await #expect(throws: MemcacheError.self) { try await connection.items(for: ["a"]) }
        #expect(error?.code == .protocolViolation || dialect == .meta)
        #expect(connection.isBroken)
    }

    /// Whatever comes, a request has an end, and gets nothing under a key that it did not ask for.
    @Test(arguments: Dialect.allCases)
    func answersWithChangedBytes(dialect: Dialect) async throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        let answered = Shared(0)
        let server = try FakeServer(speaking: dialect) { request in
            var random = SeededRandom(seed: seed &+ UInt64(answered.next()))
            var bytes = request.found("a", "value")
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(
                    in: 0...255, using: &random)
            }
            return .sayAndHangUp(bytes)
        }
        let connection = connection(to: server, speaking: dialect)
        for _ in 0..<500 {
            guard let found = try? await connection.items(for: ["a"]) else { continue }
            #expect(found.keys.allSatisfy { $0 == "a" }, "seed \(seed)")
        }
    }

    @Test func aLineWithoutEndIsNotKept() async throws {
        let server = try FakeServer { _ in .say(String(repeating: "V", count: 100_000)) }
        let connection = connection(to: server, speaking: .meta)
        let error = await #expect(throws: MemcacheError.self) { try await connection.items(for: ["a"]) }
        #expect(error?.code == .protocolViolation)
    }

    @Test func aNumberOfAnotherLengthIsNone() async throws {
        for value in [[], [1], [UInt8](repeating: 1, count: 7), [UInt8](repeating: 1, count: 9)] {
            let server = try FakeServer(speaking: .binary) { request in
                .say(AnswerPacket(to: request, value: value).bytes)
            }
            let connection = connection(to: server, speaking: .binary)
            let error = await #expect(throws: MemcacheError.self) {
                try await connection.add(1, to: "a", initial: nil, expiration: .never)
            }
            #expect(error?.code == .protocolViolation)
        }
    }

    /// What is no error of the connection is one of the request, and the connection goes on.
    @Test(
        arguments: [
            (0x03, .serverError), (0x82, .serverError), (0x86, .serverError), (0x04, .clientError),
            (0x20, .clientError), (0x06, .clientError),
        ] as [(UInt16, MemcacheError.Code)])
    func anErrorOfOneRequestIsItsAlone(status: UInt16, code: MemcacheError.Code) async throws {
        let server = try FakeServer(speaking: .binary) { request in
            request.line.contains("wrong")
                ? .say(AnswerPacket(to: request, status: status, value: Array("No.".utf8)).bytes)
                : request.miss
        }
        let connection = connection(to: server, speaking: .binary)
        let error = await #expect(throws: MemcacheError.self) { try await connection.items(for: ["wrong"]) }
        #expect(error?.code == code && error?.message == "No.")
        #expect(try await connection.items(for: ["a"]).isEmpty)
        #expect(server.acceptedCount == 1)
    }

    private func connection(to server: FakeServer, speaking dialect: Dialect) -> MemcacheConnection {
        var configuration = ConnectionConfiguration()
        configuration.dialect = dialect
        configuration.valueBytesMax = 1_000_000
        configuration.requestTimeout = .seconds(30)
        configuration.connectTimeout = .seconds(30)
        configuration.backoff = Backoff(initial: .zero)
        configuration.silence()
        return MemcacheConnection(to: .unixSocket(path: server.path), configuration: configuration)
    }
}
