/// The hashes of libmemcached that pylibmc and others place keys with.
public enum KeyHash: Sendable, Hashable {
    /// Bob Jenkins' hash, libmemcached's own choice; bytes count as signed, as on the machines that run it.
    case oneAtATime
    /// The first four bytes of MD5.
    case md5

    func value(of bytes: some Collection<UInt8>) -> UInt32 {
        switch self {
        case .oneAtATime:
            var hash: UInt32 = 0
            for byte in bytes {
                hash &+= UInt32(bitPattern: Int32(Int8(bitPattern: byte)))
                hash &+= hash << 10
                hash ^= hash >> 6
            }
            hash &+= hash << 3
            hash ^= hash >> 11
            hash &+= hash << 15
            return hash
        case .md5:
            return Self.md5Words(Array(bytes))[0]
        }
    }

    /// MD5 as four numbers, the least significant byte of each first.
    static func md5Words(_ bytes: [UInt8]) -> [UInt32] {
        var words: [UInt32] = [0, 0, 0, 0]
        for (index, byte) in Digest.md5(bytes).enumerated() {
            words[index / 4] |= UInt32(byte) << UInt32(index % 4 * 8)
        }
        return words
    }
}

/// MurmurHash3 of 32 bits, for which pymemcache's clients are the model.
enum MurmurHash {
    static func value(of bytes: [UInt8]) -> UInt32 {
        var hash: UInt32 = 0
        var index = 0
        while index + 4 <= bytes.count {
            let word =
                UInt32(bytes[index]) | UInt32(bytes[index + 1]) << 8 | UInt32(bytes[index + 2]) << 16
                | UInt32(bytes[index + 3]) << 24
            hash ^= scrambled(word)
            hash = (hash << 13 | hash >> 19) &* 5 &+ 0xE654_6B64
            index += 4
        }
        var tail: UInt32 = 0
        for (place, byte) in bytes[index...].enumerated() { tail |= UInt32(byte) << UInt32(place * 8) }
        if index < bytes.count { hash ^= scrambled(tail) }
        hash ^= UInt32(truncatingIfNeeded: bytes.count)
        hash = (hash ^ hash >> 16) &* 0x85EB_CA6B
        hash = (hash ^ hash >> 13) &* 0xC2B2_AE35
        return hash ^ hash >> 16
    }

    private static func scrambled(_ word: UInt32) -> UInt32 {
        let product = word &* 0xCC9E_2D51
        return (product << 15 | product >> 17) &* 0x1B87_3593
    }
}
