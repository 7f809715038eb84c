/// The eight bytes in front of every request and every answer over UDP: four numbers of sixteen bits, highest
/// byte first. They name the request, count the datagrams of an answer, and say how many there are.
package struct DatagramHeader: Sendable, Equatable {
    package static let length = 8
    /// The most bytes that a datagram of an answer has, header and all: what fits into any network's packet.
    package static let datagramBytesMax = 1400
    /// What is left of those for the answer itself.
    package static let payloadBytesMax = datagramBytesMax - length

    /// Chosen by the client, and repeated in every datagram of the answer.
    package var requestID: UInt16
    package var sequence: UInt16
    package var total: UInt16

    package init(requestID: UInt16, sequence: UInt16, total: UInt16) {
        self.requestID = requestID
        self.sequence = sequence
        self.total = total
    }

    /// The header of a request; nil for what no server answers: a datagram with nothing behind its header, and a
    /// part of a request.
    package init?(request bytes: UnsafeRawBufferPointer) {
        guard bytes.count > Self.length else { return nil }
        func number(_ offset: Int) -> UInt16 { UInt16(bytes[offset]) << 8 | UInt16(bytes[offset + 1]) }
        self.init(requestID: number(0), sequence: number(2), total: number(4))
        guard total == 1 else { return nil }
    }

    /// The header's bytes.
    package var bytes: [UInt8] {
        [requestID, sequence, total, 0].flatMap { [UInt8(truncatingIfNeeded: $0 >> 8), UInt8(truncatingIfNeeded: $0)] }
    }

    /// How many datagrams an answer of so many bytes has; nil when they cannot be counted.
    package static func datagramCount(forAnswerOf count: Int) -> UInt16? {
        UInt16(exactly: (count + payloadBytesMax - 1) / payloadBytesMax)
    }
}
