/// The hash of keys: 64 bits, keyed with the arena's random seed, so that nobody outside can
/// choose keys that meet in one bucket.
///
/// The construction is that of wyhash (github.com/wangyi-fudan/wyhash, public domain): fold the
/// 128-bit product of two mixed words. Swift's own `Hasher` is seeded for each process and so is
/// of no use in an arena that outlives it.
enum KeyHash {
    private static let first: UInt64 = 0xa076_1d64_78bd_642f
    private static let second: UInt64 = 0xe703_7ed1_a0b4_28db
    private static let third: UInt64 = 0x8ebc_6af0_9c88_c6e3

    @inline(__always)
    private static func fold(_ a: UInt64, _ b: UInt64) -> UInt64 {
        let product = a.multipliedFullWidth(by: b)
        return product.high ^ product.low
    }

    /// SAFETY: reads exactly `count` bytes from `key`: every load below lies within them.
    @inline(__always)
    static func hash(_ key: UnsafeRawPointer, count: Int, seed: UInt64) -> UInt64 {
        // Every operand is mixed with the secret: a known constant alone would let a key make one
        // factor zero, and so collide with all others of its kind.
        let secret = seed ^ third
        let mask = (seed << 32 | seed >> 32) ^ second
        var state = seed ^ first
        var a: UInt64
        var b: UInt64
        if count <= 16 {
            if count >= 8 {
                a = key.loadUnaligned(as: UInt64.self)
                b = key.loadUnaligned(fromByteOffset: count &- 8, as: UInt64.self)
            } else if count >= 4 {
                a = UInt64(key.loadUnaligned(as: UInt32.self))
                b = UInt64(key.loadUnaligned(fromByteOffset: count &- 4, as: UInt32.self))
            } else if count > 0 {
                let head = UInt64(key.load(as: UInt8.self))
                let middle = UInt64(key.load(fromByteOffset: count >> 1, as: UInt8.self))
                let tail = UInt64(key.load(fromByteOffset: count &- 1, as: UInt8.self))
                a = head << 16 | middle << 8 | tail
                b = 0
            } else {
                a = 0
                b = 0
            }
        } else {
            var offset = 0
            while offset &+ 16 < count {
                state = fold(
                    key.loadUnaligned(fromByteOffset: offset, as: UInt64.self) ^ mask,
                    key.loadUnaligned(fromByteOffset: offset &+ 8, as: UInt64.self) ^ state)
                offset &+= 16
            }
            a = key.loadUnaligned(fromByteOffset: count &- 16, as: UInt64.self)
            b = key.loadUnaligned(fromByteOffset: count &- 8, as: UInt64.self)
        }
        return fold(mask ^ UInt64(truncatingIfNeeded: count), fold(a ^ secret, b ^ state))
    }

    /// Eight bits of the hash that the bucket's choice does not use, within 1...254.
    @inline(__always)
    static func tag(_ hash: UInt64) -> UInt8 {
        let bits = UInt8(truncatingIfNeeded: hash >> 56)
        // Both are known by one comparison.
        if _fastPath((bits &+ 1) & 0xfe != 0) { return bits }
        return bits == 0 ? 1 : 254
    }
}
