import Foundation
import LarderTesting

/// The server programs that tests start, and what they are called with.
enum TestServers {
    /// The real memcached: `MEMCACHED_BINARY`, else where Debian puts it.
    static let memcached = environment("MEMCACHED_BINARY") ?? "/usr/bin/memcached"

    /// The `larder` program: `LARDER_BINARY`, else the one built together with these tests.
    static let larder = ServerProcess.larder

    /// The version of `memcached`; the tests cannot do without one.
    static func memcachedVersion() throws -> String { try askedVersion.get() }

    private static let askedVersion = Result { try ServerProcess.version(of: memcached) }

    /// Whether `memcached` has the text parser of 1.6.40, which Larder follows.
    static func memcachedIsNew() throws -> Bool {
        try memcachedVersion().compare("1.6.40", options: .numeric) != .orderedAscending
    }

    static func environment(_ name: String) -> String? {
        ProcessInfo.processInfo.environment[name].flatMap { $0.isEmpty ? nil : $0 }
    }
}
