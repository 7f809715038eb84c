import LarderTesting
import Testing

/// Larder and a real memcached must answer the same random commands with the same bytes.
///
/// `LARDER_DIFFERENTIAL_COMMANDS` says how many commands a test sends, and
/// `LARDER_DIFFERENTIAL_SEED` which; each test prints its seed.
@Suite(.serialized) struct DifferentialTests {
    @Test(arguments: [1, 4])
    func oneConnection(threads: Int) throws {
        try compare(threads: threads, connections: 1)
    }

    @Test func severalConnections() throws {
        try compare(threads: 4, connections: 6)
    }

    private func compare(threads: Int, connections: Int) throws {
        let seed =
            TestServers.environment("LARDER_DIFFERENTIAL_SEED").flatMap(UInt64.init)
            ?? UInt64.random(in: 1...UInt64(UInt32.max))
        let total = TestServers.environment("LARDER_DIFFERENTIAL_COMMANDS").flatMap(Int.init) ?? 100_000
        print("differential: seed \(seed), \(total) commands, \(threads) threads, \(connections) connections")
        let larder = try ServerProcess(executable: TestServers.larder, arguments: ["-t", "\(threads)"])
        // Without its background threads, which hold values now and then: see DifferentialRun.send.
        let memcached = try ServerProcess(
            executable: TestServers.memcached,
            arguments: ["-t", "\(threads)", "-o", "no_lru_maintainer,no_lru_crawler"])
        let runs = try (0..<connections).map { number in
            try DifferentialRun(
                larder, isNew: true, memcached, isNew: TestServers.memcachedIsNew(),
                generator: CommandGenerator(
                    seed: seed &+ UInt64(number), keyPrefix: connections == 1 ? "" : "c\(number):",
                    flushes: connections == 1, peerIsNew: try TestServers.memcachedIsNew()),
                seed: seed, label: "seed \(seed), connection \(number), \(threads) threads")
        }
        var sent = 0
        while sent < total {
            for run in runs { sent += try run.send(limit: max(1, total - sent)) }
            for run in runs { try run.compare() }
        }
    }
}
