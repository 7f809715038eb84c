import LarderWire
import Testing

@Suite struct BinaryEncoderTests {
    private let tag = PacketTag(opcode: 0x0c, opaque: UInt32(0x0102_0304).bigEndian)

    private func written(_ body: (UnsafeMutablePointer<UInt8>) -> Int) -> [UInt8] {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 512) { out in
            out.update(repeating: 0xee)
            let count = body(out.baseAddress!)
            #expect(out[count] == 0xee, "nothing is written behind the packet")
            return Array(out[..<count])
        }
    }

    @Test func aFoundItem() {
        let key = Array("key".utf8)
        let bytes = written {
            BinaryEncoder.encodeValueHeader(
                tag, key: key, keyLength: 3, clientFlags: 0xdead_beef, valueLength: 5, cas: 0x1122_3344_5566_7788,
                at: $0)
        }
        #expect(
            bytes == [
                0x81, 0x0c, 0, 3, 4, 0, 0, 0, 0, 0, 0, 12, 1, 2, 3, 4, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88,
                0xde, 0xad, 0xbe, 0xef,
            ] + key)
    }

    @Test func aMissWithItsKey() {
        let bytes = written { BinaryEncoder.encodeMiss(tag, key: Array("key".utf8), keyLength: 3, at: $0) }
        #expect(
            bytes == [0x81, 0x0c, 0, 3, 0, 0, 0, 1, 0, 0, 0, 3, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0]
                + Array("key".utf8))
    }

    @Test func aNumber() {
        let bytes = written { BinaryEncoder.encodeNumber(tag, 0x0102_0304_0506_0708, cas: 9, at: $0) }
        #expect(
            bytes == [
                0x81, 0x0c, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8,
            ])
    }

    @Test(arguments: [
        (0x04, 0x01, Reply.notFound, "Not found"), (0x01, 0x02, .exists, "Data exists for key."),
        (0x01, 0x03, .tooLarge, "Too large."), (0x01, 0x04, .badCommandLine, "Invalid arguments"),
        (0x0e, 0x05, .notStored, "Not stored."), (0x02, 0x02, .notStored, "Data exists for key."),
        (0x13, 0x01, .notStored, "Not found"),
        (0x05, 0x06, .nonNumericValue, "Non-numeric server-side value for incr or decr"),
        (0x08, 0x20, .flushNotAllowed, "Auth failure."), (0x00, 0x20, .authenticationFailure, "Auth failure."),
        (0x1b, 0x81, .unknownCommand, "Unknown command"), (0x10, 0x01, .noSuchStatistics, "Not found"),
        (0x01, 0x83, .hasNoExpiry, "Not supported"), (0x01, 0x86, .logUnavailable, "Temporary failure"),
        (0x01, 0x82, .outOfMemoryStoring, "Out of memory allocating item"), (0x05, 0x82, .outOfMemory, "Out of memory"),
    ])
    func errors(opcode: UInt8, status: UInt8, reply: Reply, text: String) {
        let tag = PacketTag(opcode: opcode, opaque: 0)
        let bytes = written { BinaryEncoder.encode(reply, tag, cas: 99, at: $0) }
        let length = UInt8(text.utf8.count)
        #expect(
            bytes == [0x81, opcode, 0, 0, 0, 0, 0, status, 0, 0, 0, length] + [UInt8](repeating: 0, count: 12)
                + Array(text.utf8))
    }

    @Test func everyReplyFitsItsRoom() {
        for reply in Reply.allCases {
            for opcode in UInt8.min...UInt8.max {
                let bytes = written { BinaryEncoder.encode(reply, PacketTag(opcode: opcode), cas: UInt64.max, at: $0) }
                #expect(bytes.count <= BinaryEncoder.replyLengthMax && bytes.count >= 24)
                #expect(Int(bytes[11]) == bytes.count - 24)
            }
        }
    }
}
