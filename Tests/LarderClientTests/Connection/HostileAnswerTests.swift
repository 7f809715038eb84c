import LarderTesting
import NIOCore
import Testing

@testable import LarderClient

@Suite(.timeLimit(.minutes(1))) struct HostileAnswerTests {
    /// What a server may send for the value of the key `a`; `O` stands for the opaque of the request.
    @Test(arguments: [
        "VA 1 O ka\r\nxyz\r\n", "VA -1 O ka\r\n\r\n", "VA O ka\r\nx\r\n", "VA 99999999999999999999 O ka\r\n",
        "VA 9223372036854775807 O ka\r\n", "VA 1000001 O ka\r\n", "VA 1 O12345 ka\r\nx\r\n",
        "VA 1 ka\r\nx\r\n",
        "VA 1 O kb\r\nx\r\n", "VA 1 O ka f4294967296\r\nx\r\n", "VA 1 O ka c18446744073709551616\r\nx\r\n",
        "VA 1 O ka c-1\r\nx\r\n", "EN O12345\r\n", "EN\r\n", "HD\r\n", "MN\r\n", "OK\r\n", "STORED\r\n",
        "ERROR\r\n",
        "VALUE a 0 1\r\nx\r\nEND\r\n", "XX O\r\n", "V\r\n", "\r\n", "\n", " \r\n", "VA\r\n", "EN O\n",
        "CONFIG x\r\n",
        "CONFIG cluster 0 1\r\nx\r\nEND\r\n", "\0\0\0\0\r\n", "\u{FFFD}\r\n",
    ])
    func isAnErrorAndEndsTheConnection(answer: String) async throws {
        let server = try FakeServer { line in
            let echoed = answer.replacing(" O ", with: " \(opaque(line)) ")
            return .say(echoed)
        }
        let connection = connection(to: server)
        await #expect(throws: MemcacheError.self) { try await connection.items(for: ["a"]) }
        await until { connection.isBroken }
        // The next request has a connection of its own.
        await #expect(throws: MemcacheError.self) { try await connection.items(for: ["a"]) }
        #expect(server.acceptedCount == 2)
    }

    @Test func aLineWithoutEndIsNotKept() async throws {
        let server = try FakeServer { _ in .say(String(repeating: "V", count: 100_000)) }
        let connection = connection(to: server)
        let error = await #expect(throws: MemcacheError.self) { try await connection.items(for: ["a"]) }
        #expect(error?.code == .protocolViolation)
    }

    @Test func anAnswerThatNobodyAskedForReachesNobody() async throws {
        let server = try FakeServer { line in
            .say("VA 1 \(opaque(line)) ka\r\n1\r\nVA 1 O99 ka\r\n2\r\n")
        }
        let connection = connection(to: server)
        for _ in 0..<20 {
            // The second answer may come before the first has been handed on, or when the next request is out.
            if let item = try? await connection.items(for: ["a"])["a"] { #expect(item.bytes == [0x31]) }
        }
    }

    @Test(arguments: ["ERROR\r\n", "HELLO\r\n", "\r\n", "STORED\r\n", "VA 1\r\nx\r\n"])
    func aServerThatGreetsStrangelyIsNoServer(greeting: String) async throws {
        let server = try FakeServer(greets: false) { _ in .say(greeting) }
        let connection = connection(to: server)
        await #expect(throws: MemcacheError.self) { try await connection.items(for: ["a"]) }
        #expect(connection.isBroken)
    }

    private func connection(to server: FakeServer) -> MemcacheConnection {
        var configuration = ConnectionConfiguration()
        configuration.valueBytesMax = 1_000_000
        configuration.requestTimeout = .seconds(30)
        configuration.connectTimeout = .seconds(30)
        configuration.backoff = Backoff(initial: .zero)
        configuration.silence()
        return MemcacheConnection(to: .unixSocket(path: server.path), configuration: configuration)
    }
}

@Suite struct MetaAnswerDecoderTests {
    private static let stream =
        Array(
            "VA 3 f16 c7 kabc O12 W\r\nx\r\n\r\nEN kabc O13\r\nHD\r\nNS O1\r\nEX O2\r\nNF O3\r\nMN\r\nOK\r\nVA 0 O4 Z\r\n\r\n"
                .utf8)
        + Array("SERVER_ERROR out of memory\r\nCONFIG cluster 0 3\r\n1\na\r\nEND\r\nVERSION 1.6.45\r\n".utf8)

    /// Whole, in two pieces at every place, and byte by byte.
    @Test func whereTheBytesAreCutDoesNotMatter() throws {
        let whole = try decode([Self.stream])
        #expect(
            whole.map(\.code) == [
                .value, .miss, .done, .notStored, .exists, .notFound, .noOperation, .ok, .value, .serverError,
                .cluster,
                .version,
            ])
        #expect(whole[0].bytes == Array("x\r\n".utf8) && whole[0].flags == 16 && whole[0].cas == 7)
        #expect(whole[0].opaque == 12 && whole[0].isWon && whole[8].isTaken)
        for cut in 0...Self.stream.count {
            let parts = try decode([Array(Self.stream[..<cut]), Array(Self.stream[cut...])])
            #expect(parts.map(\.bytes) == whole.map(\.bytes) && parts.map(\.code) == whole.map(\.code))
        }
        #expect(try decode(Self.stream.map { [$0] }).map(\.code) == whole.map(\.code))
    }

    /// Nothing that comes may trap.
    @Test func anythingIsAnAnswerOrAnError() {
        var random = SeededRandom(seed: UInt64.random(in: 0...UInt64.max))
        for _ in 0..<20_000 {
            var bytes = Self.stream
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let place = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
                case 1: bytes.remove(at: place)
                default: bytes.insert(UInt8(ascii: "9"), at: place)
                }
            }
            _ = try? decode([bytes])
        }
    }

    private func decode(_ pieces: [[UInt8]]) throws -> [Answer] {
        var decoder = MetaAnswerDecoder(valueBytesMax: 1000)
        var answers: [Answer] = []
        for piece in pieces {
            var buffer = ByteBuffer(bytes: piece)
            decoder.append(&buffer)
            while let answer = try decoder.next() { answers.append(answer) }
        }
        return answers
    }
}
