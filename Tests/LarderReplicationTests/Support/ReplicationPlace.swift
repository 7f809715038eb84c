import Foundation
import LarderReplication
import LarderTesting

#if MariaDB
    import LarderMariaDB
#endif
#if PostgreSQL
    import LarderPostgreSQL
#endif

/// The kinds of logs, over which the tests run.
enum LogKind: String, Sendable {
    case file
    case mariaDB
    case postgreSQL

    /// Those that need a database.
    static let databases: [LogKind] = {
        var kinds: [LogKind] = []
        #if MariaDB
            kinds.append(.mariaDB)
        #endif
        #if PostgreSQL
            kinds.append(.postgreSQL)
        #endif
        return kinds
    }()
    static let all: [LogKind] = [.file] + databases
}

/// A directory with state files, and a log in it or in a database, until the end of a test.
final class ReplicationPlace: Sendable {
    let path: String
    let kind: LogKind
    /// The directory of the log, or its URL.
    let log: String
    /// The tables' names in a database begin so.
    let table: String
    func state(_ name: String = "state") -> String { path + "/" + name }

    /// - Parameter database: a server of the test's own; nil: the one that tests share.
    init(_ kind: LogKind = .file, database: TestDatabase? = nil) throws {
        self.kind = kind
        path = try TestDirectory.make()
        table = "t" + UUID().uuidString.filter { $0 != "-" }.lowercased()
        guard kind != .file else {
            log = path + "/log"
            return
        }
        log = try (database ?? TestDatabase.shared(kind)).url(table: table)
        try Self.createSchema(log)
    }

    static func createSchema(_ url: String) throws {
        #if MariaDB
            if url.hasPrefix("mariadb:") { try MariaDBLog(url: url).createSchema() }
        #endif
        #if PostgreSQL
            if url.hasPrefix("postgresql:") { try PostgreSQLLog(url: url).createSchema() }
        #endif
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func openLog(segmentBytes: Int = 64 << 20) throws -> any UpdateLog {
        try kind == .file ? FileLog(path: log, segmentBytes: segmentBytes) : TestDatabase.log(log)
    }

    /// Keeps the log as it is now.
    func backUpLog() throws {
        if kind == .file { return try FileManager.default.copyItem(atPath: log, toPath: path + "/backup") }
        for part in ["counter", "records", "snapshot"] {
            try TestDatabase.shared(kind).execute(
                "CREATE TABLE \(table)_\(part)_backup AS SELECT * FROM \(table)_\(part)")
        }
    }

    /// Puts the kept log into the place of the present one.
    func restoreLog() throws {
        if kind == .file {
            try FileManager.default.removeItem(atPath: log)
            return try FileManager.default.moveItem(atPath: path + "/backup", toPath: log)
        }
        for part in ["counter", "records", "snapshot"] {
            try TestDatabase.shared(kind).execute(
                "DELETE FROM \(table)_\(part)",
                "INSERT INTO \(table)_\(part) SELECT * FROM \(table)_\(part)_backup")
        }
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
