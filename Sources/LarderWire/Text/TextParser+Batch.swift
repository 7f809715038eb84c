internal import CLarderWire

/// A key of a batch: offsets count from the start of the buffer that the parser was given.
package struct RetrievalKey: Sendable {
    package var start = 0
    package var length = 0
    /// `END` follows its value.
    package var isLast = false

    package init() {}
}

/// Plain retrievals many keys at a time, so that whoever answers them can fetch what they need together.
extension TextParser {
    /// Takes as many keys as there are, up to `countMax`: the next ones of a `get` of many keys, or those of
    /// `get`s of one key that follow each other. Whatever else comes, and lines that are not whole, are
    /// left to `next`.
    ///
    /// - Parameters:
    ///   - keys: room for `countMax`.
    /// - Returns: the number of keys taken; 0 when the next step is one for `next`.
    package mutating func takeKeys(
        _ base: UnsafePointer<UInt8>, cursor: inout Int, end: Int, _ keys: UnsafeMutablePointer<RetrievalKey>,
        countMax: Int
    ) -> Int {
        retrievalTerminator != 0
            ? takeKeysOfLine(base, &cursor, keys, countMax) : takeLines(base, &cursor, end, keys, countMax)
    }

    /// The lines `get <key>\r\n` from the cursor on.
    @inline(__always)
    private mutating func takeLines(
        _ base: UnsafePointer<UInt8>, _ cursor: inout Int, _ end: Int, _ keys: UnsafeMutablePointer<RetrievalKey>,
        _ countMax: Int
    ) -> Int {
        batchTerminator = 0
        var count = 0
        // "get k\n" is the shortest.
        while count < countMax, end &- cursor >= 6 {
            let line = base + cursor
            // SAFETY: six bytes and more are there.
            guard UInt32(littleEndian: UnsafeRawPointer(line).loadUnaligned(as: UInt32.self)) == 0x20_74_65_67 else { break }
            let rest = end &- cursor &- 4
            var length = larder_find_break(line + 4, rest)
            guard length < rest, length > 0, line[4 &+ length] == UInt8(ascii: "\n") else { break }
            let lineLength = length &+ 5
            if line[3 &+ length] == UInt8(ascii: "\r") { length &-= 1 }
            guard length > 0, length <= Self.keyLengthMax else { break }
            keys[count].start = cursor &+ 4
            keys[count].length = length
            keys[count].isLast = true
            count &+= 1
            cursor &+= lineLength
        }
        if count > 0 { forgetLine() }
        return count
    }

    /// The keys that are left of the line at hand.
    @inline(__always)
    private mutating func takeKeysOfLine(
        _ base: UnsafePointer<UInt8>, _ cursor: inout Int, _ keys: UnsafeMutablePointer<RetrievalKey>,
        _ countMax: Int
    ) -> Int {
        guard isInPlainRetrieval else { return 0 }
        var left = retrievalLength
        // Lines are far shorter than 4 GB.
        batchEnd = UInt32(truncatingIfNeeded: cursor &+ left)
        batchTerminator = retrievalTerminator
        var count = 0
        // SAFETY: as in `nextKey`: what is left of the line is there, and begins with a key.
        while count < countMax, left > 0 {
            let length = larder_find_break(base + cursor, left)
            keys[count].start = cursor
            keys[count].length = length
            keys[count].isLast = false
            count &+= 1
            var taken = length
            while taken < left, base[cursor &+ taken] == UInt8(ascii: " ") { taken &+= 1 }
            cursor &+= taken
            left &-= taken
        }
        retrievalLength = left
        if left == 0, count > 0 {
            keys[count &- 1].isLast = true
            cursor &+= Int(retrievalTerminator)
            retrievalTerminator = 0
        }
        return count
    }

    /// Gives a key of the last batch back, and those behind it: the next one taken is that key.
    package mutating func giveBack(_ key: RetrievalKey, cursor: inout Int) {
        if batchTerminator != 0 {
            cursor = key.start
            retrievalLength = Int(batchEnd) &- key.start
            retrievalTerminator = batchTerminator
        } else {
            cursor = key.start &- 4
        }
    }
}
