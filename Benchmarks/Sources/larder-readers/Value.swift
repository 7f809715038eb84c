import Glibc

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct SeededRandom {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        return Self.mix(state)
    }
    static func mix(_ number: UInt64) -> UInt64 {
        var mixed = number
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    /// Half of the time one of the first 64 keys, so that some are written all the time.
    mutating func key(of count: Int) -> Int {
        let word = next()
        return Int(word >> 1) % (word & 1 == 0 ? min(64, count) : count)
    }
}

/// A value that tells which key it is of and which write it was, and whose every byte follows from that.
struct NumberedValue {
    var key: Int
    var number: UInt64

    var flags: UInt32 { UInt32(truncatingIfNeeded: number) }

    /// 16 bytes at least; one in a thousand is larger than a slab.
    var length: Int {
        let word = SeededRandom.mix(number &* 2 &+ 1)
        let place = Int(word >> 32)
        switch word % 1000 {
        case ..<900: return 16 + place % 500
        case ..<990: return 600 + place % 3400
        case ..<999: return 10_000 + place % 50_000
        default: return 300_000 + place % 500_000
        }
    }

    private func word(_ index: Int) -> UInt64 {
        switch index {
        case 0: UInt64(key)
        case 1: number
        default: (number &* 0xD6E8_FEB8_6659_FD93 ^ UInt64(key)) &+ UInt64(index) &* 0x9E37_79B9_7F4A_7C15
        }
    }

    /// `bytes` is of this value's length.
    func write(to bytes: UnsafeMutableRawBufferPointer) {
        for index in 0..<bytes.count / 8 {
            bytes.storeBytes(of: word(index), toByteOffset: index * 8, as: UInt64.self)
        }
        for index in bytes.count & ~7..<bytes.count { bytes[index] = UInt8(truncatingIfNeeded: word(index)) }
    }

    /// What a value says it is; nil when it can be none of `key`'s.
    init?(_ bytes: UnsafeRawBufferPointer, key: Int, flags: UInt32) {
        guard bytes.count >= 16, bytes.loadUnaligned(as: UInt64.self) == UInt64(key) else { return nil }
        self.key = key
        number = bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
        guard bytes.count == length, flags == self.flags, isWhole(bytes) else { return nil }
    }

    init(key: Int, number: UInt64) {
        self.key = key
        self.number = number
    }

    private func isWhole(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var difference: UInt64 = 0
        for index in 0..<bytes.count / 8 {
            difference |= bytes.loadUnaligned(fromByteOffset: index * 8, as: UInt64.self) ^ word(index)
        }
        for index in bytes.count & ~7..<bytes.count {
            difference |= UInt64(bytes[index] ^ UInt8(truncatingIfNeeded: word(index)))
        }
        return difference == 0
    }
}
