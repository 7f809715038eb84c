/// Binary retrievals, many at a time.
extension BinaryParser {
    /// Takes the packets `get`, `getk` and their quiet forms from the cursor on, as long as they are right. False when
    /// nothing was taken.
    @inline(__always)
    mutating func takeKeys(
        _ base: UnsafePointer<UInt8>, _ cursor: inout Int, _ end: Int, _ keys: UnsafeMutablePointer<RetrievalKey>,
        _ countMax: Int
    ) -> Bool {
        let start = cursor
        var count = 0
        while count < countMax, end &- cursor > Self.headerLength {
            // SAFETY: the whole header is there.
            let packet = BinaryPacket(at: base + cursor)
            let keyLength = packet.keyLength
            guard packet.isRetrieval, packet.bodyLength == keyLength, keyLength > 0,
                keyLength <= TextParser.keyLengthMax, end &- cursor &- Self.headerLength >= keyLength
            else { break }
            let tag = packet.tag
            keys[count].requestStart = cursor
            keys[count].start = cursor &+ Self.headerLength
            keys[count].length = keyLength
            keys[count].tag = tag
            keys[count].isQuiet = tag.opcode & 1 != 0
            keys[count].wantsKey = tag.opcode & 0x04 != 0
            count &+= 1
            cursor &+= Self.headerLength &+ keyLength
        }
        guard count > 0 else { return false }
        packetStart = start
        taken.count = count
        taken.touches = false
        return true
    }
}
