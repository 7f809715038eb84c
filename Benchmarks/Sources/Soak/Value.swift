/// The bytes of a value: a header with the key and the version, then words that follow from the header.
///
/// So any client can check a value by itself, eight bytes at a time.
struct ValueHeader: Equatable {
    static let bytes = 16

    var key: UInt32
    var version: UInt32
    /// The length of the value; 0 if `append` makes it longer.
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

    /// The client flags of a plain value: 0 for one version in four.
    @inline(__always)
    var flags: UInt32 { version & 3 == 0 ? 0 : (version &* 0x9e37_79b1) ^ key }

    @inline(__always)
    init(key: UInt32, version: UInt32, length: Int, isGrowable: Bool) {
        self.key = key
        self.version = version
        self.length = UInt32(truncatingIfNeeded: length)
        self.isGrowable = isGrowable
    }

    /// The header at the beginning of a value, not checked yet.
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

    /// Writes bytes `start ..< end` of the endless value that begins with this header.
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

    /// Whether all `count` bytes follow from this header.
    ///
    /// SAFETY: `bytes` has `count` bytes, 16 or more.
    @inline(__always)
    func matches(_ bytes: UnsafeRawPointer, count: Int, seed: UInt64) -> Bool {
        let base = base(seed)
        var difference: UInt64 = 0
        var place = Self.bytes
        // The header's unused bits must match, too.
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
