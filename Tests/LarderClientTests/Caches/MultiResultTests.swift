import LarderTesting
import Testing

@testable import LarderClient

/// The values that can be read are returned, and each other key has an error.
@Suite(.timeLimit(.minutes(2))) struct MultiResultTests {
    private static let keys = (0..<60).map { "user:\($0)" }

    @Test func aValueOfAnotherTypeHasAnError() async throws {
        let cache = RemoteCache(MapServers(clock: TestClock()))
        try await cache.setMulti(["one": 1, "two": 2])
        try await cache.set("text", "two")
        let result = await cache.getMultiResult(["one", "text", "none", "two"], as: Int.self)
        #expect(result.values == ["one": 1, "two": 2])
        #expect(result.failures.mapValues(\.code) == ["text": .cannotDecode])
        #expect(result.failures["text"]?.message.contains("text") == true)
    }

    @Test func anInvalidKeyHasAnError() async throws {
        let cache = RemoteCache(MapServers(clock: TestClock()))
        try await cache.set("one", 1)
        let long = String(repeating: "k", count: 251)
        let result = await cache.getMultiResult(["one", "", long], as: Int.self)
        #expect(result.values == ["one": 1])
        #expect(result.failures.mapValues(\.code) == ["": .badKey, long: .badKey])
    }

    @Test func aServerThatIsDownFailsItsOwnKeys() async throws {
        let servers = try (0..<3).map { _ in try TestServer() }
        var configuration = servers[0].configuration
        configuration.silence()
        let group = ServerGroup(
            servers.map { GroupMember($0.address) }, configuration: configuration, ejection: nil)
        let values = Dictionary(uniqueKeysWithValues: Self.keys.map { ($0, $0) })
        let cache = RemoteCache(group)
        #expect(try await cache.setMulti(values) == [])
        let lost = Set(Self.keys.filter { group.address(for: $0) == servers[1].address })
        #expect(!lost.isEmpty)
        servers[1].stop()
        for each in [cache, RemoteCache(RetryingServers(group))] {
            let result = await each.getMultiResult(Self.keys, as: String.self)
            #expect(Set(result.failures.keys) == lost)
            #expect(result.values == values.filter { !lost.contains($0.key) })
            let outages = result.failures.filter { $0.value.isOutage }
            #expect(outages.count == lost.count)
        }
        await #expect(throws: CacheError.self) { try await cache.getMulti(Self.keys, as: String.self) }
        await group.close()
    }

    @Test func anUnknownNamespaceFailsAllKeys() async throws {
        let cache = try CacheClient(["default": NullCache()], defaultNamespace: "default")
        let result = await cache.getMultiResult(["a", "b"], as: Int.self, namespace: "other")
        #expect(result.failures.mapValues(\.code) == ["a": .unknownNamespace, "b": .unknownNamespace])
        #expect(await cache.getMultiResult(["a"], as: Int.self).failures.isEmpty)
    }
}
