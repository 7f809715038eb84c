import Glibc
import Soak

/// `larder-soak`: clients that check every answer, and a server under all faults at once.
@main
struct LarderSoak {
    nonisolated static func main() {
        exit(runSoak(Array(CommandLine.arguments.dropFirst())))
    }
}
