import Testing

@testable import LarderClient

/// An answer to a get of the key `a` that is wrong.
struct HostileAnswer: Sendable, CustomTestStringConvertible {
    let dialect: Dialect
    let testDescription: String
    let bytes: @Sendable (FakeRequest) -> [UInt8]

    /// - Parameter line: `O` stands for the opaque of the request.
    private init(line: String) {
        dialect = .meta
        testDescription = line.debugDescription
        bytes = { request in Array(line.replacing(" O ", with: " \(opaque(request.line)) ").utf8) }
    }

    /// - Parameter change: makes a right answer wrong.
    private init(_ name: String, _ change: @escaping @Sendable (inout AnswerPacket) -> Void) {
        dialect = .binary
        testDescription = name
        bytes = { request in
            var answer = AnswerPacket(to: request, extras: [0, 0, 0, 7], key: [0x61], value: [0x78])
            change(&answer)
            return answer.bytes
        }
    }

    static let all = lines.map(HostileAnswer.init(line:)) + packets

    private static let lines = [
        "VA 1 O ka\r\nxyz\r\n", "VA -1 O ka\r\n\r\n", "VA O ka\r\nx\r\n", "VA 99999999999999999999 O ka\r\n",
        "VA 9223372036854775807 O ka\r\n", "VA 1000001 O ka\r\n", "VA 1 O12345 ka\r\nx\r\n",
        "VA 1 ka\r\nx\r\n",
        "VA 1 O kb\r\nx\r\n", "VA 1 O ka f4294967296\r\nx\r\n", "VA 1 O ka c18446744073709551616\r\nx\r\n",
        "VA 1 O ka c-1\r\nx\r\n", "EN O12345\r\n", "EN\r\n", "HD\r\n", "MN\r\n", "OK\r\n", "STORED\r\n",
        "ERROR\r\n",
        "VALUE a 0 1\r\nx\r\nEND\r\n", "XX O\r\n", "V\r\n", "\r\n", "\n", " \r\n", "VA\r\n", "EN O\n",
        "CONFIG x\r\n",
        "CONFIG cluster 0 1\r\nx\r\nEND\r\n", "\0\0\0\0\r\n", "\u{FFFD}\r\n",
    ]

    private static let packets = [
        HostileAnswer("a request's magic") { $0.magic = 0x80 },
        HostileAnswer("no magic") { $0.magic = 0 },
        HostileAnswer("another opaque") { $0.opaque &+= 1 },
        HostileAnswer("the highest opaque") { $0.opaque = .max },
        HostileAnswer("another command") { $0.opcode = 0x01 },
        HostileAnswer("a get without its key") { $0.opcode = 0x00 },
        HostileAnswer("a command that was never asked for") { $0.opcode = 0x10 },
        HostileAnswer("no command") { $0.opcode = 0xff },
        HostileAnswer("another key") { $0.key = [0x62] },
        HostileAnswer("a longer key") { $0.key = [0x61, 0x61] },
        HostileAnswer("no key") { $0.key = [] },
        HostileAnswer("no flags") { $0.extras = [] },
        HostileAnswer("short flags") { $0.extras = [0, 0, 0] },
        HostileAnswer("long flags") { $0.extras = [0, 0, 0, 0, 0] },
        HostileAnswer("a key that is longer than the body") { $0.keyLength = 200 },
        HostileAnswer("a key that is longer than keys") {
            $0.keyLength = .max
            $0.bodyLength = 70_000
        },
        HostileAnswer("extras that are longer than the body") { $0.extrasLength = .max },
        HostileAnswer("a body that is shorter than its parts") { $0.bodyLength = 4 },
        HostileAnswer("no body") { $0.bodyLength = 0 },
        HostileAnswer("too large a value") { $0.bodyLength = 1_000_006 },
        HostileAnswer("the largest body") { $0.bodyLength = .max },
        HostileAnswer("the largest body of 31 bits") { $0.bodyLength = 0x7fff_ffff },
        HostileAnswer("a long reason") {
            $0.status = 4
            $0.bodyLength = 4096
        },
        HostileAnswer("a command that it does not know") { $0.status = 0x81 },
        HostileAnswer("another's miss") {
            $0.status = 1
            $0.extras = []
            $0.key = [0x62]
        },
        HostileAnswer("another's error") {
            $0.status = 4
            $0.opaque &+= 1
        },
    ]
}
