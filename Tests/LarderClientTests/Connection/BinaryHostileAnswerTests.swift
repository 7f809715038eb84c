import LarderTesting
import Testing

@testable import LarderClient

@Suite(.timeLimit(.minutes(1))) struct BinaryHostileAnswerTests {
    /// What is wrong with the answer to a get of the key `a`.
    struct Wrong: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let change: @Sendable (inout AnswerPacket) -> Void

        init(_ name: String, _ change: @escaping @Sendable (inout AnswerPacket) -> Void) {
            testDescription = name
            self.change = change
        }
    }

    static let wrongs: [Wrong] = [
        Wrong("a request's magic") { $0.magic = 0x80 },
        Wrong("no magic") { $0.magic = 0 },
        Wrong("another opaque") { $0.opaque &+= 1 },
        Wrong("the highest opaque") { $0.opaque = .max },
        Wrong("another command") { $0.opcode = 0x01 },
        Wrong("a get without its key") { $0.opcode = 0x00 },
        Wrong("a command that was never asked for") { $0.opcode = 0x10 },
        Wrong("no command") { $0.opcode = 0xff },
        Wrong("another key") { $0.key = [0x62] },
        Wrong("a longer key") { $0.key = [0x61, 0x61] },
        Wrong("no key") { $0.key = [] },
        Wrong("no flags") { $0.extras = [] },
        Wrong("short flags") { $0.extras = [0, 0, 0] },
        Wrong("long flags") { $0.extras = [0, 0, 0, 0, 0] },
        Wrong("a key that is longer than the body") { $0.keyLength = 200 },
        Wrong("a key that is longer than keys") {
            $0.keyLength = .max
            $0.bodyLength = 70_000
        },
        Wrong("extras that are longer than the body") { $0.extrasLength = .max },
        Wrong("a body that is shorter than its parts") { $0.bodyLength = 4 },
        Wrong("no body") { $0.bodyLength = 0 },
        Wrong("too large a value") { $0.bodyLength = 1_000_006 },
        Wrong("the largest body") { $0.bodyLength = .max },
        Wrong("the largest body of 31 bits") { $0.bodyLength = 0x7fff_ffff },
        Wrong("a long reason") {
            $0.status = 4
            $0.bodyLength = 4096
        },
        Wrong("a command that it does not know") { $0.status = 0x81 },
        Wrong("another's miss") {
            $0.status = 1
            $0.extras = []
            $0.key = [0x62]
        },
        Wrong("another's error") {
            $0.status = 4
            $0.opaque &+= 1
        },
    ]

    @Test(arguments: wrongs)
    func isAnErrorAndEndsTheConnection(wrong: Wrong) async throws {
        let server = try FakeServer(speaking: .binary) { request in
            var answer = AnswerPacket(to: request, extras: [0, 0, 0, 7], key: [0x61], value: [0x78])
            wrong.change(&answer)
            return .say(answer.bytes)
        }
        let connection = connection(to: server)
        let error = await #expect(throws: MemcacheError.self) { try await connection.items(for: ["a"]) }
        #expect(error?.code == .protocolViolation)
        await until { connection.isBroken }
        // The next request has a connection of its own.
        await #expect(throws: MemcacheError.self) { try await connection.items(for: ["a"]) }
        #expect(server.acceptedCount == 2)
    }

    @Test func aNumberOfAnotherLengthIsNone() async throws {
        for value in [[], [1], [UInt8](repeating: 1, count: 7), [UInt8](repeating: 1, count: 9)] {
            let server = try FakeServer(speaking: .binary) { request in
                .say(AnswerPacket(to: request, value: value).bytes)
            }
            let connection = connection(to: server)
            let error = await #expect(throws: MemcacheError.self) {
                try await connection.add(1, to: "a", initial: nil, expiration: .never)
            }
            #expect(error?.code == .protocolViolation)
        }
    }

    @Test func anAnswerThatNobodyAskedForReachesNobody() async throws {
        let server = try FakeServer(speaking: .binary) { request in
            var other = AnswerPacket(to: request, extras: [0, 0, 0, 0], key: [0x61], value: [2])
            other.opaque &+= 99
            return .say(request.found("a", "1") + other.bytes)
        }
        let connection = connection(to: server)
        for _ in 0..<20 {
            // The second answer may come before the first has been handed on, or when the next request is out.
            if let item = try? await connection.items(for: ["a"])["a"] { #expect(item.bytes == [0x31]) }
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
        let connection = connection(to: server)
        let error = await #expect(throws: MemcacheError.self) { try await connection.items(for: ["wrong"]) }
        #expect(error?.code == code && error?.message == "No.")
        #expect(try await connection.items(for: ["a"]).isEmpty)
        #expect(server.acceptedCount == 1)
    }

    @Test(arguments: ["ERROR\r\n", "HELLO", "\r\n", "VERSION 1.6.45\r\n", "\u{1}\u{1}\u{1}"])
    func aServerThatGreetsStrangelyIsNoServer(greeting: String) async throws {
        let server = try FakeServer(speaking: .binary, greets: false) { _ in .say(greeting) }
        let connection = connection(to: server)
        let error = await #expect(throws: MemcacheError.self) { try await connection.items(for: ["a"]) }
        #expect(error?.code == .protocolViolation && connection.isBroken)
    }

    /// Whatever comes, a request has an end, and gets nothing under a key that it did not ask for.
    @Test func answersWithChangedBytes() async throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        let random = Shared(0)
        let server = try FakeServer(speaking: .binary) { request in
            var chance = SeededRandom(seed: seed &+ UInt64(random.next()))
            var bytes = request.found("a", "value")
            for _ in 0..<Int.random(in: 1...3, using: &chance) {
                bytes[Int.random(in: 0..<bytes.count, using: &chance)] = UInt8.random(
                    in: 0...255, using: &chance)
            }
            return .sayAndHangUp(bytes)
        }
        let connection = connection(to: server)
        for _ in 0..<500 {
            guard let found = try? await connection.items(for: ["a"]) else { continue }
            #expect(found.keys.allSatisfy { $0 == "a" }, "seed \(seed)")
        }
    }

    private func connection(to server: FakeServer) -> MemcacheConnection {
        var configuration = ConnectionConfiguration()
        configuration.dialect = .binary
        configuration.valueBytesMax = 1_000_000
        configuration.requestTimeout = .seconds(30)
        configuration.connectTimeout = .seconds(30)
        configuration.backoff = Backoff(initial: .zero)
        configuration.silence()
        return MemcacheConnection(to: .unixSocket(path: server.path), configuration: configuration)
    }
}
