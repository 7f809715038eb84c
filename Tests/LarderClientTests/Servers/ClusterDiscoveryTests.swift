import Synchronization
import Testing

@testable import LarderClient

@Suite(.timeLimit(.minutes(1))) struct ClusterDiscoveryTests {
    @Test func theGroupFollowsTheCluster() async throws {
        let cluster = Mutex("1\nname1|10.0.0.1|11211 name2||11212\n")
        let server = try FakeServer { line in
            let text = cluster.withLock { $0 }
            return line == "config get cluster"
                ? .say("CONFIG cluster 0 \(text.utf8.count)\r\n\(text)\r\nEND\r\n") : .hangUp
        }
        let group = ServerGroup([])
        let discovery = ClusterDiscovery(of: group, from: .unixSocket(path: server.path))
        #expect(try await discovery.refresh() == 1)
        #expect(group.members.map(\.address) == [.host("10.0.0.1"), .host("name2", port: 11212)])
        cluster.withLock { $0 = "2\nname1|10.0.0.1|11211\n" }
        #expect(try await discovery.refresh() == 2)
        #expect(group.members.map(\.address) == [.host("10.0.0.1")])
        // A cluster that names nobody changes nothing.
        cluster.withLock { $0 = "3\n\n" }
        #expect(try await discovery.refresh() == 3)
        #expect(group.members.count == 1)
    }

    /// The binary dialect has no word for it.
    @Test func askedInTheMetaDialectWhateverTheGroupSpeaks() async throws {
        let server = try FakeServer { _ in .say("CONFIG cluster 0 16\r\n1\na|10.0.0.1|1 \n\r\nEND\r\n") }
        var configuration = ConnectionConfiguration()
        configuration.dialect = .binary
        let group = ServerGroup([], configuration: configuration)
        let discovery = ClusterDiscovery(of: group, from: .unixSocket(path: server.path))
        #expect(try await discovery.refresh() == 1)
        #expect(group.members.map(\.address) == [.host("10.0.0.1", port: 1)])
    }

    @Test func askedAgainUntilCancelled() async throws {
        let asked = Mutex(0)
        let server = try FakeServer { _ in
            let count = asked.withLock { asked in
                asked += 1
                return asked
            }
            let text = "\(count)\na|10.0.0.\(count)|1\n"
            return .say("CONFIG cluster 0 \(text.utf8.count)\r\n\(text)\r\nEND\r\n")
        }
        let group = ServerGroup([])
        let discovery = ClusterDiscovery(
            of: group, from: .unixSocket(path: server.path), interval: .milliseconds(1))
        let task = Task { await discovery.run() }
        await until { asked.withLock { $0 } > 3 }
        task.cancel()
        await task.value
        #expect(group.members.count == 1)
    }

    @Test(arguments: [
        "", "\n", "x\na|b|1\n", "1\na|b\n", "1\na|b|0\n", "1\na|b|65536\n", "1\n||5\n", "1\na|b|-1\n",
        "1\na|b|c|1\n",
        "99999999999999999999\na|b|1\n",
    ])
    func nonsenseIsAnError(text: String) {
        #expect(throws: MemcacheError.self) {
            try ClusterConfiguration(Array(text.utf8), prefersNames: false)
        }
    }

    @Test func namesWhereTheyArePreferred() throws {
        let bytes = Array("7\r\na.example|10.0.0.1|11211 |10.0.0.2|11211\r\n".utf8)
        let cluster = try ClusterConfiguration(bytes, prefersNames: true)
        #expect(cluster.version == 7)
        #expect(cluster.members.map(\.address) == [.host("a.example"), .host("10.0.0.2")])
    }

    /// A server that is in no cluster says so.
    @Test func aServerWithoutClusterIsAnError() async throws {
        let server = try TestServer()
        await #expect(throws: MemcacheError.self) { try await server.connection().clusterConfiguration() }
    }
}
