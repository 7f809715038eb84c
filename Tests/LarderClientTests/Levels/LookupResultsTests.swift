import Testing

@testable import LarderClient

@Suite struct LookupResultsTests {
    private let entries = [
        LevelEntry(key: "a", payloadBytes: 258), LevelEntry(key: "", payloadBytes: 0),
        LevelEntry(key: "ü", payloadBytes: 1 << 40),
    ]

    @Test func areEncodedAsDocumented() {
        let results = LookupResults(entries)
        #expect(
            results.bytes == [
                0, 0, 1, 2, 0, 0, 0, 1, 0x61, 0,
                0, 0, 0, 0, 0, 0, 0, 0, 0,
                255, 255, 255, 255, 0, 0, 0, 2, 0xC3, 0xBC, 0,
            ])
        #expect(results.map(\.key) == ["a", "", "ü"])
        #expect(results.map(\.payloadBytes) == [258, 0, Int(UInt32.max)])
        #expect(Array(LookupResults(bytes: results.bytes)) == Array(results))
        #expect(Array(LookupResults(bytes: [])).isEmpty)
    }

    /// Whatever bytes they are: what is whole is given, and nothing beyond.
    @Test func walkingEndsWhereTheyAreNotWhole() {
        let bytes = LookupResults(entries).bytes
        for count in 0..<bytes.count {
            let whole = count >= 19 ? 2 : count >= 10 ? 1 : 0
            #expect(Array(LookupResults(bytes: Array(bytes[..<count]))).count == whole, "\(count) bytes")
        }
        #expect(Array(LookupResults(bytes: [0, 0, 0, 1, 255, 255, 255, 255, 1, 0])).isEmpty)
        #expect(Array(LookupResults(bytes: [0, 0, 0, 1, 0, 0, 0, 1, 0x61, 1])).isEmpty)
    }
}
