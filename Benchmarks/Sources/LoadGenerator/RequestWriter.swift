import Glibc

/// Writes requests of the text protocol. The parts that are the same in each are made once.
///
/// SAFETY: the texts live until the process ends and are never written after `init`. Callers of the
/// writing functions have `longestRequest` bytes of room.
struct RequestWriter {
    private struct Text {
        let bytes: UnsafePointer<UInt8>
        let count: Int

        init(_ text: String) {
            let copy = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: max(1, text.utf8.count))
            count = copy.initialize(fromContentsOf: Array(text.utf8))
            bytes = UnsafePointer(copy.baseAddress!)
        }
    }

    private let setStart: Text
    private let keyStart: Text
    /// ` FLAGS EXPIRY LENGTH\r\n`, where it is the same for all sets.
    private let setMiddle: Text?
    private let values: ValueSource
    /// No request is longer, the few bytes written behind its end included.
    let longestRequest: Int

    init(_ options: Options, values: ValueSource) {
        setStart = Text("set " + options.keyPrefix)
        keyStart = Text(" " + options.keyPrefix)
        let fixed = options.dataSize.count == 1 && options.expiry == nil
        setMiddle = fixed ? Text(" 0 0 \(options.dataSize.upperBound)\r\n") : nil
        self.values = values
        let key = keyStart.count + 20
        longestRequest = max(64 + key + options.dataSize.upperBound, 16 + key * options.keysPerGet)
    }

    typealias Cursor = UnsafeMutablePointer<UInt8>

    @inline(__always)
    func writeSet(key: UInt64, length: Int, expiry: Int, at start: Cursor) -> Cursor {
        var cursor = writeDecimal(key, at: write(setStart, at: start))
        if let setMiddle {
            cursor = write(setMiddle, at: cursor)
        } else {
            cursor = writeLiteral(0x20_30_20, 3, at: cursor)
            cursor = writeDecimal(UInt64(expiry), at: cursor)
            cursor = writeLiteral(0x20, 1, at: cursor)
            cursor = writeDecimal(UInt64(length), at: cursor)
            cursor = writeLineEnd(at: cursor)
        }
        values.write(key: key, length: length, at: cursor)
        return writeLineEnd(at: cursor + length)
    }

    @inline(__always)
    func writeGet(at cursor: Cursor) -> Cursor { writeLiteral(0x74_65_67, 3, at: cursor) }

    @inline(__always)
    func writeKey(_ key: UInt64, at cursor: Cursor) -> Cursor {
        writeDecimal(key, at: write(keyStart, at: cursor))
    }

    @inline(__always)
    func writeLineEnd(at cursor: Cursor) -> Cursor { writeLiteral(0x0a_0d, 2, at: cursor) }

    @inline(__always)
    private func write(_ text: Text, at cursor: Cursor) -> Cursor {
        memcpy(cursor, text.bytes, text.count)
        return cursor + text.count
    }

    /// Stores 4 bytes of which `count` are meant.
    @inline(__always)
    private func writeLiteral(_ bytes: UInt32, _ count: Int, at cursor: Cursor) -> Cursor {
        UnsafeMutableRawPointer(cursor).storeBytes(of: bytes.littleEndian, as: UInt32.self)
        return cursor + count
    }
}

/// Writes a number and returns the place behind it; 20 bytes are enough for each.
@inline(__always)
func writeDecimal(_ number: UInt64, at start: UnsafeMutablePointer<UInt8>) -> UnsafeMutablePointer<UInt8> {
    var digits = 1
    var bound: UInt64 = 10
    while digits < 20 && number >= bound {
        digits &+= 1
        bound = digits < 20 ? bound &* 10 : bound
    }
    var rest = number
    var index = digits
    while index > 0 {
        index &-= 1
        let (quotient, digit) = rest.quotientAndRemainder(dividingBy: 10)
        start[index] = 0x30 &+ UInt8(truncatingIfNeeded: digit)
        rest = quotient
    }
    return start + digits
}
