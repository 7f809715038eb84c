import LarderTesting
import Testing

/// Larder and a real memcached must answer the same random binary packets with the same bytes.
///
/// The environment of `DifferentialTests` holds; half as many packets are sent here unless
/// `LARDER_DIFFERENTIAL_COMMANDS` says how many.
@Suite(.serialized) struct BinaryDifferentialTests {
    @Test(arguments: [(1, 1), (4, 6)])
    func packets(threads: Int, connections: Int) throws {
        let seed =
            TestServers.environment("LARDER_DIFFERENTIAL_SEED").flatMap(UInt64.init)
            ?? UInt64.random(in: 1...UInt64(UInt32.max))
        let total = TestServers.environment("LARDER_DIFFERENTIAL_COMMANDS").flatMap(Int.init) ?? 50_000
        print("binary differential: seed \(seed), \(total) packets, \(threads) threads, \(connections) connections")
        let larder = try ServerProcess(executable: TestServers.larder, arguments: ["-t", "\(threads)"])
        // Without its background threads, which hold values now and then: see DifferentialRun.send.
        let memcached = try ServerProcess(
            executable: TestServers.memcached,
            arguments: ["-t", "\(threads)", "-o", "no_lru_maintainer,no_lru_crawler"])
        let runs = try (0..<connections).map { number in
            try BinaryDifferentialRun(
                larder, memcached,
                generator: BinaryCommandGenerator(
                    seed: seed &+ UInt64(number), keyPrefix: connections == 1 ? "" : "c\(number):",
                    flushes: connections == 1),
                seed: seed, label: "seed \(seed), connection \(number), \(threads) threads")
        }
        var sent = 0
        while sent < total {
            for run in runs { sent += try run.send(limit: max(1, total - sent)) }
            for run in runs { try run.compare() }
        }
    }
}
