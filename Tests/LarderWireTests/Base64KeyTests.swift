import Foundation
import LarderTesting
import Testing

@testable import LarderWire

/// Keys in base64.
@Suite struct Base64KeyTests {
    private func decoded(_ text: String) -> [UInt8]? {
        let text = Array(text.utf8)
        var out = [UInt8](repeating: 0, count: max(1, text.count))
        let count = text.withUnsafeBufferPointer { text in
            out.withUnsafeMutableBufferPointer { out in
                text.baseAddress.map { Base64Key.decode($0, text.count, into: out.baseAddress!) } ?? 0
            }
        }
        return count == 0 ? nil : Array(out[..<count])
    }

    private func encoded(_ key: [UInt8]) -> String {
        var out = [UInt8](repeating: 0, count: Base64Key.textLengthMax)
        let count = key.withUnsafeBufferPointer { key in
            out.withUnsafeMutableBufferPointer { Base64Key.encode(key.baseAddress!, key.count, into: $0.baseAddress!) }
        }
        return String(decoding: out[..<count], as: UTF8.self)
    }

    /// Foundation's is the reference.
    @Test func everyLengthThereAndBack() {
        var random = SeededRandom(seed: 1)
        for length in 1...255 {
            let key = (0..<length).map { _ in UInt8.random(in: 0...255, using: &random) }
            let text = Data(key).base64EncodedString()
            #expect(encoded(key) == text)
            guard text.utf8.count <= 250 else { continue }
            #expect(decoded(text) == key)
        }
    }

    @Test(arguments: ["", "a", "ab", "abc", "=", "====", "A===", "!!!!", "abcde", "abcdefg"])
    func whatIsNoBase64(text: String) {
        #expect(decoded(text) == nil)
    }

    /// As memcached: bytes of no alphabet do not count, and nothing counts behind the padding.
    @Test func whatMemcachedPassesOver() {
        #expect(decoded("a2*V5") == Array("key".utf8))
        #expect(decoded("a2V5\u{1}") == Array("key".utf8))
        #expect(decoded("YWJjZA==a2V5") == Array("abcd".utf8))
        #expect(decoded("YR==") == Array("a".utf8))
    }

    @Test func anyBytesAtAll() {
        var random = SeededRandom(seed: 2)
        for _ in 0..<20_000 {
            let count = Int.random(in: 0...250, using: &random)
            let letters = Array("abcXYZ019+/== \u{0}".utf8) + [0x80, 0xFF]
            let text = (0..<count).map { _ in letters[Int.random(in: 0..<letters.count, using: &random)] }
            var out = [UInt8](repeating: 0, count: max(1, count))
            let made = text.withUnsafeBufferPointer { text in
                out.withUnsafeMutableBufferPointer { out in
                    text.baseAddress.map { Base64Key.decode($0, text.count, into: out.baseAddress!) } ?? 0
                }
            }
            #expect((0...count * 3 / 4).contains(made))
        }
    }
}
