import LarderTesting
import NIOCore
import Testing

@testable import LarderClient

@Suite struct BinaryAnswerDecoderTests {
    private static let packets: [AnswerPacket] = [
        AnswerPacket(
            opcode: 0x0c, opaque: 12, cas: 7, extras: [0, 0, 0, 16], key: Array("abc".utf8), value: [1, 2, 3]),
        AnswerPacket(opcode: 0x0c, status: 1, opaque: 13, key: Array("abc".utf8)),
        AnswerPacket(opcode: 0x01, opaque: 14, cas: .max),
        AnswerPacket(opcode: 0x02, status: 2, opaque: 15, value: Array("Data exists for key.".utf8)),
        AnswerPacket(opcode: 0x03, status: 1, opaque: 16, value: Array("Not found".utf8)),
        AnswerPacket(opcode: 0x01, status: 3, opaque: 17, value: Array("Too large.".utf8)),
        AnswerPacket(opcode: 0x04, status: 5, opaque: 18),
        AnswerPacket(opcode: 0x05, opaque: 19, value: [UInt8](repeating: 0xff, count: 8)),
        AnswerPacket(opcode: 0x1c, opaque: 20, extras: [0, 0, 0, 0]),
        AnswerPacket(opcode: 0x1c, status: 1, opaque: 21, value: Array("Not found".utf8)),
        AnswerPacket(opcode: 0x08, opaque: 22),
        AnswerPacket(opcode: 0x0a, opaque: .max),
        AnswerPacket(opcode: 0x06, status: 6, opaque: 23, value: [0x4e, 0x0a, 0xff]),
        AnswerPacket(opcode: 0x21, status: 0x21, opaque: 24, value: [0]),
        AnswerPacket(opcode: 0x60, status: 0x81, opaque: 25),
    ]
    /// The last one is of a command that is none.
    private static let stream = packets.dropLast().flatMap(\.bytes)

    /// Whole, in two pieces at every place, and byte by byte.
    @Test func whereTheBytesAreCutDoesNotMatter() throws {
        let whole = try decode([Self.stream])
        #expect(
            whole.map(\.code) == [
                .value, .miss, .done, .exists, .notFound, .serverError, .notStored, .value, .done, .miss, .ok,
                .noOperation, .clientError, .clientError,
            ])
        #expect(whole.map(\.opaque) == Self.packets.dropLast().map { UInt64($0.opaque) })
        #expect(whole.map(\.opcode) == Self.packets.dropLast().map(\.opcode))
        #expect(whole[0].bytes == [1, 2, 3] && whole[0].flags == 16 && whole[0].cas == 7)
        #expect(whole[0].key?.elementsEqual("abc".utf8) == true && whole[1].key?.count == 3)
        #expect(whole[2].cas == .max && whole[7].bytes == Array("18446744073709551615".utf8))
        #expect(whole[5].text == "Too large." && whole[12].text == "N??")
        for cut in 0...Self.stream.count {
            let parts = try decode([Array(Self.stream[..<cut]), Array(Self.stream[cut...])])
            #expect(parts.map(\.bytes) == whole.map(\.bytes) && parts.map(\.code) == whole.map(\.code))
            #expect(parts.map(\.opaque) == whole.map(\.opaque) && parts.map(\.text) == whole.map(\.text))
        }
        #expect(try decode(Self.stream.map { [$0] }).map(\.code) == whole.map(\.code))
    }

    @Test func anUnknownCommandIsAnError() {
        #expect(throws: MemcacheError.self) { try decode([Self.packets.last?.bytes ?? []]) }
    }

    /// Nothing that comes may trap, wherever it is cut.
    @Test func anythingIsAnAnswerOrAnError() {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("changed packets: seed \(seed)")
        var random = SeededRandom(seed: seed)
        for _ in 0..<20_000 {
            var bytes = Self.stream
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let place = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
                case 1: bytes.remove(at: place)
                case 2: bytes.insert(0xff, at: place)
                default:
                    // A header's number at its limit.
                    let header = min(place / 24 * 24, bytes.count - 12)
                    for byte in (header + 8)..<(header + 12) { bytes[byte] = 0xff }
                }
            }
            let cut = Int.random(in: 0...bytes.count, using: &random)
            _ = try? decode([Array(bytes[..<cut]), Array(bytes[cut...])])
        }
    }

    private func decode(_ pieces: [[UInt8]]) throws -> [Answer] {
        var decoder = BinaryAnswerDecoder(valueBytesMax: 1000)
        var answers: [Answer] = []
        for piece in pieces {
            var buffer = ByteBuffer(bytes: piece)
            decoder.append(&buffer)
            while let answer = try decoder.next() { answers.append(answer) }
        }
        return answers
    }
}

@Suite struct BinaryRequestEncoderTests {
    @Test func packetsAsMemcachedReadsThem() throws {
        var encoder = BinaryRequestEncoder(firstOpaque: 0x1_0000_0002, commandCount: 4)
        try encoder.store(.add, NewItem(key: "k", bytes: [9], flags: 5), seconds: -1, cas: 6)
        try encoder.add(-3, to: "k", initial: nil, seconds: 0)
        try encoder.touch("k", seconds: .max)
        encoder.flushAll()
        let header = { (opcode: UInt8, extras: UInt8, body: UInt8, opaque: UInt8, cas: UInt8) -> [UInt8] in
            let keyLength: UInt8 = opcode == 0x08 ? 0 : 1
            return [0x80, opcode, 0, keyLength, extras, 0, 0, 0, 0, 0, 0, body, 0, 0, 0, opaque]
                + [0, 0, 0, 0, 0, 0, 0, cas]
        }
        // What has ended already ends in January 1970.
        var bytes = header(0x02, 8, 10, 2, 6) + [0, 0, 0, 5, 0, 0x27, 0x8d, 0x01, 0x6b, 9]
        bytes += header(0x06, 20, 21, 3, 0) + [0, 0, 0, 0, 0, 0, 0, 3] + [UInt8](repeating: 0, count: 8)
        bytes += [0xff, 0xff, 0xff, 0xff, 0x6b]
        bytes += header(0x1c, 4, 5, 4, 0) + [0xff, 0xff, 0xff, 0xfe, 0x6b]
        bytes += header(0x08, 0, 0, 5, 0)
        #expect(Array(encoder.bytes.readableBytesView) == bytes)
        #expect(encoder.expected.map(\.opaque) == [2, 3, 4, 5])
        #expect(encoder.expected.map(\.opcode) == [0x02, 0x06, 0x1c, 0x08])
    }
}
