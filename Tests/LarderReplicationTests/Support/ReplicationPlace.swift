import Foundation
import LarderReplication
import LarderTesting

/// A directory with a log and state files, until the end of a test.
final class ReplicationPlace: Sendable {
    let path: String
    var log: String { path + "/log" }
    func state(_ name: String = "state") -> String { path + "/" + name }

    init() throws { path = try TestDirectory.make() }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func openLog(segmentBytes: Int = 64 << 20) throws -> FileLog {
        try FileLog(path: log, segmentBytes: segmentBytes)
    }

    /// A replica of the log. Replicas with the same name share a state file, like processes of one machine.
    func cache(
        _ name: String = "state", log: (any UpdateLog)? = nil,
        _ change: (inout ReplicatedCache.Configuration) -> Void = { _ in }
    ) throws -> ReplicatedCache {
        var configuration = ReplicatedCache.Configuration()
        configuration.arenaBytes = 1 << 20
        configuration.applyMillisecondsMax = 20_000
        // Other tests may take all processors for seconds.
        configuration.readMillisecondsMax = 20_000
        change(&configuration)
        return try ReplicatedCache(log: log ?? openLog(), stateFile: state(name), configuration: configuration)
    }

    static func content(of file: String) throws -> [UInt8] { [UInt8](try Data(contentsOf: URL(fileURLWithPath: file))) }

    /// Writes bytes into a file in place, so that it keeps its inode.
    static func overwrite(_ file: String, _ bytes: [UInt8]) throws {
        let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: file))
        try handle.truncate(atOffset: 0)
        try handle.write(contentsOf: Data(bytes))
        try handle.close()
    }

    /// The files of the log whose names begin with `prefix`, in order.
    func files(_ prefix: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: log).filter { $0.hasPrefix(prefix) }.sorted()
            .map { log + "/" + $0 }
    }
}

extension String {
    var bytes: [UInt8] { Array(utf8) }
}

extension [UInt8] {
    var text: String { String(decoding: self, as: UTF8.self) }
}

/// A record that sets keys to values.
func record(_ pairs: (String, String)...) throws -> UpdateRecord {
    try UpdateRecord(pairs.map { .set(key: $0.0.bytes, value: $0.1.bytes, flags: 0) })
}

/// Keys and values of a replica, as text.
func content(_ cache: ReplicatedCache) throws -> [String: String] {
    var items = cache.items()
    return Dictionary(uniqueKeysWithValues: try items.rest().map { ($0.key.text, $0.value.text) })
}

/// A number from the environment.
func environmentNumber(_ name: String) -> UInt64? {
    ProcessInfo.processInfo.environment[name].flatMap { UInt64($0) }
}

/// A random seed, or that of `LARDER_REPLICATION_SEED`.
func drawnSeed(_ test: String) -> UInt64 {
    let seed = environmentNumber("LARDER_REPLICATION_SEED") ?? UInt64.random(in: 1...UInt64.max)
    print("\(test): LARDER_REPLICATION_SEED=\(seed)")
    return seed
}
