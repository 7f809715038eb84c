import CBenchSystem
import Glibc
import LoadGenerator

/// `larder-bench`: load for a memcached server, with memtier_benchmark's options.
@main
struct LarderBench {
    nonisolated static func main() {
        let words = (0..<bench_argument_count()).map { String(cString: bench_argument($0)) }
        exit(runLoadGenerator(Array(words.dropFirst())))
    }
}
