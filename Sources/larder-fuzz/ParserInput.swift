import Glibc
import LarderWire

/// The input of a parser and its cuts: a byte with the number of cuts, two bytes for each cut, then the bytes.
struct ParserInput {
    let bytes: [UInt8]
    /// The ends of the pieces, in order. The last one is the end of the bytes.
    let ends: [Int]
    /// Bits that choose the parser's options.
    let choice: UInt8

    private static let cutsMax: UInt8 = 7

    init?(_ input: [UInt8]) {
        guard let first = input.first else { return nil }
        choice = first >> 3
        let count = Int(first & Self.cutsMax)
        guard input.count > 2 * count else { return nil }
        bytes = Array(input[(1 + 2 * count)...])
        let length = bytes.count
        let cuts = (0..<count).map { (Int(input[1 + 2 * $0]) << 8 | Int(input[2 + 2 * $0])) % (length + 1) }
        ends = cuts.sorted() + [length]
    }

    /// The beginning of an input without cuts.
    static let prefix: [UInt8] = [0]

    /// Whether all lines are short. The parser gives up a long line at a point that depends on the cuts.
    var linesEnd: Bool {
        bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: true).allSatisfy {
            $0.count < 2000
        }
    }
}

/// The steps of a parser: for each a digest of its fields.
struct ParserSteps: Equatable {
    var digests: [UInt64] = []

    mutating func add(_ digest: Digest) { digests.append(digest.value) }
}

/// A digest of bytes and numbers (FNV-1a).
struct Digest {
    private(set) var value: UInt64 = 0xcbf2_9ce4_8422_2325

    init(_ kind: String) { add(kind.utf8) }

    mutating func add(_ bytes: some Sequence<UInt8>) {
        for byte in bytes { value = (value ^ UInt64(byte)) &* 0x100_0000_01b3 }
        add(0)
    }
    mutating func add(_ number: some BinaryInteger) {
        value = (value ^ UInt64(truncatingIfNeeded: number)) &* 0x100_0000_01b3
    }
    mutating func add(_ truth: Bool) { add(truth ? 1 : 0) }
}

/// A copy of bytes in an allocation of its own. The address sanitizer reports a read beyond it.
struct Copy: ~Copyable {
    let base: UnsafeMutablePointer<UInt8>
    let count: Int

    init(_ bytes: ArraySlice<UInt8>) {
        count = bytes.count
        // SAFETY: the allocation has room for all bytes, and all of them are written.
        base = .allocate(capacity: count)
        for (offset, byte) in bytes.enumerated() { base[offset] = byte }
    }

    deinit { base.deallocate() }

    func bytes(_ start: Int, _ length: Int) -> UnsafeBufferPointer<UInt8> {
        guard start >= 0, length >= 0, start + length <= count else {
            fault("\(start)+\(length) is outside 0..<\(count)")
        }
        return UnsafeBufferPointer(start: base + start, count: length)
    }
}

extension Digest {
    /// A digest of all fields of a request, without its value.
    init(_ request: Request, in copy: borrowing Copy) {
        self.init("request")
        add(request.verb.rawValue)
        let options = request.options
        for option in [
            options.noReply, options.isQuiet, options.answersMiss, options.wantsKey, options.omitsValue,
            options.createsItem, options.continues, options.wantsCas, options.touches, options.decrements,
            options.hasExptime, options.firstOfRetrieval, options.lastOfRetrieval,
        ] { add(option) }
        add(copy.bytes(request.keyStart, request.keyLength))
        add(request.storeMode.rawValue)
        for number in [
            request.number, request.cas, request.initialValue, request.meta.newCas, request.meta.flags.bits,
        ] {
            add(number)
        }
        for number in [
            request.exptime, Int64(request.clientFlags), Int64(request.meta.vivifyExptime),
            Int64(request.meta.recacheExptime), Int64(request.meta.decodedKeyLength),
            Int64(request.meta.mode),
            Int64(request.packetTag.opcode), Int64(request.packetTag.opaque),
        ] { add(number) }
        add(request.meta.touchIsLast)
        add(request.meta.recacheFollowsTouch)
        add(copy.bytes(Int(request.meta.flagsStart), Int(request.meta.flagsLength)))
    }
}
