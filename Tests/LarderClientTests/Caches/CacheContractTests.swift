import LarderClient
import Testing

/// The caches that keep the contract.
enum CacheKind: String, CaseIterable, Sendable {
    case memory
    /// A cache of one's own, with the six requirements and no leases.
    case minimal

    func make() throws -> CacheUnderTest {
        let clock = TestClock()
        switch self {
        case .memory:
            return CacheUnderTest(cache: try Self.memory(clock), clock: clock)
        case .minimal:
            return CacheUnderTest(
                cache: MinimalCache(try Self.memory(clock)), clock: clock, leasesNoticeChanges: false)
        }
    }

    static func memory(_ clock: TestClock) throws -> MemoryCache {
        try MemoryCache(memoryBytes: 4 << 20, clock: clock.cacheClock)
    }
}

@Suite struct CacheContractTests {
    @Test(arguments: CacheKind.allCases, CacheContract.cases)
    func keeps(kind: CacheKind, contract: CacheContract) async throws {
        try await contract.check(try kind.make())
    }
}
