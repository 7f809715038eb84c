import LarderClient
import Testing

/// The caches that keep the contract.
enum CacheKind: String, CaseIterable, Sendable {
    case memory
    /// A cache of one's own, with the six requirements and no leases.
    case minimal
    case remote
    case remoteCompressed
    case remoteHashedKeys
    case clientDefault
    case clientNamespace
    case multilevel
    case multilevelDeep
    case shared
    case sharedBySystemCalls

    func make() throws -> CacheUnderTest {
        let clock = TestClock()
        let servers = MapServers(clock: clock)
        switch self {
        case .memory:
            return CacheUnderTest(cache: try Self.memory(clock), clock: clock)
        case .minimal:
            return CacheUnderTest(
                cache: MinimalCache(try Self.memory(clock)), clock: clock, leasesNoticeChanges: false,
                tellsTimeLeft: false)
        case .remote:
            return CacheUnderTest(cache: RemoteCache(servers), clock: clock)
        case .remoteCompressed:
            return CacheUnderTest(
                cache: RemoteCache(servers, compression: Compression(bytesMin: 1)), clock: clock)
        case .remoteHashedKeys:
            return CacheUnderTest(
                cache: RemoteCache(servers, keyEncoding: .sha256), clock: clock, hasLongKeys: true)
        case .clientDefault, .clientNamespace:
            let caches: [String: any Cache] = [
                "default": RemoteCache(servers), "membership": try Self.memory(clock), "funds": NullCache(),
            ]
            return CacheUnderTest(
                cache: try CacheClient(caches, defaultNamespace: "default"), clock: clock,
                namespace: self == .clientDefault ? nil : "membership")
        case .multilevel:
            return CacheUnderTest(
                cache: MultilevelCache(near: try Self.memory(clock), far: RemoteCache(servers)), clock: clock)
        case .multilevelDeep:
            let inner = MultilevelCache(near: try Self.memory(clock), far: RemoteCache(servers))
            return CacheUnderTest(
                cache: MultilevelCache(near: try Self.memory(clock), far: inner), clock: clock)
        case .shared, .sharedBySystemCalls:
            let file = TestFile()
            let servers = try ArenaServers(path: file.path, clock: clock)
            let cache = try SharedCache(
                path: file.path, servers: servers, isMapped: self == .shared, clock: clock.cacheClock)
            return CacheUnderTest(cache: cache, clock: clock, file: file)
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
