import Glibc

/// Whether the system is asked for large pages.
package enum HugePageUse: Sendable {
    /// Where it gives them to those who ask, and nothing is said where it does not.
    case whereThereAre
    /// `-L`: the server does not start without.
    case required
    /// `-o no_hugepages`
    case never
}

/// `-L`: whether the system has large pages to give (transparent huge pages).
enum HugePages {
    private static let switchPath = "/sys/kernel/mm/transparent_hugepage/enabled"

    /// memcached's refusals. To ask for them is the store's: it knows which memory.
    static func check() throws(StartupError) { try check(readSwitch()) }

    /// - Parameter setting: what the system says; nil: it does not.
    static func check(_ setting: String?) throws(StartupError) {
        guard let setting else { throw .hugePages("Transparent huge pages support not detected.") }
        if setting.isEmpty { throw .hugePages("Transparent huge pages could not read the configuration.") }
        if setting.contains("[never]") { throw .hugePages("Transparent huge pages support disabled.") }
    }

    private static func readSwitch() -> String? {
        let fd = open(switchPath, O_RDONLY | O_CLOEXEC)
        guard fd >= 0 else { return nil }
        defer { close(fd) }
        var bytes = [UInt8](repeating: 0, count: 128)
        // SAFETY: at most the array's own length is read into it.
        let count = read(fd, &bytes, bytes.count)
        return String(decoding: bytes[..<max(0, count)], as: UTF8.self)
    }
}
