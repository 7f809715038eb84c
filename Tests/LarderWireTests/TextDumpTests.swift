import LarderWire
import Testing

@Suite struct TextDumpTests {
    private static let item = DumpedItem(
        expiryTime: 1_700_000_100, accessTime: 1_700_000_000, cas: 7, wasFetched: true, totalBytes: 64,
        valueBytes: 3, clientFlags: 5)

    private func line(_ form: KeyDumpForm, _ key: [UInt8], _ item: DumpedItem = item) -> String {
        let room = 2 * TextDump.lineLengthMax
        var out = [UInt8](repeating: 0xee, count: room)
        let length = key.withUnsafeBytes { key in
            TextDump.encode(form, key: key.baseAddress!, keyLength: key.count, item, at: &out)
        }
        #expect(out[TextDump.lineLengthMax...].allSatisfy { $0 == 0xee }, "wrote beyond its room")
        return String(decoding: out[..<length], as: UTF8.self)
    }

    @Test func metadump() {
        #expect(
            line(.metadump, Array("key".utf8))
                == "key=key exp=1700000100 la=1700000000 cas=7 fetch=yes cls=1 size=64 flags=5 \n")
        var item = Self.item
        item.expiryTime = nil
        item.wasFetched = false
        #expect(
            line(.metadump, Array("a b\u{1}%/~-._ä".utf8), item)
                == "key=a%20b%01%25%2F~-._%C3%A4 exp=-1 la=1700000000 cas=7 fetch=no cls=1 size=64 flags=5 \n")
    }

    @Test func mgdump() {
        #expect(line(.mgdump, Array("key".utf8)) == "mg key\r\n")
        // What a word of a text command cannot hold is given in base 64.
        #expect(line(.mgdump, Array("a b".utf8)) == "mg YSBi b\r\n")
        #expect(line(.mgdump, [0]) == "mg AA== b\r\n")
        #expect(line(.mgdump, [13, 10]) == "mg DQo= b\r\n")
        #expect(line(.mgdump, [0xff, 0x20, 0xfe, 0x3e]) == "mg /yD+Pg== b\r\n")
    }

    @Test func cachedump() {
        #expect(line(.cachedump, Array("key".utf8)) == "ITEM key [3 b; 1700000100 s]\r\n")
        var item = Self.item
        item.expiryTime = nil
        #expect(line(.cachedump, Array("key".utf8), item) == "ITEM key [3 b; 0 s]\r\n")
    }

    @Test(arguments: [KeyDumpForm.metadump, .mgdump, .cachedump])
    func theLongestLineHasRoom(form: KeyDumpForm) {
        let item = DumpedItem(
            expiryTime: Int64.max, accessTime: Int64.min, cas: UInt64.max, wasFetched: false,
            totalBytes: Int.max, valueBytes: Int.max, clientFlags: UInt32.max)
        #expect(line(form, [UInt8](repeating: 0x20, count: 255), item).utf8.last == UInt8(ascii: "\n"))
    }

    @Test func everyByteIsSpelledSoThatItCanBeRead() {
        for byte in UInt8.min...UInt8.max {
            let text = line(.metadump, [byte]).split(separator: " ")[0].dropFirst(4)
            let decoded = text.count == 3 ? UInt8(text.dropFirst(), radix: 16) : text.utf8.first
            #expect(decoded == byte)
        }
    }
}
