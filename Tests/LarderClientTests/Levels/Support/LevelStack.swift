import Synchronization

@testable import LarderClient

/// The stacks of levels that all keep the same promises.
enum LevelStack: String, CaseIterable, Sendable {
    case heapAlone, heapOverHeap, ownLevel, cookieJar, servers, larder, memcached, deep

    /// Those with something beyond L1.
    static let deeper = allCases.filter { $0 != .heapAlone }

    /// Those whose last level outlives its cache.
    var isLasting: Bool { ![.heapAlone, .heapOverHeap, .ownLevel].contains(self) }

    func make(
        limits: LevelLimits = LevelLimits(), clock: TestClock = TestClock(), isTimed: Bool = true
    ) async throws -> StackUnderTest {
        let file = TestFile()
        var server: TestServer?
        var levels: [any CacheLevel] = []
        switch self {
        case .heapAlone: break
        case .heapOverHeap: levels = [HeapLevel(name: "second")]
        case .ownLevel: levels = [MapLevel()]
        case .cookieJar: levels = [CookieJarLevel(path: file.path)]
        case .servers: levels = [RemoteLevel(MapServers(clock: clock))]
        case .larder:
            let started = try TestServer()
            levels = [RemoteLevel(started.connection())]
            server = started
        case .memcached:
            let started = try TestServer(executable: TestServer.memcached)
            levels = [
                RemoteLevel(
                    Pooled(LazyPool(size: 2, to: started.address, configuration: started.configuration)))
            ]
            server = started
        case .deep:
            levels = [
                HeapLevel(name: "second"), MapLevel(), CookieJarLevel(path: file.path),
                RemoteLevel(MapServers(clock: clock)),
            ]
        }
        let watched = levels.map { WatchedLevel($0) }
        let removals = Shared<[LevelRemoval]>([])
        let cache = try await LayeredCache(
            name: "L1", limits: limits, levels: watched, clock: isTimed ? clock.cacheClock : clock.sleepless
        ) { removal in
            removals.change { $0.append(removal) }
        }
        return StackUnderTest(
            cache: cache, outer: watched, clock: clock, removals: removals, file: file, server: server)
    }
}

/// A stack, with what a test has to know of it. Values are cookies, which every level takes.
struct StackUnderTest {
    let cache: LayeredCache
    /// Those beyond L1.
    let outer: [WatchedLevel]
    let clock: TestClock
    let removals: Shared<[LevelRemoval]>
    let file: TestFile
    let server: TestServer?

    var levels: [any CacheLevel] { cache.stack }
    var last: any CacheLevel { levels[levels.count - 1] }
    /// How often a level beyond L1 was read.
    var reads: Int { outer.reduce(0) { $0 + $1.reads } }

    static func key(_ name: String) -> String { "host.com|/|\(name)" }

    /// - Parameter seconds: from now on; nil: for ever.
    func write(_ name: String, _ value: String = "1", for seconds: Int64? = nil) async throws {
        let end = seconds.map { clock.now / 1000 + $0 }
        try await cache.write(
            Self.key(name), payload(name, value, end: end), expiration: end.map { .at($0) } ?? .never)
    }

    func payload(_ name: String, _ value: String = "1", end: Int64? = nil) -> [UInt8] {
        Array("host.com\tFALSE\t/\tTRUE\t\(end ?? 0)\t\(name)\t\(value)".utf8)
    }

    func get(_ name: String) async throws -> [UInt8]? { try await cache.get(Self.key(name)) }

    /// The names that a lookup finds.
    func names(_ pattern: String) async throws -> [String] {
        try await cache.lookup(pattern).map { String($0.key.split(separator: "|")[2]) }.sorted()
    }

    /// The names that a level has.
    func names(at level: any CacheLevel) async throws -> [String] {
        try await level.keys().map { String($0.split(separator: "|")[2]) }
    }

    /// Moves the clock when somebody waits for that.
    func advance(_ duration: Duration) async {
        await until { clock.sleepers > 0 }
        clock.advance(duration)
    }

    /// What left a level, as `name reason`.
    func removed(from depth: Int) -> [String] {
        removals.value.filter { $0.depth == depth }
            .map { "\($0.item.key.split(separator: "|")[2]) \($0.reason)" }
    }
}
