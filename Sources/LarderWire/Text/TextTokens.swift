import Glibc

/// The words of one line, left to right. Words are parted by any number of spaces; every
/// other byte, a tab or a NUL among them, belongs to a word.
struct TextTokens {
    /// SAFETY: `position <= end` always, and all bytes between the two belong to a line that
    /// the caller keeps in place while it holds this value. Nothing outside is read.
    var position: UnsafePointer<UInt8>
    let end: UnsafePointer<UInt8>

    /// - Parameter end: behind the last byte of the line, its `\r\n` not counted.
    @inline(__always)
    init(from start: UnsafePointer<UInt8>, to end: UnsafePointer<UInt8>) {
        self.position = start
        self.end = end
    }

    /// One word; `length` is 0 when there was none left.
    struct Token {
        let start: UnsafePointer<UInt8>
        let length: Int

        var isAbsent: Bool { length == 0 }

        func equals(_ text: StaticString) -> Bool {
            length == text.utf8CodeUnitCount && memcmp(start, text.utf8Start, length) == 0
        }
    }

    /// Steps over spaces, and tells whether a word follows them.
    @inline(__always)
    mutating func skipSpaces() -> Bool {
        while position < end, position.pointee == UInt8(ascii: " ") { position += 1 }
        return position < end
    }

    /// The next word, found with the C library's vectorised search: for keys.
    @inline(__always)
    mutating func next() -> Token {
        _ = skipSpaces()
        let start = position
        let rest = end - start
        if let space = memchr(start, Int32(UInt8(ascii: " ")), rest) {
            position = UnsafePointer(space.assumingMemoryBound(to: UInt8.self))
        } else {
            position = end
        }
        return Token(start: start, length: position - start)
    }

    /// The next word as a number when it is nothing but digits and few enough of them to need
    /// no check for overflow; -1 otherwise, and then the word is still there for `next()`.
    ///
    /// - Parameter digitsMax: at most 18.
    @inline(__always)
    mutating func nextPlainNumber(digitsMax: Int = 18) -> Int64 {
        guard skipSpaces() else { return -1 }
        var next = 0
        let (value, digits) = DecimalText.digits(position, &next, end - position)
        // More digits than fit wrap around, and are then too many.
        guard digits > 0, digits <= digitsMax, position + next == end || position[next] == UInt8(ascii: " ") else {
            return -1
        }
        position += next
        return value
    }

    /// Whether the last word of `start..<end` is `noreply` and another stands before it.
    @inline(__always)
    static func endWithNoReply(_ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>) -> Bool {
        var last = end
        while last > start, (last - 1).pointee == UInt8(ascii: " ") { last -= 1 }
        guard last - start > 8 else { return false }
        // SAFETY: the eight bytes before `last` lie within start..<end, as just checked.
        let word = UnsafeRawPointer(last - 8).loadUnaligned(as: UInt64.self)
        // " noreply", first byte lowest.
        return UInt64(littleEndian: word) == 0x79_6c_70_65_72_6f_6e_20
    }

    /// The last word of `start..<end`.
    static func last(_ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>) -> Token {
        var last = end
        while last > start, (last - 1).pointee == UInt8(ascii: " ") { last -= 1 }
        var first = last
        while first > start, (first - 1).pointee != UInt8(ascii: " ") { first -= 1 }
        return Token(start: first, length: last - first)
    }
}
