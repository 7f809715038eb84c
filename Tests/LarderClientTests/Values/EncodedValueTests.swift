import FoundationEssentials
import LarderClient
import Testing

/// The bytes and flags that pylibmc, python-memcached and pymemcache write and read.
@Suite struct EncodedValueTests {
    private struct Row: Codable, Equatable, Sendable { var id = 1 }

    private func encoded(_ value: some Codable & Sendable) throws -> String {
        let value = try EncodedValue(encoding: value)
        return "\(value.flags) \(String(decoding: value.bytes, as: UTF8.self))"
    }

    private func decoded<Value: Codable & Sendable>(
        _ flags: UInt32, _ text: String, as type: Value.Type
    ) throws -> Value {
        try EncodedValue(bytes: Array(text.utf8), flags: flags).decoded(as: type)
    }

    @Test func isWrittenAsOthersWriteIt() throws {
        #expect(try encoded("é") == "16 é")
        #expect(try encoded(-5) == "2 -5")
        #expect(try encoded(UInt64.max) == "2 18446744073709551615")
        #expect(try encoded(Int8(7)) == "2 7")
        #expect(try encoded(true) == "2 1")
        #expect(try encoded([UInt8]("raw".utf8)) == "0 raw")
        #expect(try encoded(Data("raw".utf8)) == "0 raw")
        #expect(try encoded(Row()) == "528 {\"id\":1}")
        #expect(try encoded(1.5) == "528 1.5")
        #expect(try encoded([1, 2]) == "528 [1,2]")
    }

    @Test func optionalsAreWhatIsInThem() throws {
        #expect(try encoded(Int?.some(5)) == "2 5")
        #expect(try encoded(Int?.none) == "528 null")
        #expect(try encoded(String?.none) == "528 null")
        #expect(try encoded(Row?.none) == "528 null")
        #expect(try encoded(Row?.some(Row())) == "528 {\"id\":1}")
        #expect(try decoded(528, "null", as: Int?.self) == .none)
        #expect(try decoded(528, "null", as: Row?.self) == .none)
        #expect(try decoded(2, "5", as: Int?.self) == 5)
        #expect(try decoded(16, "null", as: String?.self) == "null")
        #expect(throws: CacheError.self) { try decoded(16, "x", as: Int?.self) }
        #expect(throws: CacheError.self) { try decoded(528, "null", as: Int.self) }
    }

    @Test func isReadAsOthersWroteIt() throws {
        #expect(try decoded(4, "12345678901", as: Int.self) == 12_345_678_901)
        #expect(try decoded(0, "5", as: Int.self) == 5)
        #expect(try decoded(0, "9 ", as: UInt64.self) == 9)
        #expect(try decoded(0, "text", as: String.self) == "text")
        #expect(try decoded(2, "0", as: Bool.self) == false)
        #expect(try decoded(2, "5", as: Double.self) == 5)
        #expect(try decoded(528, "5", as: Int.self) == 5)
        #expect(try decoded(528, "true", as: Bool.self))
        #expect(try decoded(528, "\"a\"", as: String.self) == "a")
        #expect(try decoded(16, "{\"id\":3}", as: Row.self) == Row(id: 3))
        #expect(try decoded(1, "anything", as: [UInt8].self) == Array("anything".utf8))
    }

    private static let noNumbers: [(UInt32, String)] = [
        (1, "5"), (2, ""), (2, "5x"), (2, "300"), (2, "-129"), (2, "5 5"), (8, "5"), (16, "five"), (528, "{"),
        (528, String(repeating: "[", count: 100_000)), (2, String(repeating: "9", count: 100_000)),
        (UInt32.max, "5"),
    ]

    @Test(arguments: noNumbers)
    func whatIsNoneIsRefused(flags: UInt32, text: String) throws {
        let error = #expect(throws: CacheError.self) { try decoded(flags, text, as: Int8.self) }
        #expect(error?.code == .cannotDecode)
    }

    @Test func bytesThatAreNoTextAreRefused() throws {
        let value = EncodedValue(bytes: [0xff, 0xfe], flags: 16)
        #expect(throws: CacheError.self) { try value.decoded(as: String.self) }
        #expect(throws: CacheError.self) { try EncodedValue(bytes: [0xff], flags: 528).decoded(as: Row.self) }
    }

    @Test func whatHasNoBytesIsRefused() throws {
        let error = #expect(throws: CacheError.self) { try EncodedValue(encoding: Double.nan) }
        #expect(error?.code == .cannotEncode)
    }
}
