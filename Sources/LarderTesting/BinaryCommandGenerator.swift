/// One packet of a random stream of the binary protocol.
package struct GeneratedPacket: Sendable {
    package var opcode: UInt8
    package var extras: [UInt8] = []
    package var key: [UInt8] = []
    package var value: [UInt8] = []
    /// The key whose cas, as this server last told it, goes with the packet; nil: 0.
    package var casKey: [UInt8]?
    /// Overrides what the header says of lengths.
    package var falseKeyLength: UInt16?
    package var falseBodyLength: UInt32?
    /// It ends the connection.
    package var isFatal = false

    /// `noop`, whose answer tells that all before it is answered.
    package static let noOperation = GeneratedPacket(opcode: 0x0a)

    /// The packet for a server that told these cas values.
    package func bytes(opaque: UInt32, knowing cas: [[UInt8]: UInt64]) -> [UInt8] {
        // A cas that no server gives out.
        let number = casKey.map { cas[$0] ?? UInt64.max } ?? 0
        var bytes: [UInt8] = [0x80, opcode]
        bytes += Self.bigEndian(falseKeyLength ?? UInt16(truncatingIfNeeded: key.count))
        bytes += [UInt8(truncatingIfNeeded: extras.count), 0, 0, 0]
        let bodyLength = extras.count + key.count + value.count
        bytes += Self.bigEndian(falseBodyLength ?? UInt32(truncatingIfNeeded: bodyLength))
        return bytes + Self.bigEndian(opaque) + Self.bigEndian(number) + extras + key + value
    }

    package static func bigEndian(_ number: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: number.bigEndian) { Array($0) }
    }

    /// Whether a reply that is not sent yet may keep hold of the value.
    package var reads: Bool { [0x00, 0x09, 0x0c, 0x0d, 0x1c, 0x1d, 0x1e, 0x23, 0x24].contains(opcode) }
    package var counts: Bool { [0x05, 0x06, 0x15, 0x16].contains(opcode) }
}

extension GeneratedPacket: CustomStringConvertible {
    package var description: String {
        "0x\(String(opcode, radix: 16)) extras \(escaped(extras)) key \(escaped(key))"
            + " value \(escaped(value))" + (casKey.map { " cas of \(escaped($0))" } ?? "")
    }
}

/// An endless random stream of binary packets, valid and not, over few keys.
///
/// The same seed gives the same stream, and nothing in it depends on the time of day: see
/// `CommandGenerator`, whose rules for numbers hold here, too. Left out is what is explained: a packet of
/// an unknown opcode with a key (memcached passes over as many bytes again), bytes behind a `gat`, a `touch`
/// or a `stat` and a wrong magic (memcached closes without the answers that it has not sent), and lengths of
/// 2^30 and more (checked since 1.6.42).
package struct BinaryCommandGenerator {
    private var random: SeededRandom
    private let keys: [[UInt8]]
    private let flushes: Bool

    /// - Parameters:
    ///   - keyPrefix: Begins every key, to keep the streams of several connections apart.
    ///   - flushes: Whether `flush` may appear, which concerns all keys there are.
    package init(seed: UInt64, keyPrefix: String = "", flushes: Bool = true) {
        random = SeededRandom(seed: seed)
        self.flushes = flushes
        let prefix = Array(keyPrefix.utf8)
        let plain = (1...30).map { prefix + Array("k\($0)".utf8) }
        let long = [249, 250].map { prefix + [UInt8](repeating: UInt8(ascii: "k"), count: $0 - prefix.count) }
        let strange: [[UInt8]] = [prefix + [0, 0x0a, 0x0d], prefix + Array("a b".utf8), prefix + [0xff, 0x80]]
        keys = plain + long + strange
    }

    package mutating func next() -> GeneratedPacket {
        switch Int.random(in: 0..<1000, using: &random) {
        case 0..<290: store(random.pick([0x01, 0x01, 0x11, 0x02, 0x12, 0x03, 0x13]))
        case 290..<350: extend(random.pick([0x0e, 0x0f, 0x19, 0x1a]))
        case 350..<620: GeneratedPacket(opcode: random.pick([0x00, 0x09, 0x0c, 0x0d]), key: random.pick(keys))
        case 620..<710: touch(random.pick([0x1c, 0x1d, 0x1e, 0x23, 0x24]))
        case 710..<790: delete(random.pick([0x04, 0x14]))
        case 790..<930: count(random.pick([0x05, 0x06, 0x15, 0x16]))
        case 930..<932: flushes ? flush() : harmless()
        case 932: tooLarge()
        case 933..<940: fatal()
        default: harmless()
        }
    }

    // MARK: Packets

    private mutating func store(_ opcode: UInt8) -> GeneratedPacket {
        var packet = GeneratedPacket(
            opcode: opcode, extras: number32([0, 0, 0, 1, 65535, UInt32.max]) + exptime(), key: random.pick(keys),
            value: value())
        packet.casKey = casKey(for: packet.key)
        return packet
    }

    private mutating func extend(_ opcode: UInt8) -> GeneratedPacket {
        // Digits put to digits would make numbers of any size.
        var packet = GeneratedPacket(opcode: opcode, key: random.pick(keys), value: text())
        packet.casKey = casKey(for: packet.key)
        return packet
    }

    private mutating func touch(_ opcode: UInt8) -> GeneratedPacket {
        GeneratedPacket(opcode: opcode, extras: exptime(), key: random.pick(keys))
    }

    private mutating func delete(_ opcode: UInt8) -> GeneratedPacket {
        var packet = GeneratedPacket(opcode: opcode, key: random.pick(keys))
        packet.casKey = casKey(for: packet.key)
        return packet
    }

    private mutating func count(_ opcode: UInt8) -> GeneratedPacket {
        let delta = GeneratedPacket.bigEndian(random.pick([0, 1, 1, 9, 10, 1000, 1_000_000_000_000_000] as [UInt64]))
        let initial = GeneratedPacket.bigEndian(random.pick([0, 1, 99, 1_000_000_000_000_000_000] as [UInt64]))
        let expiry = random.chance(1, in: 3) ? [UInt8](repeating: 0xff, count: 4) : exptime()
        var packet = GeneratedPacket(opcode: opcode, extras: delta + initial + expiry, key: random.pick(keys))
        packet.casKey = random.chance(1, in: 3) ? casKey(for: packet.key) : nil
        return packet
    }

    private mutating func flush() -> GeneratedPacket {
        GeneratedPacket(opcode: random.pick([0x08, 0x18]), extras: random.pick([[], [0, 0, 0, 0]]))
    }

    private mutating func tooLarge() -> GeneratedPacket {
        let value = [UInt8](repeating: UInt8(ascii: "x"), count: 1_048_577)
        let opcode: UInt8 = random.pick([0x01, 0x12, 0x0e])
        let extras = [UInt8](repeating: 0, count: opcode == 0x0e ? 0 : 8)
        return GeneratedPacket(opcode: opcode, extras: extras, key: random.pick(keys), value: value)
    }

    /// Lengths that end the connection; there is nothing behind the key.
    private mutating func fatal() -> GeneratedPacket {
        var packet = GeneratedPacket(
            opcode: UInt8.random(in: 0...0x25, using: &random),
            extras: [UInt8](repeating: 0, count: random.pick([1, 3, 7, 16])), key: random.pick(keys), isFatal: true)
        switch Int.random(in: 0..<3, using: &random) {
        case 0: packet.key = [UInt8](repeating: UInt8(ascii: "k"), count: random.pick([251, 1000]))
        case 1: packet.falseBodyLength = 0
        default: if packet.opcode > 0x1a { packet.opcode = 0 }
        }
        return packet
    }

    /// What is refused, or says nothing.
    private mutating func harmless() -> GeneratedPacket {
        switch Int.random(in: 0..<6, using: &random) {
        case 0: GeneratedPacket(opcode: 0x0a)
        case 1: GeneratedPacket(opcode: random.pick([0x1b, 0x1f, 0x25, 0x30, 0x80, 0xff]), value: text())
        case 2:
            GeneratedPacket(opcode: 0x10, key: random.pick(["nonsense", "detail", "detail x"].map { Array($0.utf8) }))
        case 3: GeneratedPacket(opcode: 0x20)
        case 4: GeneratedPacket(opcode: random.pick([0x21, 0x22]), key: Array("PLAIN".utf8), value: text())
        default: GeneratedPacket(opcode: 0x0d, key: random.pick(keys))
        }
    }

    // MARK: Fields

    /// Mostly none; else the right one, or that of another key.
    private mutating func casKey(for key: [UInt8]) -> [UInt8]? {
        guard random.chance(1, in: 4) else { return nil }
        return random.chance(3, in: 4) ? key : random.pick(keys)
    }

    private mutating func number32(_ choices: [UInt32]) -> [UInt8] { GeneratedPacket.bigEndian(random.pick(choices)) }

    private mutating func exptime() -> [UInt8] {
        number32([0, 0, 0, 0, 0, 0, 1000, 2_592_000, 2_147_483_647, 1_000_000_000, 4_294_967_294])
    }

    private mutating func value() -> [UInt8] {
        guard random.chance(1, in: 2) else { return text() }
        if random.chance(1, in: 8) { return Array(random.pick(["99", " 7", "7 ", "-1", "1x", "007"]).utf8) }
        let width = random.pick([1, 2, 3, 8, 18])
        let digits = UInt8(ascii: "0")...UInt8(ascii: "9")
        return (0..<width).map { _ in UInt8.random(in: digits, using: &random) }
    }

    /// A value that is no number.
    private mutating func text() -> [UInt8] {
        let count =
            switch Int.random(in: 0..<50, using: &random) {
            case 0..<5: 0
            case 5..<45: Int.random(in: 1...100, using: &random)
            case 45..<49: Int.random(in: 100...4000, using: &random)
            default: Int.random(in: 4000...60_000, using: &random)
            }
        guard count > 0 else { return [] }
        var bytes: [UInt8] = [0x80]
        bytes.reserveCapacity(count + 8)
        while bytes.count < count { withUnsafeBytes(of: random.next()) { bytes.append(contentsOf: $0) } }
        return Array(bytes[..<count])
    }
}
