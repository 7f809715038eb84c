/// The header of a packet, taken apart.
struct BinaryPacket {
    private let start: UnsafePointer<UInt8>
    /// Its first eight bytes.
    private let head: UInt64

    /// - Parameter start: 24 bytes.
    @inline(__always)
    init(at start: UnsafePointer<UInt8>) {
        // SAFETY: the caller has the whole header.
        self.start = start
        head = UInt64(bigEndian: UnsafeRawPointer(start).loadUnaligned(as: UInt64.self))
    }

    @inline(__always)
    var hasRequestMagic: Bool { head >> 56 == 0x80 }
    @inline(__always)
    private var opcodeByte: UInt8 { UInt8(truncatingIfNeeded: head >> 48) }
    @inline(__always)
    var opcode: BinaryOpcode? { BinaryOpcode(rawValue: opcodeByte) }
    @inline(__always)
    var keyLength: Int { Int(truncatingIfNeeded: head >> 32 & 0xffff) }
    @inline(__always)
    var extrasLength: Int { Int(truncatingIfNeeded: head >> 24 & 0xff) }
    @inline(__always)
    var bodyLength: Int { Int(number32(at: 8)) }
    /// What the body holds behind extras and key; negative when these do not fit in.
    @inline(__always)
    var valueLength: Int { bodyLength &- keyLength &- extrasLength }
    @inline(__always)
    var cas: UInt64 { number64(at: 16) }

    /// What the answer repeats.
    @inline(__always)
    var tag: PacketTag {
        PacketTag(opcode: opcodeByte, opaque: UnsafeRawPointer(start + 12).loadUnaligned(as: UInt32.self))
    }

    /// A number of the extras. The caller has checked their length.
    @inline(__always)
    func extra32(at offset: Int) -> UInt32 { number32(at: BinaryParser.headerLength &+ offset) }
    @inline(__always)
    func extra64(at offset: Int) -> UInt64 { number64(at: BinaryParser.headerLength &+ offset) }

    @inline(__always)
    private func number32(at offset: Int) -> UInt32 {
        UInt32(bigEndian: UnsafeRawPointer(start + offset).loadUnaligned(as: UInt32.self))
    }
    @inline(__always)
    private func number64(at offset: Int) -> UInt64 {
        UInt64(bigEndian: UnsafeRawPointer(start + offset).loadUnaligned(as: UInt64.self))
    }

    /// A request for an item, and nothing else: magic, opcode 0x00 (get), 0x09 (getq), 0x0c (getk) or 0x0d
    /// (getkq), no extras, data type and vbucket as they come.
    @inline(__always)
    var isRetrieval: Bool {
        // A bit for each of the four opcodes.
        let retrievals: UInt64 = 0x3201
        let opcode = opcodeByte
        return hasRequestMagic && extrasLength == 0 && opcode < 16 && retrievals &>> UInt64(opcode) & 1 != 0
    }

    /// Whether a client may ask for this before it has authenticated itself.
    var isAllowedToAnyone: Bool {
        switch opcode {
        case .listMechanisms, .authenticate, .authenticateFurther, .version: true
        default: false
        }
    }
}
