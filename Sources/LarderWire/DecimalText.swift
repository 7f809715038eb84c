/// Decimal numbers as text: how the protocol spells them, and how it reads them.
///
/// There are two readings, since memcached has two. The lenient one (`unsigned64`,
/// `signed64`) is the C library's: white space or a sign in front, and anything at all
/// after a white space. The client flags and the exptime of a store, and the number held by
/// a value are read so. The exact one (`exactInt32`, `exactUInt32`, `exactUInt64`) takes
/// digits only, with a minus where it is signed. All other numbers are read so.
package enum DecimalText {
    /// The most bytes that `write` puts down: the digits of 2^64 - 1.
    package static let lengthMax = 20

    /// The longest number of 32 bits that the exact reading looks at: the digits of 2^32 - 1 and one more.
    private static let exactLengthMax = 11
    /// The same for 64 bits: the digits of 2^64 - 1 and two more.
    private static let exactLengthMax64 = 22

    // MARK: Reading

    /// The lenient reading of a number from 0 to 2^64 - 1; nil when it is none.
    ///
    /// This is also the rule of `incr` for the value held: `" 5 "`, `"+5"`, `"-0"` and
    /// `"5 apples"` are numbers; `""`, `"-5"`, `"5x"` and 2^64 are none.
    package static func unsigned64(_ bytes: UnsafePointer<UInt8>, _ length: Int) -> UInt64? {
        let start = skipWhiteSpace(bytes, length)
        guard start < length, bytes[start] == UInt8(ascii: "-") else {
            return magnitude(bytes, length, from: start)
        }
        // "-+5" is no number.
        if start &+ 1 < length, bytes[start &+ 1] == UInt8(ascii: "+") { return nil }
        guard let negated = magnitude(bytes, length, from: start &+ 1) else { return nil }
        // As strtoull does it: the negative number counts from 2^64 down. memcached refuses what is
        // then 2^63 or more.
        let value = 0 &- negated
        return value >> 63 == 0 ? value : nil
    }

    /// The lenient reading of a number from -2^63 to 2^63 - 1; nil when it is none.
    package static func signed64(_ bytes: UnsafePointer<UInt8>, _ length: Int) -> Int64? {
        let start = skipWhiteSpace(bytes, length)
        guard start < length, bytes[start] == UInt8(ascii: "-") else {
            guard let value = magnitude(bytes, length, from: start) else { return nil }
            return Int64(exactly: value)
        }
        // "-+5" is no number.
        if start + 1 < length, bytes[start + 1] == UInt8(ascii: "+") { return nil }
        guard let value = magnitude(bytes, length, from: start + 1) else { return nil }
        if value == Int64.min.magnitude { return Int64.min }
        guard let positive = Int64(exactly: value) else { return nil }
        return -positive
    }

    /// The exact reading of a number from -2^31 to 2^31 - 1; nil when it is none.
    package static func exactInt32(_ bytes: UnsafePointer<UInt8>, _ length: Int) -> Int32? {
        guard length > 0, length <= exactLengthMax else { return nil }
        let isNegative = bytes[0] == UInt8(ascii: "-")
        guard let value = digits(bytes, length, from: isNegative ? 1 : 0) else { return nil }
        // At most eleven digits: far from the end of an Int64.
        return Int32(exactly: isNegative ? -Int64(value) : Int64(value))
    }

    /// The exact reading of a number from 0 to 2^32 - 1; nil when it is none.
    package static func exactUInt32(_ bytes: UnsafePointer<UInt8>, _ length: Int) -> UInt32? {
        guard length > 0, length <= exactLengthMax else { return nil }
        guard let value = digits(bytes, length, from: 0) else { return nil }
        return UInt32(exactly: value)
    }

    /// The exact reading of a number from 0 to 2^64 - 1; nil when it is none.
    package static func exactUInt64(_ bytes: UnsafePointer<UInt8>, _ length: Int) -> UInt64? {
        guard length > 0, length <= exactLengthMax64 else { return nil }
        return digits(bytes, length, from: 0)
    }

    // MARK: Writing

    /// Writes `value` in decimal and returns how many bytes that took.
    ///
    /// - Parameter out: room for `lengthMax` bytes.
    package static func write(_ value: UInt64, at out: UnsafeMutablePointer<UInt8>) -> Int {
        // SAFETY: eight bytes are written at the start, and then eight for each eight digits more: 20 in all.
        guard value >= 100_000_000 else { return writeEight(value, at: out) }
        let upper = value / 100_000_000
        let count = write(upper, at: out)
        let digits = eightDigits(value &- upper &* 100_000_000) | asciiZeros
        UnsafeMutableRawPointer(out + count).storeBytes(of: digits.littleEndian, as: UInt64.self)
        return count &+ 8
    }

    /// Writes a number below 10^8: all eight digits at once, without the zeros in front.
    ///
    /// - Parameter out: room for eight bytes.
    @inline(__always)
    static func writeEight(_ value: UInt64, at out: UnsafeMutablePointer<UInt8>) -> Int {
        let digits = eightDigits(value)
        // The last digit stays if it is a zero, too.
        let zeroBits = (digits | 1 &<< 56).trailingZeroBitCount & ~7
        let text = (digits | asciiZeros) &>> UInt64(truncatingIfNeeded: zeroBits)
        // SAFETY: the caller has promised eight bytes.
        UnsafeMutableRawPointer(out).storeBytes(of: text.littleEndian, as: UInt64.self)
        return 8 &- zeroBits &>> 3
    }

    private static var asciiZeros: UInt64 { 0x3030_3030_3030_3030 }

    /// The digits of a number below 10^8, one in each byte, the first in the lowest.
    ///
    /// Two numbers of four digits become four of two, and these eight of one. Each has a part of the word of its own, so
    /// that one multiplication divides all of them: x * 10486 >> 20 is x / 100 below 10,000, and x * 103 >> 10 is
    /// x / 10 below 100.
    @inline(__always)
    private static func eightDigits(_ value: UInt64) -> UInt64 {
        let high = value / 10_000
        let fours = high | (value &- high &* 10_000) &<< 32
        let hundreds = (fours &* 10_486) &>> 20 & 0x7f_0000_007f
        let pairs = hundreds | (fours &- hundreds &* 100) &<< 16
        let tens = (pairs &* 103) &>> 10 & 0x000f_000f_000f_000f
        return tens | (pairs &- tens &* 10) &<< 8
    }

    /// As `write`; quicker for client flags, of which most have one digit or five.
    ///
    /// - Parameter out: room for `lengthMax` bytes. The function may write eight bytes for a shorter number.
    @inline(__always)
    static func writeFlags(_ value: UInt32, at out: UnsafeMutablePointer<UInt8>) -> Int {
        guard value &- 10_000 < 90_000 else { return writeOtherFlags(value, at: out) }
        // The value divided by 10,000, with 32 bits behind the point: 2^32 / 10,000 is 429,496.73, and rounded up it is
        // exact enough for five digits. What is behind the point, a hundredfold, has the next two digits before it.
        let first = UInt64(value) &* 429_497
        let second = (first & 0xffff_ffff) &* 100
        let third = (second & 0xffff_ffff) &* 100
        let digits =
            first &>> 32 | 0x30 | UInt64(pair(second &>> 32)) &<< 8 | UInt64(pair(third &>> 32)) &<< 24
        UnsafeMutableRawPointer(out).storeBytes(of: digits.littleEndian, as: UInt64.self)
        return 5
    }

    @inline(never)
    private static func writeOtherFlags(_ value: UInt32, at out: UnsafeMutablePointer<UInt8>) -> Int {
        value < 10_000 ? writeLine(Int(value), at: out) : write(UInt64(value), at: out)
    }

    /// As `write`, and a line end behind the digits, which is not counted; quicker for numbers of up to four digits.
    ///
    /// - Parameter out: room for `lengthMax` bytes and two more. Eight bytes are written at least.
    @inline(__always)
    static func writeLine(_ value: Int, at out: UnsafeMutablePointer<UInt8>) -> Int {
        let number = UInt64(truncatingIfNeeded: value)
        let text: UInt64
        let count: Int
        if number < 1000, number >= 100 {
            let high = (number &* 5243) &>> 19
            text = high | 0x0a0d_0000_30 | UInt64(pair(number &- high &* 100)) &<< 8
            count = 3
        } else if number < 10 {
            text = number | 0x0a_0d30
            count = 1
        } else if number < 100 {
            text = UInt64(pair(number)) | 0x0a0d_0000
            count = 2
        } else if number < 10_000 {
            let high = number / 100
            text = UInt64(pair(high)) | UInt64(pair(number &- high &* 100)) &<< 16 | 0x0a0d_0000_0000
            count = 4
        } else {
            return writeLongLine(number, at: out)
        }
        // SAFETY: the caller has promised eight bytes and more.
        UnsafeMutableRawPointer(out).storeBytes(of: text.littleEndian, as: UInt64.self)
        return count
    }

    @inline(never)
    private static func writeLongLine(_ value: UInt64, at out: UnsafeMutablePointer<UInt8>) -> Int {
        let count = write(value, at: out)
        out[count] = UInt8(ascii: "\r")
        out[count &+ 1] = UInt8(ascii: "\n")
        return count
    }

    /// Two digits, the first in the lower byte.
    @inline(__always)
    private static func pair(_ number: UInt64) -> UInt16 {
        // SAFETY: every caller has a number below 100, and the table has 100 pairs.
        let place = Int(truncatingIfNeeded: number) &* 2
        return UInt16(
            littleEndian: UnsafeRawPointer(digitPairs.utf8Start).loadUnaligned(fromByteOffset: place, as: UInt16.self))
    }

    /// How many digits `value` has in decimal: 1 to `lengthMax`.
    package static func length(of value: UInt64) -> Int {
        var count = 1
        var limit: UInt64 = 10
        while value >= limit {
            count &+= 1
            // 10^20 does not fit in 64 bits: the product must not be taken.
            if count == lengthMax { break }
            limit = limit &* 10
        }
        return count
    }

    // MARK: Parts

    /// 00 01 02 ... 99: two digits for one division.
    private static let digitPairs: StaticString = """
        00010203040506070809\
        10111213141516171819\
        20212223242526272829\
        30313233343536373839\
        40414243444546474849\
        50515253545556575859\
        60616263646566676869\
        70717273747576777879\
        80818283848586878889\
        90919293949596979899
        """

    /// What the C library calls white space.
    private static func isWhiteSpace(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: " ") || (byte >= 9 && byte <= 13)
    }

    private static func skipWhiteSpace(_ bytes: UnsafePointer<UInt8>, _ length: Int) -> Int {
        var index = 0
        while index < length, isWhiteSpace(bytes[index]) { index &+= 1 }
        return index
    }

    /// Digits with an optional plus in front, up to the end, a white space or a NUL.
    private static func magnitude(_ bytes: UnsafePointer<UInt8>, _ length: Int, from start: Int) -> UInt64? {
        var first = start
        if first < length, bytes[first] == UInt8(ascii: "+") { first &+= 1 }
        var last = first
        while last < length, isDigit(bytes[last]) { last &+= 1 }
        if last < length, bytes[last] != 0, !isWhiteSpace(bytes[last]) { return nil }
        return digits(bytes, last, from: first)
    }

    /// The number spelled by all of `start..<end`; nil when it is empty, holds anything but
    /// digits, or does not fit in 64 bits.
    private static func digits(_ bytes: UnsafePointer<UInt8>, _ end: Int, from start: Int) -> UInt64? {
        guard start < end else { return nil }
        var value: UInt64 = 0
        var index = start
        while index < end {
            let byte = bytes[index]
            guard isDigit(byte) else { return nil }
            let (tens, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = tens.addingReportingOverflow(UInt64(byte &- UInt8(ascii: "0")))
            if overflow || carry { return nil }
            value = sum
            index &+= 1
        }
        return value
    }

    /// The digits from `position` on, as a number that wraps around where there are too many, and how many there are.
    @inline(__always)
    static func digits(_ bytes: UnsafePointer<UInt8>, _ position: inout Int, _ end: Int) -> (value: Int64, count: Int) {
        let start = position
        var value: Int64 = 0
        while position < end {
            let digit = bytes[position] &- UInt8(ascii: "0")
            guard digit < 10 else { break }
            value = value &* 10 &+ Int64(digit)
            position &+= 1
        }
        return (value, position &- start)
    }

    /// The number that stands between a space, the word's lowest byte, and a byte that is no digit, and how many bytes both
    /// have together, 2 to 7; nil for anything but a space and one to six digits.
    ///
    /// Neighbours are joined, then pairs, then fours: https://lemire.me/blog/2022/01/21/swar-explained-parsing-eight-digits
    @inline(__always)
    static func number(behindSpace word: UInt64) -> (value: Int, length: Int)? {
        // A digit becomes its value, and the space 0. Of what else there may be, only `:` to `?` come below 16.
        let digits = word ^ 0x3030_3030_3030_3020
        let others = digits & 0xf0f0_f0f0_f0f0_f0ff
        let length = others.trailingZeroBitCount &>> 3
        guard others != 0, length > 1 else { return nil }
        let padded = digits &<< UInt64(truncatingIfNeeded: 64 &- length &* 8)
        guard (padded &+ 0x0606_0606_0606_0606) & 0xf0f0_f0f0_f0f0_f0f0 == 0 else { return nil }
        let pairs = padded &* 10 &+ padded &>> 8
        let low = (pairs & 0xff_0000_00ff) &* (100 &+ 1_000_000 &<< 32)
        let high = (pairs &>> 16 & 0xff_0000_00ff) &* (1 &+ 10_000 &<< 32)
        return (Int(truncatingIfNeeded: (low &+ high) &>> 32), length)
    }

    @inline(__always)
    static func isDigit(_ byte: UInt8) -> Bool {
        byte &- UInt8(ascii: "0") < 10
    }
}
