import Testing

@testable import Soak

/// Values that identify themselves.
struct ValueTests {
    private let seed: UInt64 = 0x1234_5678_9abc_def0

    private func value(_ header: ValueHeader, _ count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        bytes.withUnsafeMutableBytes { buffer in
            guard let start = buffer.baseAddress else { return }
            header.write(to: start, from: 0, to: count, seed: seed)
        }
        return bytes
    }

    private func isWhole(_ bytes: [UInt8], as expected: ValueHeader) -> Bool {
        bytes.withUnsafeBytes { buffer in
            guard let start = buffer.baseAddress else { return false }
            let header = ValueHeader(at: start, seed: seed)
            return header == expected && header.matches(start, count: bytes.count, seed: seed)
        }
    }

    @Test(arguments: [16, 17, 23, 24, 31, 100, 4097])
    func changedBytesAreSeen(length: Int) {
        let header = ValueHeader(key: 0x10_0007, version: 9, length: length, isGrowable: false)
        let bytes = value(header, length)
        #expect(isWhole(bytes, as: header))
        for place in bytes.indices {
            for bit in 0..<8 {
                var changed = bytes
                changed[place] ^= 1 << bit
                #expect(!isWhole(changed, as: header), "byte \(place), bit \(bit)")
            }
        }
    }

    @Test func anotherKeyVersionOrSeedIsSeen() {
        let header = ValueHeader(key: 0x10_0007, version: 9, length: 64, isGrowable: false)
        for other in [
            ValueHeader(key: 0x10_0008, version: 9, length: 64, isGrowable: false),
            ValueHeader(key: 0x10_0007, version: 8, length: 64, isGrowable: false),
            ValueHeader(key: 0x10_0007, version: 9, length: 65, isGrowable: false),
            ValueHeader(key: 0x10_0007, version: 9, length: 64, isGrowable: true),
        ] {
            #expect(!isWhole(value(other, 64), as: header))
        }
    }

    @Test func anAppendedValueGoesOnWhereItEnded() {
        let header = ValueHeader(key: 0x10_0013, version: 3, length: 0, isGrowable: true)
        let whole = value(header, 160)
        var rest = [UInt8](repeating: 0, count: 96)
        rest.withUnsafeMutableBytes { buffer in
            guard let start = buffer.baseAddress else { return }
            header.write(to: start, from: 64, to: 160, seed: seed)
        }
        #expect(value(header, 64) + rest == whole)
        #expect(isWhole(whole, as: header))
    }
}
