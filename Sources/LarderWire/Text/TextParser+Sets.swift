internal import CLarderWire

extension TextParser {
    /// Takes sets that follow each other and whose values are there, from the cursor on, where `set ` stands. What else
    /// comes is left to `nextLine`.
    @inline(never)
    mutating func takeSets(
        _ base: UnsafePointer<UInt8>, _ cursor: inout Int, _ end: Int, _ request: inout Request, _ room: StepRoom,
        _ countMax: Int
    ) -> ParseStep {
        let sets = room.sets
        var count = 0
        var place = cursor
        while count < countMax, takeSet(base, cursor: &place, end: end, sets + count) { count &+= 1 }
        cursor = place
        guard count > 0 else { return nextLine(base, &cursor, end, &request, room, countMax) }
        forgetLine()
        taken.count = count
        return .sets
    }

    /// Takes `set <key> <flags> <exptime> <bytes>\r\n` and the value behind it, if all of it is there, in single
    /// spaces and plain digits, and right. What else comes is left to `store`, which knows what is wrong.
    ///
    /// - Returns: false when nothing was taken.
    @inline(__always)
    mutating func takeSet(
        _ base: UnsafePointer<UInt8>, cursor: inout Int, end: Int, _ set: UnsafeMutablePointer<ArrivedSet>
    ) -> Bool {
        let keyStart = cursor &+ 4
        // SAFETY: every read below is of an offset that was compared with `end`, or is of a byte before one.
        guard end &- keyStart >= 12,
            UInt32(littleEndian: UnsafeRawPointer(base + cursor).loadUnaligned(as: UInt32.self)) == Self.setWord
        else { return false }
        let keyLength = larder_find_break(base + keyStart, end &- keyStart)
        guard keyLength > 0, keyLength <= Self.keyLengthMax else { return false }
        // Written at once, since the processor has few registers.
        set.pointee.keyStart = keyStart
        set.pointee.keyLength = keyLength
        var place = keyStart &+ keyLength
        if end &- place >= 8,
            // " 0 0 ", as most clients send.
            UnsafeRawPointer(base + place).loadUnaligned(as: UInt64.self).littleEndian & 0xff_ffff_ffff
                == 0x20_30_20_30_20
        {
            place &+= 4
            set.pointee.clientFlags = 0
            set.pointee.exptime = 0
        } else {
            place = Self.takeFlagsAndExptime(base, place, end, set)
            guard place > 0 else { return false }
        }
        let valueLength = Self.plainNumber(base, &place, end, before: UInt8(ascii: "\r"))
        guard valueLength >= 0, end &- place >= valueLength &+ 4, base[place &+ 1] == UInt8(ascii: "\n") else {
            return false
        }
        let valueStart = place &+ 2
        let valueEnd = valueStart &+ valueLength
        guard base[valueEnd] == UInt8(ascii: "\r"), base[valueEnd &+ 1] == UInt8(ascii: "\n") else { return false }
        set.pointee.valueStart = valueStart
        set.pointee.valueLength = valueLength
        cursor = valueEnd &+ 2
        return true
    }

    /// Returns the place behind the exptime; 0 for anything but two plain numbers.
    @inline(never)
    private static func takeFlagsAndExptime(
        _ base: UnsafePointer<UInt8>, _ start: Int, _ end: Int, _ set: UnsafeMutablePointer<ArrivedSet>
    ) -> Int {
        var place = start
        let flags = shortNumber(base, &place, end)
        guard flags >= 0 else { return 0 }
        set.pointee.clientFlags = UInt32(truncatingIfNeeded: flags)
        // SAFETY: four bytes from `place` on are read if they are there.
        if end &- place >= 4,
            // " 0 ", as most clients send.
            UnsafeRawPointer(base + place).loadUnaligned(as: UInt32.self).littleEndian & 0xff_ffff == 0x20_30_20
        {
            set.pointee.exptime = 0
            return place &+ 2
        }
        let exptime = shortNumber(base, &place, end)
        guard exptime >= 0 else { return 0 }
        set.pointee.exptime = Int64(exptime)
        return place
    }

    /// As `plainNumber` before a space; quicker for up to seven digits.
    @inline(__always)
    private static func shortNumber(_ base: UnsafePointer<UInt8>, _ place: inout Int, _ end: Int) -> Int {
        // SAFETY: the space and eight bytes behind it are there.
        guard end &- place >= 9, base[place] == UInt8(ascii: " ") else {
            return plainNumber(base, &place, end, before: UInt8(ascii: " "))
        }
        let word = UnsafeRawPointer(base + place).loadUnaligned(fromByteOffset: 1, as: UInt64.self).littleEndian
        guard let (value, count) = DecimalText.leadingDigits(of: word) else {
            return plainNumber(base, &place, end, before: UInt8(ascii: " "))
        }
        let terminator = base + (place &+ 1 &+ count)
        guard count > 0, terminator.pointee == UInt8(ascii: " ") else { return -1 }
        place &+= 1 &+ count
        return Int(value)
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
