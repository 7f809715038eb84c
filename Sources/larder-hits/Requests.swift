import Glibc
import LarderTesting

/// The requests of a mix, the same for every cache: all of it follows from the mix and a seed.
struct Requests: Sendable {
    let mix: Mix
    /// The keys asked for, by number.
    let keys: [UInt32]
    private let seed: UInt64

    /// Bytes of every key.
    static let keyBytes = 20

    init(_ mix: Mix, seed: UInt64) {
        self.mix = mix
        self.seed = seed
        var random = SeededRandom(seed: seed)
        let zipf = ZipfDistribution(count: mix.keyCount, exponent: mix.exponent)
        var nextWonder = mix.keyCount
        let count = mix.warmUpRequests + mix.countedRequests
        keys = (0..<count).map { _ in
            if mix.oneHitWondersPercent > 0, random.next(below: 100) < mix.oneHitWondersPercent {
                nextWonder += 1
                return UInt32(nextWonder)
            }
            return UInt32(zipf.next(&random))
        }
    }

    /// A number that belongs to a key for good, whichever trait it decides.
    private func trait(_ key: UInt32, _ which: UInt64) -> UInt64 {
        mix64(UInt64(key) &* 0x9e37_79b9_7f4a_7c15 &+ seed &* 31 &+ which)
    }

    func valueBytes(_ key: UInt32) -> Int {
        let range = mix.valueBytes
        guard range.count > 1 else { return range.lowerBound }
        let share = Double(trait(key, 1) >> 11) * 0x1p-53
        let low = log(Double(range.lowerBound))
        return Int(exp(low + share * (log(Double(range.upperBound)) - low)).rounded())
    }

    /// Whole seconds that a key's value lives; 0: for good.
    func lifetimeSeconds(_ key: UInt32) -> Int {
        guard mix.expires else { return 0 }
        let bits = trait(key, 2)
        return bits & 1 == 0 ? 0 : 2 + Int((bits >> 1) % 5)
    }

    /// Writes a key: hexadecimal, `keyBytes` of it.
    func writeKey(_ key: UInt32, to bytes: UnsafeMutablePointer<UInt8>) {
        let spread = trait(key, 3)
        for place in 0..<Self.keyBytes {
            let digit =
                place < 8
                ? UInt8(truncatingIfNeeded: UInt64(key) >> UInt64(4 * place)) & 15
                : UInt8(truncatingIfNeeded: spread >> UInt64(4 * (place - 8))) & 15
            bytes[place] = digit < 10 ? 48 + digit : 87 + digit
        }
    }
}

private func mix64(_ number: UInt64) -> UInt64 {
    var random = SeededRandom(seed: number)
    return random.next()
}
