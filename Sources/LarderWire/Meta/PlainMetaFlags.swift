/// The flags of the last plain `mg`, and what `readFlags` has made of them: a client mostly sends the same ones again, whatever the key,
/// and these are known by comparing sixteen bytes. What is not there is zero, which is in no flag.
struct PlainMetaFlags: Sendable {
    var isQuiet = false
    var wantsCas = false
    var bits: UInt64 = 0
    var told = ToldFlags()
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
