import CLarderSystem
import Glibc
import LarderStore

/// Hit ratios of seeded mixes of requests, and what is left when the sizes of values change.
@main struct LarderHits {
    private static let usage = """
        usage: larder-hits [--size-aware] [MIX...]              a store in this process
               larder-hits --memcached PORT | --redis PORT MIX...  a server at 127.0.0.1
               larder-hits --shift [--size-aware]               values of 100 B, 10 KB and 900 KB in turn
               larder-hits --slices                             how long a slice of the upkeep takes
               larder-hits --list                               the mixes, and their megabytes
        """

    static func main() throws {
        var names: [String] = []
        var server: (dialect: ServerDialect, port: UInt16)?
        var isSizeAware = false
        var arguments = (0..<larder_argument_count()).map { String(cString: larder_argument($0)) }.dropFirst()
        while let argument = arguments.popFirst() {
            switch argument {
            case "--size-aware": isSizeAware = true
            case "--shift": return try shift(isSizeAware: isSizeAware || arguments.contains("--size-aware"))
            case "--slices": return try slices()
            case "--list":
                for mix in Mix.all { print(mix.name, mix.memoryMegabytes) }
                return
            case "--memcached", "--redis":
                guard let dialect = ServerDialect(rawValue: String(argument.dropFirst(2))),
                    let port = arguments.popFirst().flatMap({ UInt16($0) })
                else { fail("\(argument) needs a port") }
                server = (dialect, port)
            default:
                guard Mix.all.contains(where: { $0.name == argument }) else { fail("no mix \(argument)") }
                names.append(argument)
            }
        }
        var sum = 0.0
        var count = 0
        for mix in Mix.all where names.isEmpty || names.contains(mix.name) {
            let requests = Requests(mix, seed: 1)
            let outcome =
                if let server {
                    try runOnServer(requests, server.dialect, port: server.port)
                } else {
                    try runOnStore(
                        requests,
                        StoreConfiguration(
                            memoryBytes: mix.memoryMegabytes << 20, isSizeAware: isSizeAware, hashSeed: 1))
                }
            sum += outcome.hitRatio
            count += 1
            print(
                mix.name, outcome.hitRatio, "bytes", outcome.byteHitRatio, "moves", outcome.movesPerStore,
                "ns",
                outcome.nanosecondsPerRequest, "refused", outcome.refusals)
        }
        print("mean", sum / Double(max(1, count)))
    }

    private static func shift(isSizeAware: Bool) throws {
        for reads in SizeShift.Reads.allCases {
            let configuration = StoreConfiguration(
                memoryBytes: 64 << 20, isSizeAware: isSizeAware, hashSeed: 1)
            for phase in try SizeShift.run(configuration, reads: reads) {
                print(
                    "reads: \(reads), values of \(phase.from) then \(phase.to) B: "
                        + "of the newest 30 MB at least \(phase.leastPresent), refused \(phase.refusals)")
            }
        }
    }

    private static func slices() throws {
        for (items, valueBytes) in [(1_000_000, 50...50), (100_000, 100...4096), (4000, 1000...200_000)] {
            // 512 MB: slabs of 256 KB, the largest.
            let slices = try UpkeepSlices.run(
                StoreConfiguration(memoryBytes: 512 << 20, hashSeed: 1), items: items, valueBytes: valueBytes)
            print(
                "\(items) items of \(valueBytes) B: \(slices.expired) expired, \(slices.moved) moved, \(slices.count) slices;",
                "processor time of one in microseconds: 99.9 % within \(slices.nanoseconds(percent: 99.9) / 1000),",
                "longest \(slices.longestNanoseconds / 1000)")
        }
    }

    private static func fail(_ text: String) -> Never {
        let lines = "larder-hits: \(text)\n\(usage)\n"
        _ = lines.withCString { write(2, $0, strlen($0)) }
        exit(2)
    }
}
