import LarderTesting
import NIOCore
import Testing

@testable import LarderClient

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
        let seed = UInt64.random(in: 0...UInt64.max)
        print("changed lines: seed \(seed)")
        var random = SeededRandom(seed: seed)
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
