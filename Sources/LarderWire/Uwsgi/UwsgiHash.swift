/// The hashes by which a uWSGI finds its items. A dump holds them, since the receiver does not compute them.
package enum UwsgiHash: Sendable {
    case djb33x, murmur2

    /// The hash of a key.
    package func value(of key: UnsafeRawBufferPointer) -> UInt32 {
        switch self {
        case .djb33x: Self.djb33x(key)
        case .murmur2: Self.murmur2(key)
        }
    }

    /// Bytes count as signed, as they do in uWSGI.
    private static func djb33x(_ key: UnsafeRawBufferPointer) -> UInt32 {
        var hash: UInt32 = 5381
        for byte in key { hash = hash &* 33 ^ signed(byte) }
        return hash
    }

    /// MurmurHash2 as uWSGI has it: the bytes of the tail are taken from the beginning of the key.
    private static func murmur2(_ key: UnsafeRawBufferPointer) -> UInt32 {
        let factor: UInt32 = 0x5bd1_e995
        var hash = UInt32(truncatingIfNeeded: key.count)
        for word in 0..<key.count / 4 {
            var part: UInt32 = 0
            for byte in 0..<4 { part |= UInt32(key[word &* 4 &+ byte]) &<< UInt32(byte &* 8) }
            part = part &* factor
            part ^= part &>> 24
            hash = hash &* factor ^ part &* factor
        }
        let tail = key.count % 4
        if tail > 2 { hash ^= signed(key[2]) &<< 16 }
        if tail > 1 { hash ^= signed(key[1]) &<< 8 }
        if tail > 0 { hash = (hash ^ signed(key[0])) &* factor }
        hash = (hash ^ hash &>> 13) &* factor
        return hash ^ hash &>> 15
    }

    private static func signed(_ byte: UInt8) -> UInt32 { UInt32(bitPattern: Int32(Int8(bitPattern: byte))) }
}
