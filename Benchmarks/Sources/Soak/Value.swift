/// The bytes of a value: a header that says which key and version it is of, and words that follow from the header.
///
/// A value can be judged without asking the one who wrote it, eight bytes at a time.
struct ValueHeader: Equatable {
    static let bytes = 16

    var key: UInt32
    var version: UInt32
    /// How long the value is; 0 of one that `append` makes longer.
    var length: UInt32
    /// Whether `append` may have made it longer.
    var isGrowable: Bool

    /// The first and second words, mixed with the campaign's seed.
    @inline(__always)
    func words(_ seed: UInt64) -> (UInt64, UInt64) {
        let first = (UInt64(key) &<< 32 | UInt64(version)) ^ seed
        let second = (UInt64(length) | (isGrowable ? 1 &<< 40 : 0)) ^ (seed &* 0xd6e8_feb8_6659_fd93)
        return (first, second)
    }

    /// Client flags of a plain value, which are 0 for one version in four.
    @inline(__always)
    var flags: UInt32 { version & 3 == 0 ? 0 : (version &* 0x9e37_79b1) ^ key }

    @inline(__always)
    init(key: UInt32, version: UInt32, length: Int, isGrowable: Bool) {
        self.key = key
        self.version = version
        self.length = UInt32(truncatingIfNeeded: length)
        self.isGrowable = isGrowable
    }

    /// What a value says that it is; nothing is known yet of whether that is true.
    ///
    /// SAFETY: `bytes` has 16 bytes at least.
    @inline(__always)
    init(at bytes: UnsafeRawPointer, seed: UInt64) {
        let first = bytes.loadUnaligned(as: UInt64.self) ^ seed
        let second = bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self) ^ (seed &* 0xd6e8_feb8_6659_fd93)
        key = UInt32(truncatingIfNeeded: first &>> 32)
        version = UInt32(truncatingIfNeeded: first)
        length = UInt32(truncatingIfNeeded: second)
        isGrowable = second &>> 32 == 1 &<< 8
    }

    @inline(__always)
    private func base(_ seed: UInt64) -> UInt64 {
        let (first, second) = words(seed)
        return mixed(first ^ (second &<< 17 | second &>> 47))
    }

    /// Writes bytes `start ..< end` of the value without end whose beginning is this header.
    ///
    /// SAFETY: `target` has room for `end - start` bytes; `start` is a multiple of 8.
    func write(to target: UnsafeMutableRawPointer, from start: Int, to end: Int, seed: UInt64) {
        let (first, second) = words(seed)
        let base = base(seed)
        var place = start
        while place + 8 <= end {
            let word = place == 0 ? first : place == 8 ? second : wordOfBody(base, place)
            target.storeBytes(of: word, toByteOffset: place - start, as: UInt64.self)
            place += 8
        }
        guard place < end else { return }
        var rest = wordOfBody(base, place)
        while place < end {
            target.storeBytes(
                of: UInt8(truncatingIfNeeded: rest), toByteOffset: place - start, as: UInt8.self)
            rest &>>= 8
            place += 1
        }
    }

    /// Whether all `count` bytes are those that follow from this header.
    ///
    /// SAFETY: `bytes` has `count` bytes, 16 or more.
    @inline(__always)
    func matches(_ bytes: UnsafeRawPointer, count: Int, seed: UInt64) -> Bool {
        let base = base(seed)
        var difference: UInt64 = 0
        var place = Self.bytes
        // The header itself: a bit that has no meaning must not differ either.
        let (first, second) = words(seed)
        difference |= bytes.loadUnaligned(as: UInt64.self) ^ first
        difference |= bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self) ^ second
        while place &+ 8 <= count {
            difference |=
                bytes.loadUnaligned(fromByteOffset: place, as: UInt64.self) ^ wordOfBody(base, place)
            place &+= 8
        }
        if place < count {
            var rest = wordOfBody(base, place)
            while place < count {
                difference |= UInt64(bytes.load(fromByteOffset: place, as: UInt8.self)) ^ (rest & 0xff)
                rest &>>= 8
                place &+= 1
            }
        }
        return difference == 0
    }
}

@inline(__always)
private func wordOfBody(_ base: UInt64, _ place: Int) -> UInt64 {
    base &+ UInt64(truncatingIfNeeded: place) &* 0x9e37_79b9_7f4a_7c15
}

@inline(__always)
func mixed(_ number: UInt64) -> UInt64 {
    var bits = number
    bits = (bits ^ (bits &>> 30)) &* 0xbf58_476d_1ce4_e5b9
    bits = (bits ^ (bits &>> 27)) &* 0x94d0_49bb_1331_11eb
    return bits ^ (bits &>> 31)
}
