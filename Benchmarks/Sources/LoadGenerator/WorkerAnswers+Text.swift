import Glibc

/// `STORED`, and `VALUE` lines up to `END`.
extension Worker {
    private static var stored: UInt64 { UInt64(littleEndian: 0x0a0d_4445_524f_5453) }
    /// The five bytes of `END\r\n`, with the mask for them.
    private static var end: UInt64 { UInt64(littleEndian: 0x0a_0d44_4e45) }
    private static var fiveBytes: UInt64 { UInt64(littleEndian: 0xff_ffff_ffff) }

    /// The place behind one line; nil when it is not whole.
    @inline(__always)
    mutating func readTextAnswer(
        _ connection: UnsafeMutablePointer<Connection>, _ start: Cursor, _ end: Cursor, now: UInt64
    ) -> Cursor? {
        let isSet = request(connection).kind == .set
        let eight = UnsafeRawPointer(start).loadUnaligned(as: UInt64.self)
        if isSet {
            if end - start >= 8 && eight == Self.stored {
                answer(connection, now: now)
                return start + 8
            }
        } else if end - start >= 5 && eight & Self.fiveBytes == Self.end {
            answerGet(connection, now: now)
            return start + 5
        }
        guard let newline = memchr(start, 0x0a, end - start) else { return nil }
        let next = newline.assumingMemoryBound(to: UInt8.self) + 1
        if isSet || !readValueLine(connection, start, next, now: now) {
            readErrorLine(connection, start, next, now: now)
        }
        return next
    }

    /// Reads `VALUE key flags length`; false when the line is something else.
    @inline(__always)
    private mutating func readValueLine(
        _ connection: UnsafeMutablePointer<Connection>, _ start: Cursor, _ next: Cursor, now: UInt64
    ) -> Bool {
        guard next - start > keyPrefixLength &+ 12, memcmp(start, "VALUE ", 6) == 0,
            memcmp(start + 6, keyPrefix, keyPrefixLength) == 0
        else { return false }
        var cursor = start + (6 &+ keyPrefixLength)
        guard let key = readNumber(&cursor, before: 0x20), let flags = readNumber(&cursor, before: 0x20),
            let length = readNumber(&cursor, before: 0x0d), cursor + 1 == next, flags == UInt64(options.clientFlags),
            length <= UInt64(Int32.max)
        else { return false }
        if findKey(connection, key, start, next) {
            beginValue(connection, length: length, trailer: 2, now: now)
        }
        return true
    }

    /// Goes to the place of a key among those that were asked for; those before it are misses. False: it is none.
    @inline(__always)
    mutating func findKey(
        _ connection: UnsafeMutablePointer<Connection>, _ key: UInt64, _ start: Cursor, _ next: Cursor
    ) -> Bool {
        var seen = connection.pointee.keysSeen
        while seen < connection.pointee.keysOfAnswer && connection.pointee.keys[seen] != key {
            totals.misses &+= 1
            seen &+= 1
        }
        connection.pointee.keysSeen = seen
        guard seen < connection.pointee.keysOfAnswer else {
            fault = "a value for a key that was not asked for here: \(line(start, next))"
            return false
        }
        return true
    }
}

/// Reads digits up to `terminator` and steps over it; nil where there are none, other bytes, a zero in
/// front or too many of them. A line ends in a line feed, which is no digit: it cannot be overrun.
@inline(__always)
func readNumber(_ cursor: inout UnsafeMutablePointer<UInt8>, before terminator: UInt8) -> UInt64? {
    var number: UInt64 = 0
    var digits = 0
    let leadingZero = cursor[0] == 0x30
    while true {
        let byte = cursor[0]
        cursor += 1
        let digit = byte &- 0x30
        guard digit < 10 else { return byte == terminator && digits > 0 ? number : nil }
        digits &+= 1
        if digits > 19 || (leadingZero && digits > 1) { return nil }
        number = number &* 10 &+ UInt64(digit)
    }
}
