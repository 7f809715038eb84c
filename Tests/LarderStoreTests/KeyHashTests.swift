import Testing

@testable import LarderStore

@Suite struct KeyHashTests {
    private func hash(_ key: [UInt8], seed: UInt64) -> UInt64 {
        key.withUnsafeBytes { KeyHash.hash($0.baseAddress!, count: $0.count, seed: seed) }
    }

    /// Keys as they are: a name and a number. Low bits choose the bucket, high ones are the tag.
    @Test(arguments: ["key-", "user:session:0000-", "a-prefix-that-is-longer-than-any-block-of-the-hash/"])
    func spreadsEvenly(prefix: String) {
        let bucketCount = 1024
        var buckets = [Int](repeating: 0, count: bucketCount)
        var tags = [Int](repeating: 0, count: 256)
        var seen: Set<UInt64> = []
        let count = 64 * bucketCount
        for number in 0..<count {
            let hash = hash(Array("\(prefix)\(number)".utf8), seed: 7)
            seen.insert(hash)
            buckets[Int(truncatingIfNeeded: hash) & (bucketCount - 1)] += 1
            tags[Int(KeyHash.tag(hash))] += 1
        }
        #expect(seen.count == count)
        // Chi-squared with 1023 degrees of freedom: beyond 1300 once in a million.
        let expected = Double(count / bucketCount)
        let squares = buckets.reduce(0) { $0 + (Double($1) - expected) * (Double($1) - expected) / expected }
        #expect(squares < 1300)
        #expect(tags[0] == 0 && tags[255] == 0)
        #expect(tags[1...254].min()! > count / 256 / 2)
    }

    /// Words that cancel the hash's constants must not make it forget the rest of the key.
    @Test func constantsOfTheHashAreNoWayIn() {
        let constants: [UInt64] = [
            0xa076_1d64_78bd_642f, 0xe703_7ed1_a0b4_28db, 0x8ebc_6af0_9c88_c6e3, 0, UInt64.max,
        ]
        var seen: Set<UInt64> = []
        var count = 0
        for constant in constants {
            for place in 0..<4 {
                for number in 0..<500 {
                    var words: [UInt64] = [1, 2, 3, 4]
                    words[place] = constant
                    words[(place + 1) % 4] = UInt64(number) &* 0x9e37_79b9
                    let key = words.flatMap { word in
                        (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64(8 * $0)) }
                    }
                    seen.insert(hash(key, seed: 7))
                    count += 1
                }
            }
        }
        // Two keys are made twice each: where number is 0 beside the constant 0.
        #expect(seen.count >= count - 8)
    }

    @Test func everyLengthAndByteCounts() {
        var seen: Set<UInt64> = []
        for length in 1...250 { seen.insert(hash([UInt8](repeating: 0, count: length), seed: 7)) }
        #expect(seen.count == 250)
        for length in [1, 3, 7, 8, 15, 16, 17, 33, 250] {
            let key = [UInt8](repeating: 5, count: length)
            for place in 0..<length {
                var other = key
                other[place] ^= 1
                #expect(hash(other, seed: 7) != hash(key, seed: 7), "length \(length), byte \(place)")
            }
        }
    }

    @Test func theSeedCounts() {
        let hashes = Set((0..<1000).map { hash([1, 2, 3, 4, 5], seed: UInt64($0)) })
        #expect(hashes.count == 1000)
    }
}
