import Testing

@testable import LarderWire

@Suite struct DatagramHeaderTests {
    private func header(_ bytes: [UInt8]) -> DatagramHeader? {
        bytes.withUnsafeBytes { DatagramHeader(request: $0) }
    }

    @Test func requests() {
        #expect(
            header([0x12, 0x34, 0, 0, 0, 1, 0, 0, 0x67]) == DatagramHeader(requestID: 0x1234, sequence: 0, total: 1))
        #expect(header([0, 1, 0xff, 0xfe, 0, 1, 9, 9, 0]) == DatagramHeader(requestID: 1, sequence: 0xfffe, total: 1))
    }

    /// What memcached passes over in silence: too short, and a part of a request.
    @Test func noRequests() {
        for length in 0...8 { #expect(header([UInt8](repeating: 1, count: length)) == nil) }
        for total: [UInt8] in [[0, 0], [0, 2], [1, 0], [1, 1], [0xff, 0xff]] {
            #expect(header([0, 1, 0, 0] + total + [0, 0, 0x67, 0x0a]) == nil)
        }
    }

    @Test func bytesOfAnAnswer() {
        let header = DatagramHeader(requestID: 0xabcd, sequence: 0x0102, total: 0x0304)
        #expect(header.bytes == [0xab, 0xcd, 1, 2, 3, 4, 0, 0])
    }

    @Test func countOfDatagrams() {
        for (bytes, count) in [(1, 1), (1392, 1), (1393, 2), (2784, 2), (2785, 3), (1392 * 65535, 65535)] {
            #expect(DatagramHeader.datagramCount(forAnswerOf: bytes) == UInt16(count))
        }
        #expect(DatagramHeader.datagramCount(forAnswerOf: 1392 * 65535 + 1) == nil)
    }
}
