import LarderTesting
import Testing

@testable import LarderWire

@Suite struct DecimalTextTests {
    @Test(
        arguments: [
            ("0", 0), ("7", 7), ("007", 7), ("+7", 7), (" 7", 7), ("\t\n\u{b}\u{c}\r 7", 7), ("7 ", 7),
            ("7\t", 7),
            ("7 apples", 7), ("7\u{0}x", 7), ("18446744073709551615", UInt64.max),
            ("00000000000000000000000005", 5), ("-0", 0), (" -0 x", 0),
            // As strtoull has it.
            ("-18446744073709551615", 1), ("-9223372036854775809", UInt64(Int64.max)),
        ] as [(String, UInt64)])
    func lenientUnsigned(text: String, value: UInt64) {
        #expect(read(text, DecimalText.unsigned64) == value)
    }

    @Test(arguments: [
        "", " ", "-", "+", "-1", "-+1", "+-1", "- 1", "-9223372036854775808", "-18446744073709551616", "x", "7x", "7.5",
        "0x10", "18446744073709551616",
        "99999999999999999999999", "\u{0}7",
    ])
    func notLenientUnsigned(text: String) {
        #expect(read(text, DecimalText.unsigned64) == nil)
    }

    @Test(
        arguments: [
            ("0", 0), ("-0", 0), ("-1", -1), ("+1", 1), (" -1", -1), ("-1 x", -1),
            ("9223372036854775807", Int64.max),
            ("-9223372036854775808", Int64.min), ("-9223372036854775807", -Int64.max),
        ] as [(String, Int64)])
    func lenientSigned(text: String, value: Int64) {
        #expect(read(text, DecimalText.signed64) == value)
    }

    @Test(arguments: [
        "", "-", "+", "--1", "-+1", "+-1", "- 1", "1x", "9223372036854775808", "-9223372036854775809",
        "-18446744073709551615", "99999999999999999999",
    ])
    func notLenientSigned(text: String) {
        #expect(read(text, DecimalText.signed64) == nil)
    }

    @Test(
        arguments: [
            ("0", 0), ("-0", 0), ("-1", -1), ("2147483647", Int32.max), ("-2147483648", Int32.min),
            ("00000000001", 1),
        ] as [(String, Int32)])
    func exactSigned(text: String, value: Int32) {
        #expect(read(text, DecimalText.exactInt32) == value)
    }

    @Test(arguments: [
        "", "-", "+1", " 1", "1 ", "1x", "2147483648", "-2147483649", "99999999999", "000000000001",
        "-99999999999",
    ])
    func notExactSigned(text: String) {
        #expect(read(text, DecimalText.exactInt32) == nil)
    }

    @Test func exactUnsigned() {
        #expect(read("0", DecimalText.exactUInt32) == 0)
        #expect(read("4294967295", DecimalText.exactUInt32) == UInt32.max)
        for text in ["", "-", "-1", "+1", "4294967296", "99999999999", "000000000001", "1 "] {
            #expect(read(text, DecimalText.exactUInt32) == nil, "\(text)")
        }
    }

    @Test func exactUnsignedOf64Bits() {
        #expect(read("0", DecimalText.exactUInt64) == 0)
        #expect(read("18446744073709551615", DecimalText.exactUInt64) == UInt64.max)
        #expect(read("0000000000000000000007", DecimalText.exactUInt64) == 7)
        let wrong = ["", "-", "-0", "+1", " 1", "1 ", "1\u{0}", "18446744073709551616", "00000000000000000000007"]
        for text in wrong { #expect(read(text, DecimalText.exactUInt64) == nil, "\(text)") }
    }

    @Test func writesEveryLength() {
        var power: UInt64 = 1
        for _ in 1..<DecimalText.lengthMax {
            for value in [power - 1, power, power + 1, power * 9] { expectWritten(value) }
            power *= 10
        }
        for value in [power - 1, power, power + 1, UInt64.max - 1, UInt64.max] { expectWritten(value) }
    }

    @Test func writesSmallNumbers() {
        for value in 0..<UInt64(2000) { expectWritten(value) }
    }

    @Test func whatIsWrittenIsRead() {
        let seed: UInt64 = 20_260_101
        var random = SeededRandom(seed: seed)
        for _ in 0..<10_000 {
            let value = random.next() >> (random.next() % 64)
            expectWritten(value)
            #expect(read("\(value)", DecimalText.unsigned64) == value, "seed \(seed)")
        }
    }

    private func expectWritten(_ value: UInt64) {
        var bytes = [UInt8](repeating: UInt8(ascii: "!"), count: DecimalText.lengthMax + 1)
        let count = DecimalText.write(value, at: &bytes)
        let text = String(decoding: bytes.prefix(count), as: UTF8.self)
        #expect(text == "\(value)")
        #expect(count == DecimalText.length(of: value))
        #expect(bytes[DecimalText.lengthMax] == UInt8(ascii: "!"))
    }

    /// Reads from a copy without anything behind the last byte.
    private func read<Number>(_ text: String, _ reader: (UnsafePointer<UInt8>, Int) -> Number?) -> Number? {
        let bytes = Array(text.utf8)
        let copy = UnsafeMutablePointer<UInt8>.allocate(capacity: max(bytes.count, 1))
        defer { copy.deallocate() }
        copy.initialize(from: bytes, count: bytes.count)
        return reader(copy, bytes.count)
    }
}
