@testable import LarderClient

/// What a client asked a `FakeServer`: a line, or a packet.
struct FakeRequest: Sendable {
    let dialect: Dialect
    /// A line has lost its end.
    let bytes: [UInt8]

    /// Takes the first request from the bytes that have come; nil while it is not whole.
    init?(_ dialect: Dialect, takenFrom pending: inout [UInt8]) {
        self.dialect = dialect
        switch dialect {
        case .meta:
            guard let end = pending.firstIndex(of: UInt8(ascii: "\n")) else { return nil }
            bytes = pending[..<end].filter { $0 != UInt8(ascii: "\r") }
            pending.removeFirst(end + 1)
        case .binary:
            guard pending.count >= 24 else { return nil }
            let bodyLength = pending[8..<12].reduce(0) { $0 << 8 | Int($1) }
            guard pending.count >= 24 + bodyLength else { return nil }
            bytes = Array(pending[..<(24 + bodyLength)])
            pending.removeFirst(24 + bodyLength)
        }
    }

    var line: String { String(decoding: bytes, as: UTF8.self) }

    /// The answer to what comes before any request.
    var greeting: FakeServer.Reply? {
        switch (dialect, line) {
        case (.meta, "version"): .say("VERSION 1.6.45\r\n")
        case (.meta, "mn"): .say("MN\r\n")
        case (.binary, _) where bytes[1] == 0x0a: .say(AnswerPacket(to: self).bytes)
        default: nil
        }
    }

    /// Says that nothing is there.
    var miss: FakeServer.Reply {
        switch dialect {
        case .meta: .say("EN \(opaque(line))\r\n")
        case .binary: .say(AnswerPacket(to: self, status: 1).bytes)
        }
    }

    /// Says that this is there.
    func found(_ key: String, _ value: String) -> [UInt8] {
        switch dialect {
        case .meta: Array("VA \(value.utf8.count) k\(key) \(opaque(line))\r\n\(value)\r\n".utf8)
        case .binary:
            AnswerPacket(to: self, extras: [0, 0, 0, 0], key: Array(key.utf8), value: Array(value.utf8)).bytes
        }
    }
}

/// An answer of the binary protocol, right or wrong.
struct AnswerPacket: Sendable {
    var magic: UInt8 = 0x81
    var opcode: UInt8 = 0
    var status: UInt16 = 0
    var opaque: UInt32 = 0
    var cas: UInt64 = 0
    var extras: [UInt8] = []
    var key: [UInt8] = []
    var value: [UInt8] = []
    /// What the header says, if it lies.
    var keyLength: UInt16?
    var extrasLength: UInt8?
    var bodyLength: UInt32?

    init(
        opcode: UInt8, status: UInt16 = 0, opaque: UInt32 = 0, cas: UInt64 = 0, extras: [UInt8] = [],
        key: [UInt8] = [], value: [UInt8] = []
    ) {
        self.opcode = opcode
        self.status = status
        self.opaque = opaque
        self.cas = cas
        self.extras = extras
        self.key = key
        self.value = value
    }

    init(
        to request: FakeRequest, status: UInt16 = 0, extras: [UInt8] = [], key: [UInt8] = [],
        value: [UInt8] = []
    ) {
        self.init(
            opcode: request.bytes[1], status: status,
            opaque: request.bytes[12..<16].reduce(0) { $0 << 8 | UInt32($1) }, extras: extras, key: key,
            value: value)
    }

    var bytes: [UInt8] {
        var bytes = [magic, opcode]
        func write(_ number: some FixedWidthInteger) {
            withUnsafeBytes(of: number.bigEndian) { bytes += $0 }
        }
        write(keyLength ?? UInt16(key.count))
        write(extrasLength ?? UInt8(extras.count))
        write(UInt8(0))
        write(status)
        write(bodyLength ?? UInt32(extras.count + key.count + value.count))
        write(opaque)
        write(cas)
        return bytes + extras + key + value
    }
}
