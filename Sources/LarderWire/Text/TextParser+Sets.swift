internal import CLarderWire

extension TextParser {
    /// Takes sets that follow each other and whose values are there. What else comes is left to `nextLine`; false when
    /// nothing was taken.
    @inline(__always)
    mutating func takeSets(
        _ base: UnsafePointer<UInt8>, _ cursor: inout Int, _ end: Int, _ sets: UnsafeMutablePointer<ArrivedSet>,
        _ countMax: Int
    ) -> Bool {
        var count = 0
        while count < countMax, end &- cursor >= 16,
            // SAFETY: sixteen bytes are there.
            UInt32(littleEndian: UnsafeRawPointer(base + cursor).loadUnaligned(as: UInt32.self)) == 0x20_74_65_73,
            takeSet(base, cursor: &cursor, end: end, sets + count)
        {
            count &+= 1
        }
        guard count > 0 else { return false }
        forgetLine()
        taken.count = count
        return true
    }

    /// Takes `set <key> <flags> <exptime> <bytes>\r\n` and the value behind it, if all of it is there, in single
    /// spaces and plain digits, and right. What else comes is left to `store`, which knows what is wrong.
    /// The caller has seen that the line begins with `set `.
    ///
    /// - Returns: false when nothing was taken.
    mutating func takeSet(
        _ base: UnsafePointer<UInt8>, cursor: inout Int, end: Int, _ set: UnsafeMutablePointer<ArrivedSet>
    ) -> Bool {
        let keyStart = cursor &+ 4
        // SAFETY: every read below is of an offset that was compared with `end`, or is of a byte before one.
        guard end &- keyStart >= 12 else { return false }
        let keyLength = larder_find_break(base + keyStart, end &- keyStart)
        guard keyLength > 0, keyLength <= Self.keyLengthMax else { return false }
        var place = keyStart &+ keyLength
        var flags = 0
        var exptime = 0
        if end &- place >= 8,
            // " 0 0 ", as most clients send.
            UnsafeRawPointer(base + place).loadUnaligned(as: UInt64.self).littleEndian & 0xff_ffff_ffff
                == 0x20_30_20_30_20
        {
            place &+= 4
        } else {
            flags = Self.plainNumber(base, &place, end, before: UInt8(ascii: " "))
            exptime = Self.plainNumber(base, &place, end, before: UInt8(ascii: " "))
        }
        let valueLength = Self.plainNumber(base, &place, end, before: UInt8(ascii: "\r"))
        guard flags | exptime | valueLength >= 0, flags <= Int(UInt32.max), valueLength <= Int(Int32.max),
            end &- place >= valueLength &+ 4, base[place &+ 1] == UInt8(ascii: "\n")
        else { return false }
        let valueStart = place &+ 2
        let valueEnd = valueStart &+ valueLength
        guard base[valueEnd] == UInt8(ascii: "\r"), base[valueEnd &+ 1] == UInt8(ascii: "\n") else { return false }
        set.pointee.keyStart = keyStart
        set.pointee.keyLength = keyLength
        set.pointee.clientFlags = UInt32(truncatingIfNeeded: flags)
        set.pointee.exptime = Int64(exptime)
        set.pointee.valueStart = valueStart
        set.pointee.valueLength = valueLength
        cursor = valueEnd &+ 2
        return true
    }

    /// Up to nine digits behind the byte at `place`, which is a space, and before a byte that ends them, where
    /// `place` is then; -1 for anything else.
    @inline(__always)
    private static func plainNumber(
        _ base: UnsafePointer<UInt8>, _ place: inout Int, _ end: Int, before terminator: UInt8
    ) -> Int {
        guard place < end, base[place] == UInt8(ascii: " ") else { return -1 }
        var next = place &+ 1
        let (value, count) = DecimalText.digits(base, &next, end)
        guard count > 0, count <= 9, next < end, base[next] == terminator else { return -1 }
        place = next
        return Int(value)
    }
}
