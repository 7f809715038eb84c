import LarderClient
import Testing

@Suite struct ManyServersSnippets {
    @Test func groups() async throws {
        let servers = try (0..<3).map { _ in try TestServer() }
        let (first, second, third) = (servers[0].address, servers[1].address, servers[2].address)
        let members = servers.map { GroupMember($0.address) }
        var configuration = servers[0].configuration
        configuration.silence()

        // snippet: group
        let group = ServerGroup(
            [GroupMember(first), GroupMember(second), GroupMember(third, weight: 2)],
            configuration: configuration)
        let cache = RemoteCache(group)
        try await cache.setMulti(["user:1": "Ada", "user:2": "Grace", "user:3": "Barbara"])
        let users = try await cache.getMulti(["user:1", "user:2", "user:3"], as: String.self)
        // end
        #expect(users == ["user:1": "Ada", "user:2": "Grace", "user:3": "Barbara"])

        // snippet: rendezvous
        let evenly = ServerGroup(members, distribution: .rendezvous, configuration: configuration)
        let address = evenly.address(for: "user:1")
        // end
        #expect(members.map(\.address).contains { $0 == address })

        // snippet: lenient
        configuration.onFailure = .miss
        let lenient = ServerGroup(
            members, configuration: configuration,
            ejection: Ejection(
                failureCount: 1, absence: Backoff(initial: .seconds(5), longest: .seconds(60))))
        // end
        servers[0].stop()
        let lenientCache = RemoteCache(lenient)
        let numbers = Dictionary(uniqueKeysWithValues: (0..<100).map { ("number:\($0)", $0) })
        // Those of the server that is found to be down are not stored; by then it is out.
        #expect(try await lenientCache.setMulti(numbers).count < 100)
        #expect(lenient.ejectedServers == [first])
        #expect(lenient.address(for: "user:1") != nil)
    }

    @Test func clusters() async throws {
        let server = try FakeServer { line in
            let text = "7\na.example|10.0.0.1|11211 b.example|10.0.0.2|11211\n"
            return line == "config get cluster"
                ? .say("CONFIG cluster 0 \(text.utf8.count)\r\n\(text)\r\nEND\r\n") : .hangUp
        }
        let group = ServerGroup([])
        let endpoint = ServerAddress.unixSocket(path: server.path)

        // snippet: discovery
        let discovery = ClusterDiscovery(of: group, from: endpoint)
        try await discovery.refresh()
        let following = Task { await discovery.run() }
        // end
        #expect(group.members.map(\.address) == [.host("10.0.0.1"), .host("10.0.0.2")])
        following.cancel()
        await following.value
    }

    @Test func discoveryAndRetries() async throws {
        let servers = try [TestServer(), TestServer()]
        let (first, second) = (servers[0].address, servers[1].address)
        let other = ServerGroup([])

        // snippet: found
        let found = ServerDiscovery(of: other) { [GroupMember(first), GroupMember(second)] }
        try await found.refresh()
        // end
        #expect(other.members.map(\.address) == [first, second])

        let group = ServerGroup(other.members, configuration: servers[0].configuration)
        // snippet: retries
        let persistent = RemoteCache(RetryingServers(group))
        try await persistent.set("greeting", "Hello")
        // end
        #expect(try await RemoteCache(group).get("greeting") == "Hello")
    }
}
