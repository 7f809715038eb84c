import LarderTesting
import Testing

@testable import LarderWire

/// The quick ways of `DecimalText` for client flags, lengths and exptimes.
@Suite struct QuickNumberTests {
    private static let edges: [UInt64] = [
        0, 1, 9, 10, 11, 99, 100, 101, 199, 200, 999, 1000, 1001, 9999, 10_000, 10_001, 65_535, 99_999, 100_000,
        999_999, 1_000_000, 99_999_999, 100_000_000, 4_294_967_294, 4_294_967_295,
    ]

    @Test func everyNumberOfFiveDigitsIsWrittenAsFlags() {
        let numbers = Array(0..<UInt64(100_100)) + Self.edges
        let wrong = numbers.first { value in
            written(value) { DecimalText.writeFlags(UInt32(value), at: $0) } != Array("\(value)".utf8)
        }
        #expect(wrong == nil)
    }

    @Test func everyNumberOfFiveDigitsIsWrittenAsALine() {
        let numbers = Array(0..<UInt64(100_100)) + Self.edges + [4_294_967_296, UInt64(Int.max)]
        let wrong = numbers.first { value in
            // The line end is there, and is not counted.
            written(value) { DecimalText.writeLine(Int(value), at: $0) &+ 2 } != Array("\(value)\r\n".utf8)
        }
        #expect(wrong == nil)
    }

    /// Nothing is written behind the room that is promised.
    private func written(_ value: UInt64, _ write: (UnsafeMutablePointer<UInt8>) -> Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0xaa, count: DecimalText.lengthMax + 3)
        let count = write(&bytes)
        guard bytes[DecimalText.lengthMax + 2] == 0xaa else { return [] }
        return Array(bytes.prefix(count))
    }

    /// A word as it is loaded from the first eight bytes.
    private static func word(_ bytes: [UInt8]) -> UInt64 {
        bytes.prefix(8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    }

    @Test func everyNumberOfSixDigitsIsRead() {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("numbers behind a space: seed \(seed)")
        var random = SeededRandom(seed: seed)
        let wrong = (0..<1_000_000).first { value in
            // Zeros in front, as many as fit, and any bytes behind a space.
            let text = "\(value)"
            let zeros = String(repeating: "0", count: Int(random.next() % UInt64(7 - text.utf8.count)))
            var bytes = Array(" \(zeros)\(text) ".utf8)
            let length = bytes.count - 1
            while bytes.count < 8 { bytes.append(UInt8(truncatingIfNeeded: random.next())) }
            let found = DecimalText.number(behindSpace: Self.word(bytes))
            return found?.value != value || found?.length != length
        }
        #expect(wrong == nil, "seed \(seed)")
    }

    /// Every byte at every place of a number: it ends there, or is refused.
    @Test func everyByteEndsANumber() {
        for place in 1...7 {
            for byte in UInt8.min...UInt8.max {
                var bytes = Array(" 1234567".utf8)
                bytes[place] = byte
                let found = DecimalText.number(behindSpace: Self.word(bytes))
                // `:` to `?` are left to the general way, and so is what has no digit, or too many.
                let mayEnd = !(0x30...0x3f).contains(byte)
                let isRead = mayEnd && place > 1
                #expect((found != nil) == isRead, "byte \(byte) at \(place)")
                guard let found else { continue }
                #expect(found.length == place)
                #expect(found.value == Int(String(decoding: bytes[1..<place], as: UTF8.self)))
            }
        }
    }

    /// `:` to `?` differ from digits in the lower half only.
    @Test func noByteBehindTheDigitsIsADigit() {
        for place in 1...6 {
            for byte in UInt8(0x3a)...0x3f {
                var bytes = Array(" 123456 ".utf8)
                bytes[place] = byte
                #expect(DecimalText.number(behindSpace: Self.word(bytes)) == nil, "byte \(byte) at \(place)")
            }
        }
    }

    @Test func nothingButASpaceComesInFront() {
        for byte in UInt8.min...UInt8.max where byte != 0x20 {
            let bytes = [byte] + Array("123 456".utf8)
            #expect(DecimalText.number(behindSpace: Self.word(bytes)) == nil, "byte \(byte)")
        }
    }

    private static let texts = [
        "0", "1", "9", "10", "99", "100", "12345", "99999", "100000", "999999", "1000000", "9999999", "12345678",
        "999999999", "1000000000", "4294967295", "4294967296", "99999999999", "18446744073709551616", "00", "007",
        "000000", "0000007", "00012345", "-1", "-0", "+5", "", " 1", "1:2", ":", "?5", "12a", "a", "1.5", "12\t", "\r",
    ]

    /// A set with each of these as flags, exptime or length, cut at each byte: what is taken quickly is what the general
    /// way finds, and sets are taken quickly that are plain and whole.
    @Test(arguments: texts)
    func setsAreReadAsInTheGeneralWay(text: String) {
        for value in ["", "v", "0123456789", String(repeating: "v", count: 99), String(repeating: "v", count: 100)] {
            for numbers in ["\(text) 0 \(value.utf8.count)", "0 \(text) \(value.utf8.count)", "0 0 \(text)"]
                + ["12345 \(text) \(value.utf8.count)", "\(text) 60 \(value.utf8.count)", "12345 60 \(text)"]
            {
                let bytes = Array("set key \(numbers)\r\n\(value)\r\n".utf8)
                for count in 0...bytes.count { compare(Array(bytes[..<count])) }
                // With another request behind it, of which nothing may be taken.
                compare(bytes + Array("get 1234567890123\r\n".utf8))
            }
        }
    }

    @Test(arguments: ["0 0 1", "1 0 1", "12345 0 1", "999999 0 1", "12345 60 1", "0 86400 1", "7 2592000 000001"])
    func plainSetsAreTakenQuickly(numbers: String) {
        #expect(quickly(Array("set key \(numbers)\r\nv\r\n".utf8)) != nil)
    }

    private struct Found: Equatable {
        var keyLength, valueStart, valueLength, end: Int
        var clientFlags: UInt32
        var exptime: Int64
    }

    /// The request is copied to memory of its own size. The address sanitizer then finds a read past its end.
    private func quickly(_ bytes: [UInt8]) -> Found? {
        let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: max(1, bytes.count))
        defer { memory.deallocate() }
        memory.initialize(from: bytes, count: bytes.count)
        var set = ArrivedSet()
        var parser = TextParser()
        var cursor = 0
        guard parser.takeSet(memory, cursor: &cursor, end: bytes.count, &set) else { return nil }
        return Found(
            keyLength: set.keyLength, valueStart: set.valueStart, valueLength: set.valueLength, end: cursor,
            clientFlags: set.clientFlags, exptime: set.exptime)
    }

    private func compare(_ bytes: [UInt8]) {
        guard let found = quickly(bytes) else { return }
        var parser = TextParser()
        var request = Request()
        var cursor = 0
        let step = parser.next(bytes, cursor: &cursor, end: bytes.count, request: &request)
        let expected = Found(
            keyLength: request.keyLength, valueStart: request.valueStart, valueLength: request.valueLength, end: cursor,
            clientFlags: request.clientFlags, exptime: request.exptime)
        let isSame = step == .request && found == expected
        #expect(isSame, "\(String(decoding: bytes, as: UTF8.self))")
    }
}
