import Glibc

/// What a client may say before it has logged in to a server that asks for a password (`-Y`): one kind of
/// `set`, whose key, flags and exptime do not matter and whose value is a name, a space, and a password.
///
/// Nothing here is held for the client but what lies in its input buffer, and all that it says before it has
/// logged in, failed attempts included, may come to `bytesMax`.
package struct TextLogin: Sendable {
    /// What one step came to. Offsets count from the start of the buffer.
    package enum Step: Sendable, Equatable {
        case needMore
        /// Whether these may log in is for the caller to say.
        case credentials(name: Range<Int>, password: Range<Int>)
        case reject(Reply)
        /// Answer, then close.
        case rejectAndClose(Reply)
        /// Close without a word.
        case close
    }

    /// All that a client may send before it has logged in.
    package static let bytesMax = 16 << 10
    /// The words that a line may have.
    package static let wordsMax = 10
    private static let lineLengthMax = TextParser.lineLengthMax
    /// A shorter line, its carriage return counted, is not answered.
    private static let lineLengthMin = 6

    private var bytesSpent = 0
    /// The length of the value that is to come, its line end included; 0 when a line is to come.
    private var valueLength = 0

    package init() {}

    /// Takes the next attempt from base[cursor..<end]; `cursor` is moved past what was taken.
    package mutating func next(_ base: UnsafePointer<UInt8>, cursor: inout Int, end: Int) -> Step {
        // SAFETY: the caller holds base[0..<end], and 0 <= cursor <= end.
        if valueLength == 0 {
            let available = end &- cursor
            guard let newline = memchr(base + cursor, 0x0a, available) else {
                let isTooLong = available > Self.lineLengthMax || available > Self.bytesMax &- bytesSpent
                return isTooLong ? .close : .needMore
            }
            let line = TextLine(
                start: base + cursor, newline: UnsafePointer(newline.assumingMemoryBound(to: UInt8.self)))
            let length = line.length &- 1
            guard spend(line.length), (Self.lineLengthMin...Self.lineLengthMax).contains(length) else { return .close }
            cursor &+= line.length
            guard let announced = Self.valueLength(line) else { return .reject(.unauthenticated) }
            // The length is hostile: it is only compared until it is known to be small.
            guard announced <= Self.bytesMax &- bytesSpent &- 2 else { return .rejectAndClose(.loginTooLong) }
            valueLength = announced &+ 2
        }
        guard end &- cursor >= valueLength else { return .needMore }
        return value(base, &cursor)
    }

    private mutating func value(_ base: UnsafePointer<UInt8>, _ cursor: inout Int) -> Step {
        let start = cursor
        let behind = start &+ valueLength &- 2
        guard spend(valueLength) else { return .close }
        cursor &+= valueLength
        valueLength = 0
        guard base[behind] == UInt8(ascii: "\r"), base[behind &+ 1] == UInt8(ascii: "\n") else {
            return .reject(.badLoginTermination)
        }
        guard let space = memchr(base + start, 0x20, behind &- start) else { return .reject(.badLoginFormat) }
        let nameEnd = UnsafePointer(space.assumingMemoryBound(to: UInt8.self)) - base
        return .credentials(name: start..<nameEnd, password: nameEnd &+ 1..<behind)
    }

    /// False: the client has said too much.
    private mutating func spend(_ count: Int) -> Bool {
        guard count <= Self.bytesMax &- bytesSpent else { return false }
        bytesSpent &+= count
        return true
    }

    /// The length that a line announces; nil when it is not the `set` that it has to be.
    private static func valueLength(_ line: TextLine) -> Int? {
        var words = TextTokens(from: line.start, to: line.contentEnd)
        let command = words.next()
        guard command.start == line.start, command.equals("set") else { return nil }
        for _ in 0..<3 where words.next().isAbsent { return nil }
        let length = words.next()
        guard let number = DecimalText.exactUInt32(length.start, length.length) else { return nil }
        for _ in 5..<wordsMax where words.next().isAbsent { return Int(number) }
        return words.next().isAbsent ? Int(number) : nil
    }
}
