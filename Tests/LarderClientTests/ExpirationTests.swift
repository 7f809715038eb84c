import Testing

@testable import LarderClient

@Suite struct ExpirationTests {
    @Test(arguments: [
        (Expiration.never, Int64(0)), (.after(.seconds(1)), 1), (.after(.milliseconds(1)), 1),
        (.after(.milliseconds(1001)), 2), (.after(.zero), -1), (.after(.seconds(-5)), -1),
        (.after(.seconds(2_592_000)), 2_592_000), (.after(.seconds(2_592_001)), 1_702_592_001),
        (.after(.milliseconds(2_592_000_001)), 1_702_592_001), (.after(.seconds(Int64.max)), 0),
        (.after(.seconds(UInt64.max)), 0), (.after(.zero - .seconds(UInt64.max)), -1),
        (.at(1_800_000_000), 1_800_000_000), (.at(5), -1), (.at(-5), -1),
    ])
    func onTheWire(expiration: Expiration, seconds: Int64) {
        #expect(expiration.wireSeconds(now: 1_700_000_000) == seconds)
    }

    @Test(arguments: [
        (Duration.zero, Int64(0)), (.microseconds(1), 1), (.milliseconds(-1), -1), (.seconds(3), 3000),
        (.seconds(Int64.max), .max), (.seconds(Int64.min), .min), (.seconds(UInt64.max), .max),
        (.zero - .seconds(UInt64.max), .min),
    ])
    func inMilliseconds(duration: Duration, milliseconds: Int64) {
        #expect(duration.wholeMilliseconds == milliseconds)
    }
}
