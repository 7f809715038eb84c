internal import CLarderWire

/// A `set` in the plainest form. Offsets count from the start of the buffer that the parser was given.
package struct PlainSet: Sendable {
    package var keyStart = 0
    package var keyLength = 0
    package var clientFlags: UInt32 = 0
    /// Seconds as sent, not negative.
    package var exptime: Int64 = 0
    package var valueStart = 0
    package var valueLength = 0

    package init() {}
}

extension TextParser {
    /// Takes `set <key> <flags> <exptime> <bytes>\r\n` and the value behind it, if all of it is there, in single
    /// spaces and plain digits, and right. Whatever else is left to `next`, which knows what is wrong.
    /// The caller has seen that the line begins with `set `.
    ///
    /// - Returns: false when nothing was taken.
    package mutating func takeSet(
        _ base: UnsafePointer<UInt8>, cursor: inout Int, end: Int, _ set: UnsafeMutablePointer<PlainSet>
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
        forgetLine()
        return true
    }

    /// Up to nine digits behind the byte at `place`, which is a space, and before a byte that ends them, where
    /// `place` is then; -1 for anything else.
    @inline(__always)
    private static func plainNumber(
        _ base: UnsafePointer<UInt8>, _ place: inout Int, _ end: Int, before terminator: UInt8
    ) -> Int {
        guard place < end, base[place] == UInt8(ascii: " ") else { return -1 }
        let start = place &+ 1
        var next = start
        var value = 0
        while next < end {
            let digit = base[next] &- UInt8(ascii: "0")
            guard digit < 10 else { break }
            value = value &* 10 &+ Int(digit)
            next &+= 1
        }
        let count = next &- start
        guard count > 0, count <= 9, next < end, base[next] == terminator else { return -1 }
        place = next
        return value
    }
}
