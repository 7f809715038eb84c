internal import CLarderWire

/// A key of a batch: offsets count from the start of the buffer that the parser was given.
package struct RetrievalKey: Sendable {
    package var start = 0
    package var length = 0
    /// Where its line, or its packet, begins, unless its line has other keys as well.
    package var requestStart = 0
    /// `END` follows its value (`get`).
    package var isLast = false
    /// Nothing is said of a miss (`mg` with `q`, binary quiet gets).
    package var isQuiet = false
    /// The answer repeats the key (binary).
    package var wantsKey = false
    /// What an `mg` asks to be told beside the value: one flag; 0 for nothing; 1 for more, which are at
    /// `flagsStart`.
    package var flag: UInt8 = 0
    package var flagsLength: UInt16 = 0
    package var flagsStart = 0
    /// What a binary answer repeats.
    package var tag = PacketTag()

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
            guard UInt32(littleEndian: UnsafeRawPointer(line).loadUnaligned(as: UInt32.self)) == 0x20_74_65_67 else {
                break
            }
            let rest = end &- cursor &- 4
            var length = larder_find_break(line + 4, rest)
            guard length < rest, length > 0, line[4 &+ length] == UInt8(ascii: "\n") else { break }
            let lineLength = length &+ 5
            if line[3 &+ length] == UInt8(ascii: "\r") { length &-= 1 }
            guard length > 0, length <= Self.keyLengthMax else { break }
            keys[count].requestStart = cursor
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
            cursor = key.requestStart
        }
    }

    // MARK: mg

    /// Flags of an `mg` that need nothing but the item: `v q k f s c O`.
    private static var plainFlags: UInt64 {
        "vqkfscO".utf8.reduce(0) { $0 | 1 &<< UInt64($1 &- 64) }
    }
    /// The longest opaque, its `O` included.
    private static let opaqueLengthMax = 32

    /// Takes the lines `mg <key> <flags>\r\n` from the cursor on whose flags are plain, in single spaces, each
    /// once, and ask for the value. Whatever else comes is left to `next`.
    ///
    /// - Parameter wantsCas: set if one of them asks for the cas.
    package mutating func takeMetaGets(
        _ base: UnsafePointer<UInt8>, cursor: inout Int, end: Int, _ keys: UnsafeMutablePointer<RetrievalKey>,
        countMax: Int, wantsCas: inout Bool
    ) -> Int {
        batchTerminator = 0
        var count = 0
        // "mg k v\r\n" is the shortest.
        while count < countMax, end &- cursor >= 8 {
            let line = base + cursor
            // SAFETY: eight bytes and more are there, and every further one is compared with `end` first.
            let word = UInt32(littleEndian: UnsafeRawPointer(line).loadUnaligned(as: UInt32.self))
            guard word & 0xff_ffff == 0x20_67_6d else { break }
            let length = larder_find_break(line + 3, end &- cursor &- 3)
            guard length > 0, length <= Self.keyLengthMax else { break }
            let flagsStart = cursor &+ 4 &+ length
            guard flagsStart < end, base[flagsStart &- 1] == UInt8(ascii: " ") else { break }
            if !lastMetaFlags.begin(base + flagsStart, end &- flagsStart) {
                guard takePlainFlags(base, flagsStart, end) else { break }
            }
            if lastMetaFlags.wantsCas { wantsCas = true }
            keys[count].requestStart = cursor
            keys[count].start = cursor &+ 3
            keys[count].length = length
            keys[count].isQuiet = lastMetaFlags.isQuiet
            keys[count].flag = lastMetaFlags.told
            keys[count].flagsStart = flagsStart
            keys[count].flagsLength = lastMetaFlags.length
            count &+= 1
            cursor = flagsStart &+ Int(lastMetaFlags.length) &+ 2
        }
        if count > 0 { forgetLine() }
        return count
    }

    /// Reads the flags from `start`, the byte behind a space, to the end of the line into `lastMetaFlags`; false for
    /// flags that are not plain.
    @inline(never)
    private mutating func takePlainFlags(_ base: UnsafePointer<UInt8>, _ start: Int, _ end: Int) -> Bool {
        // SAFETY: a byte of the key is before the space, and every further one is compared with `end` first.
        var place = start &- 1
        var seen: UInt64 = 0
        // Each turn begins at the space before a flag.
        while end &- place >= 4, base[place] == UInt8(ascii: " ") {
            let letter = base[place &+ 1]
            guard letter >= 64, letter < 127 else { break }
            let bit = 1 as UInt64 &<< UInt64(letter &- 64)
            guard Self.plainFlags & bit != 0, seen & bit == 0 else { break }
            var next = place &+ 2
            if letter == UInt8(ascii: "O") {
                next = place &+ 1 &+ larder_find_break(base + place + 1, end &- place &- 1)
                if base[next &- 1] == UInt8(ascii: "\r") { next &-= 1 }
                guard next &- place &- 1 <= Self.opaqueLengthMax else { break }
            }
            seen |= bit
            place = next
        }
        guard seen & Self.bit("v") != 0, end &- place >= 2, base[place] == UInt8(ascii: "\r"),
            base[place &+ 1] == UInt8(ascii: "\n")
        else { return false }
        let told = seen & ~(Self.bit("v") | Self.bit("q"))
        lastMetaFlags.isQuiet = seen & Self.bit("q") != 0
        lastMetaFlags.wantsCas = seen & Self.bit("c") != 0
        // The place of a single bit is the letter's.
        lastMetaFlags.told =
            told & (told &- 1) != 0 ? 1 : told == 0 ? 0 : UInt8(truncatingIfNeeded: 64 &+ told.trailingZeroBitCount)
        lastMetaFlags.length = UInt16(truncatingIfNeeded: place &- start)
        lastMetaFlags.remember(base + start, count: place &+ 2 &- start)
        return true
    }

    @inline(__always)
    private static func bit(_ letter: Unicode.Scalar) -> UInt64 { 1 &<< UInt64(UInt8(ascii: letter) &- 64) }
}

/// The plain flags of the last `mg`, and what they mean: a client mostly sends the same ones again, whatever the key,
/// and these are known by comparing sixteen bytes. What is not there is zero, which is in no flag.
struct PlainMetaFlags: Sendable {
    var isQuiet = false
    var wantsCas = false
    /// As `RetrievalKey.flag`.
    var told: UInt8 = 0
    /// The bytes of the flags.
    var length: UInt16 = 0
    /// The flags with their line end, and where they are longer nothing that is ever found.
    private var text = SIMD2<UInt64>(repeating: UInt64.max)
    /// Which of sixteen bytes count.
    private var mask = SIMD2<UInt64>(repeating: 0)

    /// Whether the flags are those that were remembered.
    ///
    /// SAFETY: of the `count` bytes at `start` the first sixteen are read, and where there are fewer than eight, those
    /// before them: the shortest `mg` line has eight.
    @inline(__always)
    func begin(_ start: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        let bytes = UnsafeRawPointer(start)
        var low: UInt64
        var high: UInt64 = 0
        if count >= 8 {
            low = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
            let second = min(8, count &- 8)
            high = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: second, as: UInt64.self))
            high >>= UInt64(truncatingIfNeeded: 8 &- second) &* 8
        } else {
            guard count > 0 else { return false }
            low = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: count &- 8, as: UInt64.self))
            low &>>= UInt64(truncatingIfNeeded: 8 &- count) &* 8
        }
        return (low & mask[0] ^ text[0]) | (high & mask[1] ^ text[1]) == 0
    }

    /// SAFETY: `count` bytes are read at `start`.
    mutating func remember(_ start: UnsafePointer<UInt8>, count: Int) {
        text = SIMD2(repeating: UInt64.max)
        mask = SIMD2(repeating: 0)
        guard count <= 16 else { return }
        text = SIMD2(repeating: 0)
        for place in 0..<count {
            let shift = UInt64(place & 7) &* 8
            text[place &>> 3] |= UInt64(start[place]) &<< shift
            mask[place &>> 3] |= 0xff &<< shift
        }
    }
}
