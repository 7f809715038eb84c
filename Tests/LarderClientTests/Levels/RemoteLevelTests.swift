import Testing

@testable import LarderClient

@Suite struct RemoteLevelTests {
    private let clock = TestClock()

    private func level(
        _ servers: any ItemServers & KeyListing, prefix: String = "level:", removals: Shared<[String]>? = nil
    ) -> RemoteLevel {
        let level = RemoteLevel(servers, prefix: prefix)
        level.create(
            LevelContext(clock: clock.cacheClock, isObserved: removals != nil) { item, reason in
                removals?.change { $0.append("\(item.key) \(item.payload) \(reason)") }
            })
        return level
    }

    @Test func valuesAreStoredAsDocumented() async throws {
        let servers = MapServers(clock: clock)
        let level = level(servers)
        try await level.write(LevelItem(key: "ever", payload: [1, 2]))
        try await level.write(LevelItem(key: "ending", payload: [3], endMilliseconds: clock.now + 1500))
        #expect(servers.stored("level:ever")?.bytes == [1, 2])
        #expect(servers.stored("level:ever")?.flags == 0)
        let end = clock.now + 1500
        #expect(
            servers.stored("level:ending")?.bytes
                == (0..<8).reversed().map { UInt8(truncatingIfNeeded: end >> ($0 * 8)) } + [3])
        #expect(servers.stored("level:ending")?.flags == 1 << 10)
        #expect(try await level.get("ending") == LevelItem(key: "ending", payload: [3], endMilliseconds: end))
        #expect(try await level.get("none") == nil)
        #expect(
            try await level.lookup(.everything) == [
                LevelEntry(key: "ending", payloadBytes: 1, endMilliseconds: end),
                LevelEntry(key: "ever", payloadBytes: 2),
            ])
        // The server lets go by itself of what nobody removes.
        clock.advance(.seconds(13))
        #expect(servers.keys == ["level:ever"])
        // What is no level's is no item.
        _ = try await servers.store(
            .set, [NewItem(key: "level:odd", bytes: [1], flags: 1 << 10)], expiration: .never)
        #expect(try await level.get("odd") == nil)
    }

    @Test func leavesWhatIsNotItsOwn() async throws {
        let servers = MapServers(clock: clock)
        let first = level(servers, prefix: "first:")
        let second = level(servers, prefix: "second:")
        _ = try await servers.store(.set, [NewItem(key: "mine", bytes: [1])], expiration: .never)
        for level in [first, second] {
            for key in ["a", "b"] { try await level.write(LevelItem(key: key, payload: [1])) }
        }
        try await first.invalidate(.everything, reason: .removed)
        try await first.write(LevelItem(key: "c", payload: [1]))
        try await first.expunge()
        #expect(servers.keys == ["mine", "second:a", "second:b"])
        #expect(try await second.keys() == ["a", "b"])
    }

    /// Two processes on one server: each item that leaves is reported by one of them.
    @Test func twoLevelsShareTheServer() async throws {
        let servers = MapServers(clock: clock)
        let removals = [Shared<[String]>([]), Shared<[String]>([])]
        let levels = removals.map { level(servers, removals: $0) }
        try await levels[0].write(LevelItem(key: "a", payload: [1], endMilliseconds: clock.now + 1000))
        #expect(try await levels[1].get("a")?.payload == [1])
        try await levels[0].write(LevelItem(key: "b", payload: [2], endMilliseconds: clock.now + 1000))
        // The other one has written it anew: it does not end when the first thinks.
        try await levels[1].write(LevelItem(key: "b", payload: [3], endMilliseconds: clock.now + 5000))
        clock.advance(.seconds(1))
        #expect(try await levels[0].expire(now: clock.now) == clock.now + 4000)
        #expect(try await levels[1].expire(now: clock.now) == clock.now + 4000)
        #expect(removals.flatMap(\.value) == ["a [1] expired"])
        #expect(servers.keys == ["level:b"])
        try await levels[1].invalidate(KeyPattern("*"), reason: .removed)
        try await levels[0].invalidate(KeyPattern("*"), reason: .removed)
        #expect(removals.flatMap(\.value).sorted() == ["a [1] expired", "b [3] removed"])
        #expect(try await levels[0].expire(now: clock.now + 5000) == nil)
    }

    @Test func whatCouldNotBeTakenOutStaysScheduled() async throws {
        struct Down: Error {}
        let servers = MapServers(clock: clock)
        let removals = Shared<[String]>([])
        let level = level(servers, removals: removals)
        try await level.write(LevelItem(key: "a", payload: [1], endMilliseconds: clock.now + 1000))
        clock.advance(.seconds(1))
        servers.fail(with: Down())
        await #expect(throws: CacheError.self) { try await level.expire(now: clock.now) }
        await #expect(throws: CacheError.self) { try await level.write(LevelItem(key: "b", payload: [1])) }
        servers.fail(with: nil)
        #expect(try await level.expire(now: clock.now) == nil)
        #expect(removals.value == ["a [1] expired"])
    }

    @Test func manyKeysAreAskedForInParts() async throws {
        let servers = MapServers(clock: clock)
        let removals = Shared<[String]>([])
        let level = level(servers, removals: removals)
        for number in 0..<250 { try await level.write(LevelItem(key: "k\(number)", payload: [1])) }
        let requests = servers.requests
        #expect(try await level.lookup(KeyPattern("k*")).count == 250)
        #expect(servers.requests == requests + 3)
        try await level.invalidate(KeyPattern("k*"), reason: .removed)
        #expect(removals.value.count == 250)
        #expect(servers.keys.isEmpty)
    }

    @Test func keysThatServersDoNotTakeAreErrors() async throws {
        let server = try TestServer()
        let cache = try await LayeredCache(name: "L1", levels: [RemoteLevel(server.connection())])
        await #expect(throws: CacheError.self) {
            try await cache.write(String(repeating: "k", count: 245), [1])
        }
        try await cache.write(String(repeating: "k", count: 244), [1])
        await #expect(throws: CacheError.self) {
            try await cache.write("large", [UInt8](repeating: 1, count: 2 << 20))
        }
        #expect(try await cache.lookup("*").map(\.payloadBytes) == [1])
        withExtendedLifetime(server) {}
    }
}
