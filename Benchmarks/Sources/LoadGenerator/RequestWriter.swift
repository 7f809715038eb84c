import Glibc

/// Writes requests of the three protocols. The parts that are the same in each are made once.
///
/// SAFETY: the texts are allocated by `init`, freed by `end` and never written in between. Callers of the
/// writing functions have `longestRequest` bytes of room.
struct RequestWriter {
    struct Text {
        let bytes: UnsafePointer<UInt8>
        let count: Int

        init(_ text: String) {
            let copy = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: max(1, text.utf8.count))
            count = copy.initialize(fromContentsOf: Array(text.utf8))
            bytes = UnsafePointer(copy.baseAddress!)
        }
    }

    typealias Cursor = UnsafeMutablePointer<UInt8>

    private let dialect: Options.Dialect
    /// What stands before the number of a key: in a set, and in a get.
    private let setStart: Text
    private let getStart: Text
    let keyStart: Text
    /// What stands behind it, where that is the same for all sets.
    private let setMiddle: Text?
    let hasExpiry: Bool
    /// Sets store these client flags.
    let clientFlags: UInt32
    /// ` 12345 ` in a text set, ` F12345` in a meta one.
    private let flagsText: Text
    private let values: ValueSource
    /// No request is longer, the few bytes written behind its end included.
    let longestRequest: Int

    init(_ options: Options, values: ValueSource) {
        dialect = options.dialect
        setStart = Text((dialect == .meta ? "ms " : "set ") + options.keyPrefix)
        getStart = Text((dialect == .meta ? "mg " : " ") + options.keyPrefix)
        keyStart = Text(options.keyPrefix)
        hasExpiry = options.expiry != nil
        let isFixed = options.dataSize.count == 1 && !hasExpiry
        clientFlags = options.clientFlags
        let isMeta = dialect == .meta
        flagsText = Text(isMeta ? clientFlags == 0 ? "" : " F\(clientFlags)" : " \(clientFlags) ")
        let size = "\(options.dataSize.upperBound)"
        let middle =
            isMeta ? " \(size)\(clientFlags == 0 ? "" : " F\(clientFlags)")\r\n" : " \(clientFlags) 0 \(size)\r\n"
        setMiddle = isFixed ? Text(middle) : nil
        self.values = values
        let key = keyStart.count + 20
        longestRequest = max(80 + key + options.dataSize.upperBound, 64 + (key + 32) * options.keysPerGet)
    }

    func end() {
        for text in [setStart, getStart, keyStart, flagsText] + (setMiddle.map { [$0] } ?? []) {
            text.bytes.deallocate()
        }
    }

    /// `opaque` comes back in a binary answer.
    @inline(__always)
    func writeSet(key: UInt64, length: Int, expiry: Int, opaque: Int, at start: Cursor) -> Cursor {
        if dialect == .binary {
            let cursor = writeBinarySet(key: key, length: length, expiry: expiry, opaque: opaque, at: start)
            values.write(key: key, length: length, at: cursor)
            return cursor + length
        }
        var cursor = writeDecimal(key, at: write(setStart, at: start))
        if let setMiddle {
            cursor = write(setMiddle, at: cursor)
        } else if dialect == .text {
            cursor = write(flagsText, at: cursor)
            cursor = writeDecimal(UInt64(expiry), at: cursor)
            cursor = writeLiteral(0x20, 1, at: cursor)
            cursor = writeLineEnd(at: writeDecimal(UInt64(length), at: cursor))
        } else {
            cursor = writeDecimal(UInt64(length), at: writeLiteral(0x20, 1, at: cursor))
            cursor = write(flagsText, at: cursor)
            if hasExpiry { cursor = writeDecimal(UInt64(expiry), at: writeLiteral(0x54_20, 2, at: cursor)) }
            cursor = writeLineEnd(at: cursor)
        }
        values.write(key: key, length: length, at: cursor)
        return writeLineEnd(at: cursor + length)
    }

    /// A get of `count` keys. More than one: quiet gets and a no-op behind them, but in the text protocol.
    /// Binary answers bring back the place of a key in the batch: `firstOpaque` is that of the first.
    @inline(__always)
    func writeGet(
        keys: UnsafePointer<UInt64>, count: Int, firstOpaque: Int, opaque: Int, at start: Cursor
    ) -> Cursor {
        switch dialect {
        case .text: writeTextGet(keys, count, at: start)
        case .meta: writeMetaGet(keys, count, at: start)
        case .binary: writeBinaryGet(keys, count, firstOpaque: firstOpaque, opaque: opaque, at: start)
        }
    }

    @inline(__always)
    private func writeTextGet(_ keys: UnsafePointer<UInt64>, _ count: Int, at start: Cursor) -> Cursor {
        var cursor = writeLiteral(0x74_65_67, 3, at: start)
        var index = 0
        while index < count {
            cursor = writeDecimal(keys[index], at: write(getStart, at: cursor))
            index &+= 1
        }
        return writeLineEnd(at: cursor)
    }

    @inline(__always)
    private func writeMetaGet(_ keys: UnsafePointer<UInt64>, _ count: Int, at start: Cursor) -> Cursor {
        var cursor = start
        if count == 1 {
            cursor = writeDecimal(keys[0], at: write(getStart, at: cursor))
            if clientFlags != 0 { cursor = writeLiteral(0x66_20, 2, at: cursor) }  // " f"
            return writeLiteral(0x0a0d_76_20, 4, at: cursor)  // " v\r\n"
        }
        var index = 0
        while index < count {
            cursor = writeDecimal(keys[index], at: write(getStart, at: cursor))
            cursor = writeLiteral(0x7620, 2, at: cursor)  // " v"
            if clientFlags != 0 { cursor = writeLiteral(0x6620, 2, at: cursor) }  // " f"
            cursor = writeLiteral(0x6b20, 2, at: cursor)  // " k"
            cursor = writeLiteral(0x0a0d_71_20, 4, at: cursor)  // " q\r\n"
            index &+= 1
        }
        return writeLiteral(0x0a0d_6e6d, 4, at: cursor)  // "mn\r\n"
    }

    @inline(__always)
    private func writeLineEnd(at cursor: Cursor) -> Cursor { writeLiteral(0x0a_0d, 2, at: cursor) }

    @inline(__always)
    func write(_ text: Text, at cursor: Cursor) -> Cursor {
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
