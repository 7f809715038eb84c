import Glibc
import LarderWire

/// An input of a parser, and where it is cut: a count, two bytes for each cut, and then the bytes themselves.
struct ParserInput {
    let bytes: [UInt8]
    /// In order; the end of the bytes is the last one.
    let ends: [Int]
    /// A bit or two to choose by.
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

    /// Before bytes that are not cut.
    static let prefix: [UInt8] = [0]

    /// Whether no line is so long that it is given up before its end has come: when that is depends on the cuts.
    var linesEnd: Bool {
        bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: true).allSatisfy {
            $0.count < 2000
        }
    }
}

/// What a parser made of its input, step by step: a number for each, made of all that the step says.
struct ParserSteps: Equatable {
    var digests: [UInt64] = []

    mutating func add(_ digest: Digest) { digests.append(digest.value) }
}

/// A number that stands for a sequence of bytes and numbers (FNV-1a).
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

/// Bytes at an address of their own, with nothing readable behind them: what the sanitizer finds out.
struct Copy: ~Copyable {
    let base: UnsafeMutablePointer<UInt8>
    let count: Int

    init(_ bytes: ArraySlice<UInt8>) {
        count = bytes.count
        // SAFETY: room for all of the bytes, which are all written.
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
    /// All that a request says, but for its value.
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
