internal import CLarderWire
import Glibc

/// `mg` lines that follow each other.
extension TextParser {
    /// Flags of an `mg` that need nothing but the item: `v q k f s c O`.
    private static var plainFlags: UInt64 {
        "vqkfscO".utf8.reduce(0) { $0 | 1 &<< UInt64($1 &- 64) }
    }
    /// A plain line has no more bytes of flags than this.
    private static let plainFlagsLengthMax = 255

    /// Takes the lines `mg <key> <flags>\r\n` from the cursor on that ask for the value and whose flags are plain. What
    /// else comes is left to `nextLine`.
    @inline(never)
    mutating func takeMetaGets(
        _ base: UnsafePointer<UInt8>, _ cursor: inout Int, _ end: Int, _ request: inout Request, _ room: StepRoom,
        _ countMax: Int
    ) -> ParseStep {
        let keys = room.keys
        var count = 0
        var wantsCas = false
        // "mg k v\r\n" is the shortest.
        while count < countMax, end &- cursor >= 8 {
            let line = base + cursor
            // SAFETY: eight bytes and more are there, and every further one is compared with `end` first.
            let word = UInt32(littleEndian: UnsafeRawPointer(line).loadUnaligned(as: UInt32.self))
            guard word & 0xff_ffff == Self.metaGetWord else { break }
            let length = larder_find_break(line + 3, end &- cursor &- 3)
            guard length > 0, length <= Self.keyLengthMax else { break }
            let flagsStart = cursor &+ 4 &+ length
            guard flagsStart < end, base[flagsStart &- 1] == UInt8(ascii: " ") else { break }
            if !lastMetaFlags.begin(base + flagsStart, end &- flagsStart) {
                guard rememberFlags(base, flagsStart, end) else { break }
            }
            if lastMetaFlags.wantsCas { wantsCas = true }
            keys[count].requestStart = cursor
            keys[count].start = cursor &+ 3
            keys[count].length = length
            keys[count].isQuiet = lastMetaFlags.isQuiet
            keys[count].told = lastMetaFlags.told
            keys[count].flags.bits = lastMetaFlags.bits
            keys[count].flagsStart = flagsStart
            keys[count].flagsLength = lastMetaFlags.length
            count &+= 1
            cursor = flagsStart &+ Int(lastMetaFlags.length) &+ 2
        }
        guard count > 0 else { return nextLine(base, &cursor, end, &request, room, countMax) }
        didTakeLines(count, .meta, wantsCas: wantsCas)
        return .retrieval
    }

    /// Reads the flags from `start` to the end of the line into `lastMetaFlags`; false for flags that are not plain, or
    /// are wrong.
    @inline(never)
    private mutating func rememberFlags(_ base: UnsafePointer<UInt8>, _ start: Int, _ end: Int) -> Bool {
        guard let newline = memchr(base + start, 0x0a, end &- start) else { return false }
        let line = TextLine(start: base + start, newline: UnsafePointer(newline.assumingMemoryBound(to: UInt8.self)))
        let length = line.contentEnd - line.start
        guard line.terminatorLength == 2, length > 0, length <= Self.plainFlagsLengthMax else { return false }
        var request = Request()
        var tokens = TextTokens(from: line.start, to: line.contentEnd)
        // No plain flag looks at the key.
        let key = TextTokens.Token(start: line.start, length: 0)
        guard readFlags(&tokens, key, &request) == nil, !request.meta.opaqueIsTooLong else { return false }
        let bits = request.meta.flags.bits
        guard bits & ~Self.plainFlags == 0, bits & Self.bit("v") != 0 else { return false }
        lastMetaFlags.isQuiet = bits & Self.bit("q") != 0
        lastMetaFlags.wantsCas = bits & Self.bit("c") != 0
        lastMetaFlags.bits = bits
        lastMetaFlags.told = bits & Self.bit("O") != 0 ? .inLine : Self.told(line.start, length)
        lastMetaFlags.length = UInt16(truncatingIfNeeded: length)
        lastMetaFlags.remember(line.start, count: length &+ 2)
        return true
    }

    /// The letters of `k f s c` in the order in which they stand: no letter comes twice, so there are four at most.
    private static func told(_ flags: UnsafePointer<UInt8>, _ length: Int) -> ToldFlags {
        var (letters, shift): (UInt32, UInt32) = (0, 0)
        for place in 0..<length where place == 0 || flags[place &- 1] == UInt8(ascii: " ") {
            let letter = flags[place]
            guard letter >= 64, bit(Unicode.Scalar(letter)) & (bit("k") | bit("f") | bit("s") | bit("c")) != 0 else {
                continue
            }
            letters |= UInt32(letter) &<< shift
            shift &+= 8
        }
        return ToldFlags(letters: letters)
    }

    @inline(__always)
    private static func bit(_ letter: Unicode.Scalar) -> UInt64 { 1 &<< UInt64(UInt8(ascii: letter) &- 64) }
}
