import LarderWire
import Testing

@Suite struct ParseStepTests {
    @Test func stepIsOneByte() {
        #expect(MemoryLayout<ParseStep>.size == 1)
    }

    @Test func rejectionAnswersAndSwallowsNothingByDefault() {
        let rejection = Rejection(reply: .badCommandLine)
        #expect(!rejection.isSilent)
        #expect(rejection.swallowBytes == 0)
        #expect(rejection == Rejection(reply: .badCommandLine, isSilent: false, swallowBytes: 0))
    }
}
