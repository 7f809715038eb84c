import CLarderArena
import LarderTesting
import Testing

@testable import LarderStore

/// The parts that a lookup is made of, against their definitions.
@Suite struct IndexPartTests {
    @Test func tagsAreUpperBitsButTwo() {
        for bits in UInt64(0)...255 {
            let expected = bits == 0 ? 1 : bits == 255 ? 254 : UInt8(bits)
            #expect(KeyHash.tag(bits << 56 | 0xff_ffff_ffff_ffff) == expected)
            #expect(KeyHash.tag(bits << 56) == expected)
        }
    }

    /// Linear hashing: as many bits as there are whole levels, and one more below the split.
    @Test func bucketsAreOfLinearHashing() {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("buckets: seed \(seed)")
        var random = SeededRandom(seed: seed)
        for count in Array(UInt64(1)...300) + [1 << 31, 1 << 31 + 1, 1 << 32 - 1] {
            var low: UInt64 = 1
            while low * 2 <= count { low *= 2 }
            for _ in 0..<20 {
                let hash = random.next()
                let expected = hash % low < count - low ? hash % (2 * low) : hash % low
                let found = StoreState.bucketNumber(hash, count: count)
                #expect(found == Int(expected), "\(hash) of \(count), seed \(seed)")
            }
        }
        // Of a damaged file.
        #expect(StoreState.bucketNumber(UInt64.max, count: 0) == 0)
    }

    @Test func keysDifferInEachByte() {
        for length in 1...70 {
            let key = (0..<length).map { UInt8($0 + 1) }
            #expect(larder_keys_equal(key, key, UInt64(length)))
            for place in 0..<length {
                for bit in [UInt8(1), 0x80] {
                    var other = key
                    other[place] ^= bit
                    #expect(!larder_keys_equal(key, other, UInt64(length)), "byte \(place) of \(length)")
                }
            }
        }
    }

    /// `isUseNew` of a lookup is whether `markUsed` would change the item.
    @Test(arguments: [false, true])
    func usesAreNewUntilTheCountIsFull(isSizeAware: Bool) throws {
        var configuration = StoreConfiguration(memoryBytes: 1 << 20)
        configuration.isSizeAware = isSizeAware
        let store = try Store(configuration)
        let session = try store.makeSession()
        session.begin(now: 1000)
        defer { session.end() }
        for flags in [UInt32(0), 12345, UInt32.max] {
            for expiry in [Int64.max, 50_000] {
                let key = Array("key\(flags)-\(expiry)".utf8)
                key.withUnsafeBytes { bytes in
                    let hashed = session.hashed(bytes.baseAddress!, length: bytes.count)
                    _ = session.store(
                        .set, hashed, value: bytes.baseAddress!, valueLength: 3, clientFlags: flags, expiry: expiry,
                        now: 1000)
                    var lookup = Lookup(key: bytes.baseAddress!, keyLength: bytes.count)
                    var uses = 0
                    repeat {
                        session.lookUp(&lookup, count: 1, wantsCas: false, now: 1000)
                        #expect(lookup.clientFlags == flags && lookup.valueLength == 3 && lookup.value != nil)
                        guard lookup.isUseNew else { break }
                        uses += 1
                        session.markUsed(&lookup, now: 1000)
                    } while uses < 100
                    #expect(uses == (isSizeAware ? 15 : 3))
                    session.lookUp(&lookup, count: 1, wantsCas: false, now: 60_000)
                    #expect((lookup.value == nil) == (expiry != Int64.max))
                    #expect(lookup.foundDead == (expiry != Int64.max))
                }
            }
        }
    }
}
