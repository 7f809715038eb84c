import LarderTesting
import Testing

@testable import LarderClient

@Suite struct CompressionTests {
    /// Python's zlib.compress(b"larder " * 20).
    private let fromPython: [UInt8] = [
        0x78, 0x9c, 0xcb, 0x49, 0x2c, 0x4a, 0x49, 0x2d, 0x52, 0xc8, 0x19, 0x0c, 0x14, 0x00, 0x65, 0xbe, 0x34,
        0x09,
    ]

    @Test func anyBytesComeBack() {
        var random = SeededRandom(seed: 4)
        for count in [1, 2, 10, 4095, 4096, 4097, 100_000] {
            // A third of it one byte.
            let bytes = (0..<count).map { _ in
                random.chance(1, in: 3) ? 0 : UInt8.random(in: 0...3, using: &random)
            }
            for level in [1, 6, 9] {
                guard let deflated = Zlib.deflate(bytes, level: level) else {
                    #expect(count < 100)
                    continue
                }
                #expect(deflated.count < bytes.count)
                #expect(Zlib.inflate(deflated, bytesMax: count) == bytes, "seed 4, \(count) bytes")
                #expect(Zlib.inflate(deflated, bytesMax: count - 1) == nil)
            }
        }
    }

    @Test func whatSavesNothingStays() {
        var random = SeededRandom(seed: 5)
        #expect(
            Zlib.deflate((0..<5000).map { _ in UInt8.random(in: 0...255, using: &random) }, level: 9) == nil)
        #expect(Zlib.deflate([], level: 9) == nil)
    }

    @Test func readsPythons() throws {
        let inflated = try #require(Zlib.inflate(fromPython, bytesMax: 1000))
        #expect(String(decoding: inflated, as: UTF8.self) == String(repeating: "larder ", count: 20))
    }

    @Test func damagedBytesAreRefused() {
        var random = SeededRandom(seed: 6)
        #expect(Zlib.inflate([], bytesMax: 100) == nil)
        for count in 0..<fromPython.count {
            #expect(Zlib.inflate(Array(fromPython.prefix(count)), bytesMax: 1000) == nil)
        }
        #expect(Zlib.inflate(fromPython + [0], bytesMax: 1000) == nil)
        for _ in 0..<10_000 {
            var bytes = fromPython
            bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            // No crash, and no more than was allowed.
            #expect((Zlib.inflate(bytes, bytesMax: 1000)?.count ?? 0) <= 1000)
        }
    }

    /// A limit may be any number.
    @Test(arguments: [.max, .max - 1, 1000, 139, 0, -1, .min] as [Int])
    func anyLimit(bytesMax: Int) throws {
        let packing = ValuePacking(compression: nil, inflatedBytesMax: bytesMax)
        let value = EncodedValue(bytes: fromPython, flags: EncodedValue.Flags.zlib)
        let inflated = try? packing.unpack(value)
        // 20 times "larder ".
        #expect((inflated?.bytes.count == 140) == (bytesMax >= 140))
    }
}
