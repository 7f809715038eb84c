import Testing

@testable import LoadGenerator

struct ValueSourceTests {
    private let source = ValueSource(keyPrefix: "k-", longest: 5000)

    private func value(_ source: ValueSource, key: UInt64, length: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: length + 8)
        bytes.withUnsafeMutableBufferPointer { source.write(key: key, length: length, at: $0.baseAddress!) }
        return Array(bytes.prefix(length))
    }

    private func matches(_ bytes: [UInt8], key: UInt64, offset: Int = 0, length: Int) -> Bool {
        // Eight bytes behind the end may be read.
        (bytes + [UInt8](repeating: 0, count: 8)).withUnsafeBufferPointer {
            source.matches(key: key, length: length, offset: offset, $0.baseAddress!, bytes.count)
        }
    }

    @Test(arguments: [1, 2, 7, 8, 9, 100, 4096, 5000])
    func valueMatchesWholeAndInPieces(length: Int) {
        for key in UInt64(0)..<50 {
            let bytes = value(source, key: key, length: length)
            #expect(matches(bytes, key: key, length: length))
            for cut in [1, 3, 8, length / 2, length - 1] where cut > 0 && cut < length {
                #expect(matches(Array(bytes[..<cut]), key: key, length: length))
                #expect(matches(Array(bytes[cut...]), key: key, offset: cut, length: length))
            }
        }
    }

    @Test(arguments: [1, 7, 8, 9, 100])
    func everyWrongByteShows(length: Int) {
        let bytes = value(source, key: 42, length: length)
        for index in 0..<length {
            var wrong = bytes
            wrong[index] ^= 1
            #expect(!matches(wrong, key: 42, length: length), "byte \(index) of \(length)")
        }
    }

    @Test func valuesDifferByKeyLengthAndPrefix() {
        let bytes = value(source, key: 1, length: 100)
        #expect(bytes != value(source, key: 2, length: 100))
        #expect(bytes.prefix(99) != value(source, key: 1, length: 99)[...])
        #expect(bytes != value(ValueSource(keyPrefix: "other-", longest: 100), key: 1, length: 100))
        // Another run, with another idea of the longest value, still knows it.
        #expect(bytes == value(ValueSource(keyPrefix: "k-", longest: 100), key: 1, length: 100))
    }
}
