import Glibc

/// What is stored under a key: a function of key and length alone, so that any run can check what any
/// other one stored, and a wrong, cut or mixed-up value shows.
///
/// A value is a piece of one pool of random letters. Where the piece starts and its first eight bytes
/// come from a hash of key and length: making a value is one copy, checking it one comparison.
///
/// SAFETY: `pool` holds `starts + longest` bytes until the process ends; `piece` stays within them
/// because callers pass lengths of at most `longest`. It is never written after `init`.
struct ValueSource: @unchecked Sendable {
    private static let starts: UInt64 = 4096

    private let pool: UnsafeMutablePointer<UInt8>
    private let salt: UInt64
    let longest: Int

    init(keyPrefix: String, longest: Int) {
        self.longest = longest
        salt = keyPrefix.utf8.reduce(0x6c61_7264_6572) { mix($0 ^ UInt64($1)) }
        let size = Int(Self.starts) + longest
        pool = .allocate(capacity: size)
        var random = SeededRandom(seed: 1)
        for index in 0..<size { pool[index] = 0x61 + UInt8(random.next(below: 26)) }
    }

    /// Writes the value of `length` bytes; at least 8 bytes must be writable whatever the length.
    @inline(__always)
    func write(key: UInt64, length: Int, at target: UnsafeMutablePointer<UInt8>) {
        assert(length <= longest, "the pool ends before the value does")
        let hash = hash(key, length)
        memcpy(target, piece(hash), length)
        // What lies over the end of a shorter value is overwritten by what follows it.
        UnsafeMutableRawPointer(target).storeBytes(of: Self.head(hash), as: UInt64.self)
    }

    /// Whether `count` bytes at `bytes` are those of the value from `offset` on.
    @inline(__always)
    func matches(
        key: UInt64, length: Int, offset: Int, _ bytes: UnsafePointer<UInt8>, _ count: Int
    ) -> Bool {
        assert(length <= longest, "the pool ends before the value does")
        let hash = hash(key, length)
        if offset == 0 && count >= 8 {
            return UnsafeRawPointer(bytes).loadUnaligned(as: UInt64.self) == Self.head(hash)
                && memcmp(bytes + 8, piece(hash) + 8, count &- 8) == 0
        }
        return matchesSlowly(hash, offset, bytes, count)
    }

    private func matchesSlowly(
        _ hash: UInt64, _ offset: Int, _ bytes: UnsafePointer<UInt8>, _ count: Int
    ) -> Bool {
        let head = Self.head(hash)
        var index = 0
        while index < count && offset + index < 8 {
            guard bytes[index] == UInt8(truncatingIfNeeded: head >> UInt64(8 * (offset + index))) else {
                return false
            }
            index += 1
        }
        return memcmp(bytes + index, piece(hash) + offset + index, count - index) == 0
    }

    @inline(__always)
    private func hash(_ key: UInt64, _ length: Int) -> UInt64 {
        mix(mix(key ^ salt) ^ UInt64(truncatingIfNeeded: length))
    }

    @inline(__always)
    private func piece(_ hash: UInt64) -> UnsafeMutablePointer<UInt8> {
        pool + Int(truncatingIfNeeded: hash & (Self.starts - 1))
    }

    /// Eight letters from @ to O, little-endian so that they are the same everywhere.
    @inline(__always)
    private static func head(_ hash: UInt64) -> UInt64 {
        ((hash &>> 12) & 0x0f0f_0f0f_0f0f_0f0f | 0x4040_4040_4040_4040).littleEndian
    }
}
