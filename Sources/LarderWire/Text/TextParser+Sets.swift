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
        guard Self.takeFlagsAndExptime(base, &place, end, set) else { return false }
        let valueLength = Self.number(base, &place, end, before: UInt8(ascii: "\r"))
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

    /// Moves `place` behind the exptime; false for anything but two plain numbers.
    @inline(__always)
    private static func takeFlagsAndExptime(
        _ base: UnsafePointer<UInt8>, _ place: inout Int, _ end: Int, _ set: UnsafeMutablePointer<ArrivedSet>
    ) -> Bool {
        // SAFETY: eleven bytes are there: eight are read, and then four behind a space and six digits at most.
        if end &- place >= 11 {
            let word = UInt64(littleEndian: UnsafeRawPointer(base + place).loadUnaligned(as: UInt64.self))
            // " 0 0 ", as most clients send.
            if word & 0xff_ffff_ffff == 0x20_30_20_30_20 {
                place &+= 4
                set.pointee.clientFlags = 0
                set.pointee.exptime = 0
                return true
            }
            if let flags = DecimalText.number(behindSpace: word) {
                set.pointee.clientFlags = UInt32(truncatingIfNeeded: flags.value)
                let next = base + place + flags.length
                let following = UInt32(littleEndian: UnsafeRawPointer(next).loadUnaligned(as: UInt32.self))
                if following & 0xff_ffff == 0x20_30_20 {
                    place &+= flags.length &+ 2
                    set.pointee.exptime = 0
                    return true
                }
            }
        }
        place = takeOtherFlagsAndExptime(base, place, end, set)
        return place > 0
    }

    /// Returns the place behind the exptime; 0 for anything but two plain numbers.
    @inline(never)
    private static func takeOtherFlagsAndExptime(
        _ base: UnsafePointer<UInt8>, _ start: Int, _ end: Int, _ set: UnsafeMutablePointer<ArrivedSet>
    ) -> Int {
        var place = start
        let flags = number(base, &place, end, before: UInt8(ascii: " "))
        guard flags >= 0 else { return 0 }
        let exptime = number(base, &place, end, before: UInt8(ascii: " "))
        guard exptime >= 0 else { return 0 }
        set.pointee.clientFlags = UInt32(truncatingIfNeeded: flags)
        set.pointee.exptime = Int64(exptime)
        return place
    }

    /// As `plainNumber`; quicker for up to six digits.
    @inline(__always)
    private static func number(
        _ base: UnsafePointer<UInt8>, _ place: inout Int, _ end: Int, before terminator: UInt8
    ) -> Int {
        // SAFETY: eight bytes from `place` on are read if they are there; the end of the number is among them.
        if end &- place >= 8,
            let number = DecimalText.number(
                behindSpace: UInt64(littleEndian: UnsafeRawPointer(base + place).loadUnaligned(as: UInt64.self))),
            base[place &+ number.length] == terminator
        {
            place &+= number.length
            return number.value
        }
        return plainNumber(base, &place, end, before: terminator)
    }

    /// Up to nine digits behind the byte at `place`, which is a space, and before a byte that ends them, where
    /// `place` is then; -1 for anything else.
    @inline(never)
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
