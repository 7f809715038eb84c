import Glibc
import LoadGenerator

/// `larder-bench`: load for a memcached server, with memtier_benchmark's options.
@main
struct LarderBench {
    nonisolated static func main() {
        exit(runLoadGenerator(Array(CommandLine.arguments.dropFirst())))
    }
}
