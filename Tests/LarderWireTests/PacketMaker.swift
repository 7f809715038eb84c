/// Packets as bytes.
enum PacketMaker {
    static func packet(
        _ opcode: UInt8, extras: [UInt8] = [], key: String = "", value: [UInt8] = [], opaque: UInt32 = 0,
        cas: UInt64 = 0, magic: UInt8 = 0x80, keyLength: UInt16? = nil, extrasLength: UInt8? = nil,
        bodyLength: UInt32? = nil
    ) -> [UInt8] {
        let key = Array(key.utf8)
        let length = UInt32(truncatingIfNeeded: extras.count + key.count + value.count)
        return [magic, opcode] + bytes(keyLength ?? UInt16(truncatingIfNeeded: key.count))
            + [extrasLength ?? UInt8(truncatingIfNeeded: extras.count), 0, 0, 0] + bytes(bodyLength ?? length)
            + bytes(opaque) + bytes(cas) + extras + key + value
    }

    static func bytes(_ number: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: number.bigEndian) { Array($0) }
    }
}
