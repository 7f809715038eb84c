import Glibc
import HitRatio
import LarderStore

/// `larder-hits MIX...`: hit ratios of LarderStore in this process.
@main struct LarderHits {
    static func main() throws {
        let names = CommandLine.arguments.dropFirst().filter { !$0.hasPrefix("-") }
        let isSizeAware = CommandLine.arguments.contains("--size-aware")
        var sum = 0.0
        var count = 0.0
        for mix in Mix.all where names.isEmpty || names.contains(mix.name) {
            let requests = Requests(mix, seed: 1)
            let outcome = try runOnStore(
                requests, StoreConfiguration(memoryBytes: mix.memoryMegabytes << 20, isSizeAware: isSizeAware, hashSeed: 1))
            sum += outcome.hitRatio
            count += 1
            print(mix.name, outcome.hitRatio, "bytes", outcome.byteHitRatio, "moves", outcome.movesPerStore, "ns", outcome.nanosecondsPerRequest)
        }
        print("mean", sum / count)
    }
}
