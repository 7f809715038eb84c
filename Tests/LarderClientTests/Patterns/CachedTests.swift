import LarderClient
import Testing

@Suite struct CachedTests {
    private struct Row: Codable, Equatable { var id: Int }
    private struct Broken: Error {}

    private let clock: TestClock
    private let servers: MapServers
    private let cache: RemoteCache
    private let cached: Cached

    init() {
        clock = TestClock()
        servers = MapServers(clock: clock)
        cache = RemoteCache(servers)
        cached = Cached(
            cache, expiration: .after(.seconds(60)), clock: clock.cacheClock)
    }

    @Test func getOrSetMakesWhatIsMissing() async throws {
        let made = Shared(0)
        for _ in 0..<3 {
            let row = try await cached.getOrSet("k") {
                made.next()
                return Row(id: 5)
            }
            #expect(row == Row(id: 5))
        }
        #expect(made.value == 1)
        clock.advance(.seconds(61))
        #expect(try await cache.get("k", as: Row.self) == nil)
    }

    @Test func nilIsNotStored() async throws {
        let none: @Sendable () async throws -> Row? = { nil }
        #expect(try await cached.getOrSet("k", create: none) == nil)
        #expect(try await cached.getOrAdd("k", create: none) == nil)
        #expect(try await cached.getOrCreate("k", create: none) == nil)
        #expect(servers.keys == [])
        #expect(try await cached.getOrCreate("k") { Row?.some(Row(id: 1)) } == Row(id: 1))
        #expect(try await cache.get("k") == Row(id: 1))
    }

    @Test func getOrAddKeepsTheFirst() async throws {
        let mine = try await cached.getOrAdd("k") {
            // Somebody else was faster.
            try await cache.set("k", 1)
            return 2
        }
        #expect(mine == 2)
        #expect(try await cached.getOrAdd("k") { 3 } == 1)
    }

    @Test func setOrAddTellsWhichItIs() async throws {
        #expect(try await cached.setOrAdd("k", 1) == 1)
        #expect(try await cached.setOrAdd("k", 2) == 1)
        #expect(try await cache.get("k") == 1)
    }

    @Test func getOrSetMultiMakesTheMissingOnesAtOnce() async throws {
        try await cache.setMulti(["row:1": 10, "row:2": 20])
        let asked = Shared<[[Int]]>([])
        let make: @Sendable ([Int]) async throws -> [Int: Int] = { missing in
            asked.change { $0.append(missing.sorted()) }
            return Dictionary(uniqueKeysWithValues: missing.filter { $0 < 5 }.map { ($0, $0 * 10) })
        }
        let key: @Sendable (Int) -> String = { "row:\($0)" }
        #expect(
            try await cached.getOrSetMulti([1, 2, 3, 4, 5, 3], key: key, create: make) == [
                1: 10, 2: 20, 3: 30, 4: 40,
            ])
        #expect(try await cached.getOrSetMulti([1, 4], key: key, create: make) == [1: 10, 4: 40])
        #expect(try await cached.getOrSetMulti([5], key: key, create: make) == [:])
        #expect(try await cached.getOrSetMulti([], key: key, create: make) == [:])
        #expect(asked.value == [[3, 4, 5], [5]])
    }

    @Test func whatDependsIsDeleted() async throws {
        try await cached.set("a", 1, dependsOn: "team")
        try await cached.add("b", 1, dependsOn: "team")
        try await cached.add("b", 2, dependsOn: "other")
        _ = try await cached.getOrSet("c", dependsOn: { (value: Int) in "team" + (value == 3 ? "" : "s") }) {
            3
        }
        _ = try await cached.getOrAdd("d", dependsOn: { _ in "team" }) { 4 }
        _ = try await cached.getOrCreate("e", dependsOn: { _ in "team" }) { 5 }
        _ = try await cached.setOrAdd("f", 6, dependsOn: "team")
        let keys = try await cached.dependency("team").keys()
        #expect(Set(keys).isSuperset(of: ["a", "b", "c", "d", "e", "f"]))
        #expect(try await cached.dependency("other").keys() == [])
        try await cached.dependency("team").delete()
        #expect(servers.keys == [])
    }

    @Test(arguments: [Cached.Creation.set, .add, .onePass])
    func aFunctionThatLooksFirst(creation: Cached.Creation) async throws {
        let calls = Shared<[String]>([])
        let items = cached.wrapped("list_items", keys: KeyBuilder("repo"), creation: creation) {
            (locale: String, page: Int) in
            calls.change { $0.append("\(locale) \(page)") }
            return page > 0 ? "\(locale) \(page)" : nil
        }
        for _ in 0..<2 {
            #expect(try await items("en", 1) == "en 1")
            #expect(try await items("de", 1) == "de 1")
            #expect(try await items("en", 0) == nil)
        }
        #expect(calls.value == ["en 1", "de 1", "en 0", "en 0"])
        #expect(servers.keys == ["repo-list_items:'de':1", "repo-list_items:'en':1"])
    }

    // MARK: One pass

    /// Fifty who miss at the same time: one makes it, when all the others are waiting.
    @Test(arguments: CacheKind.allCases)
    func oneMakesItForAll(kind: CacheKind) async throws {
        let test = try kind.make()
        let cached = Cached(test.cache, namespace: test.namespace, clock: test.clock.cacheClock)
        let made = Shared(0)
        let values = try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<50 {
                group.addTask {
                    try await cached.getOrCreate("k") {
                        let number = made.next()
                        while test.clock.sleepers < 49 { await Task.yield() }
                        return number
                    }
                }
            }
            while test.clock.sleepers < 49 { await Task.yield() }
            while try await test.cache.get("k", as: Int.self, namespace: test.namespace) == nil {
                await Task.yield()
            }
            test.clock.advance(.milliseconds(50))
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(values == [Int](repeating: 1, count: 50))
    }

    @Test(arguments: CacheKind.allCases)
    func aCrashedMakerIsNotWaitedForLongerThanTheTimeout(kind: CacheKind) async throws {
        let test = try kind.make()
        let cached = Cached(
            test.cache, namespace: test.namespace, timeout: .seconds(7), clock: test.clock.cacheClock)
        guard case .won = try await test.cache.lease("k", duration: .seconds(7), namespace: test.namespace)
        else {
            Issue.record("no lease")
            return
        }
        let start = test.clock.now
        let value = try await test.clock.running { try await cached.getOrCreate("k") { 2 } }
        #expect(value == 2)
        // The clock moves in steps of ten.
        #expect(test.clock.now - start >= 6000 && test.clock.now - start <= 7010)
    }

    @Test func whoFailsGivesItBackAtOnce() async throws {
        await #expect(throws: Broken.self) {
            try await cached.getOrCreate("k") { () -> Int in throw Broken() }
        }
        // Without the clock moving.
        #expect(try await cached.getOrCreate("k") { 1 } == 1)
    }

    @Test func whoIsCancelledGivesItBack() async throws {
        let task = Task { [cached, clock] in
            try await cached.getOrCreate("k") { () -> Int in
                try await clock.cacheClock.sleep(.seconds(1000))
                return 1
            }
        }
        while clock.sleepers == 0 { await Task.yield() }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        #expect(try await cached.getOrCreate("k") { 2 } == 2)
    }

    /// What was made of what was true before a delete is not stored.
    @Test func aDeleteWhileItIsMade() async throws {
        let old = try await cached.getOrCreate("k") {
            try await cache.delete("k")
            return "old"
        }
        #expect(old == "old")
        #expect(try await cache.get("k", as: String.self) == nil)
    }

    /// The maker takes longer than it may: others go on by themselves, and what they stored stays.
    @Test func aSlowMakerHoldsNobodyUp() async throws {
        let cached = Cached(cache, timeout: .seconds(2), clock: clock.cacheClock)
        let isReleased = Shared(false)
        try await withThrowingTaskGroup(of: Int.self) { [clock] group in
            group.addTask {
                try await cached.getOrCreate("k") {
                    while !isReleased.value { await Task.yield() }
                    return 1
                }
            }
            while servers.keys.isEmpty { await Task.yield() }
            let quick = try await clock.running { try await cached.getOrCreate("k") { 2 } }
            #expect(quick == 2)
            isReleased.change { $0 = true }
            #expect(try await group.next() == 1)
        }
        #expect(try await cache.get("k") == 2)
    }
}
