import Glibc
import Soak

/// `larder-soak`: clients that know what they may see, and a server to which everything happens at once.
@main
struct LarderSoak {
    nonisolated static func main() {
        exit(runSoak(Array(CommandLine.arguments.dropFirst())))
    }
}
