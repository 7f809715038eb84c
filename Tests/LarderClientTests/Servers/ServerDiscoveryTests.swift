import Synchronization
import Testing

@testable import LarderClient

@Suite(.timeLimit(.minutes(1))) struct ServerDiscoveryTests {
    struct Unknown: Error {}

    @Test func theGroupFollows() async throws {
        let known = Mutex<[String]?>(["a", "b"])
        let group = ServerGroup([])
        let discovery = ServerDiscovery(of: group) {
            guard let hosts = known.withLock({ $0 }) else { throw Unknown() }
            return hosts.map { GroupMember(.host($0)) }
        }
        #expect(try await discovery.refresh().count == 2)
        #expect(group.members.map(\.address) == [.host("a"), .host("b")])
        known.withLock { $0 = ["b", "c"] }
        try await discovery.refresh()
        #expect(group.members.map(\.address) == [.host("b"), .host("c")])
        // Nobody, and no answer, change nothing.
        known.withLock { $0 = [] }
        #expect(try await discovery.refresh().count == 2)
        known.withLock { $0 = nil }
        await #expect(throws: Unknown.self) { try await discovery.refresh() }
        #expect(group.members.count == 2)
    }

    @Test func itIsAskedAgainUntilCancelledWhateverFails() async throws {
        let asked = Mutex(0)
        var configuration = ConnectionConfiguration()
        configuration.silence()
        let group = ServerGroup([], configuration: configuration)
        let discovery = ServerDiscovery(of: group, interval: .microseconds(100)) {
            let count = asked.withLock { asked in
                asked += 1
                return asked
            }
            if count % 2 == 0 { throw Unknown() }
            return [GroupMember(.host("10.0.0.\(count)"))]
        }
        let task = Task { await discovery.run() }
        await until { asked.withLock { $0 } > 4 }
        task.cancel()
        await task.value
        #expect(group.members.count == 1)
    }

    @Test func aNamesAddressesAreTheServers() async throws {
        #expect(try await HostLookup.addresses(of: "127.0.0.3") == ["127.0.0.3"])
        #expect(try await HostLookup.addresses(of: "::1") == ["::1"])
        #expect(
            try await HostLookup.addresses(of: "localhost").contains { ["127.0.0.1", "::1"].contains($0) })
        let group = ServerGroup([])
        try await ServerDiscovery(of: group, addressesOf: "127.0.0.3", port: 11300).refresh()
        #expect(group.members == [GroupMember(.host("127.0.0.3", port: 11300))])
    }

    @Test func aServiceThatIsNoneIsAnError() async throws {
        let group = ServerGroup([])
        let discovery = ServerDiscovery(of: group, servicesOf: String(repeating: "x", count: 300))
        let error = await #expect(throws: MemcacheError.self) { try await discovery.refresh() }
        #expect(error?.message.contains("no services") == true)
    }

    @Test func aNameThatIsNoneIsAnError() async throws {
        let error = await #expect(throws: MemcacheError.self) {
            // Longer than any name: no server is asked.
            try await HostLookup.addresses(of: String(repeating: "x", count: 300))
        }
        #expect(error?.code == .cannotConnect)
        #expect(error?.message.contains("xxx") == true)
    }
}
