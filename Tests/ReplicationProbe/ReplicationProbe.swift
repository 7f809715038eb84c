import Glibc
import LarderReplication

#if MariaDB
    import LarderMariaDB
#endif
#if PostgreSQL
    import LarderPostgreSQL
#endif

/// A process of a replicated cache, for tests that need several:
///
///     replication-probe idle LOG STATE
///     replication-probe write LOG STATE NAME KEYS FIRST          sets until it is killed, prints each set that returned
///     replication-probe burst LOG STATE NAME TASKS SETS          sets in several tasks, prints the ids
///     replication-probe read LOG STATE KEY READS                 reads a key again and again, prints the time of a read
@main
struct ReplicationProbe {
    static func main() async {
        let words = CommandLine.arguments
        guard words.count >= 4 else { exit(64) }
        do {
            let cache = try ReplicatedCache(log: log(words[2]), stateFile: words[3])
            say("open")
            switch words[1] {
            case "write": try await write(cache, words[4], keys: number(words[5]), first: number(words[6]))
            case "read": try read(cache, words[4], count: number(words[5]))
            case "burst": try await burst(cache, words[4], tasks: number(words[5]), sets: number(words[6]))
            default: while true { sleep(1) }
            }
            cache.close()
        } catch {
            say("error \(error)")
            exit(1)
        }
    }

    /// The log of a directory or of a URL.
    private static func log(_ place: String) throws -> any UpdateLog {
        #if MariaDB
            if place.hasPrefix("mariadb:") { return try MariaDBLog(url: place) }
        #endif
        #if PostgreSQL
            if place.hasPrefix("postgresql:") { return try PostgreSQLLog(url: place) }
        #endif
        return try FileLog(path: place)
    }

    private static func number(_ word: String) -> Int { Int(word) ?? 1 }

    /// One line, at once: the next instant may be the last.
    private static func say(_ text: String) {
        let line = Array((text + "\n").utf8)
        // SAFETY: the array has as many bytes.
        _ = line.withUnsafeBytes { Glibc.write(1, $0.baseAddress, $0.count) }
    }

    private static func write(_ cache: ReplicatedCache, _ name: String, keys: Int, first: Int) async throws {
        var number = first
        while true {
            let key = "\(name)-\(number % keys)"
            // Sizes that fill slabs, and sometimes a record of several changes.
            let value = Array("\(number) ".utf8) + [UInt8](repeating: 120, count: number * 37 % 3000)
            if number % 5 == 0 {
                try await cache.setMulti([Array(key.utf8): value, Array("\(name)-pair".utf8): value])
            } else if number % 7 == 0 {
                try await cache.delete(key)
                try await cache.set(key, value)
            } else {
                try await cache.set(key, value)
            }
            say("set \(key) \(number)")
            number += 1
        }
    }

    private static func read(_ cache: ReplicatedCache, _ key: String, count: Int) throws {
        let clock = ContinuousClock()
        let bytes = Array(key.utf8)
        var found = 0
        let time = try clock.measure {
            for _ in 0..<count where try cache.get(bytes) != nil { found += 1 }
        }
        say("found \(found) of \(count), \(time / count) each")
    }

    private static func burst(_ cache: ReplicatedCache, _ name: String, tasks: Int, sets: Int) async throws {
        try await withThrowingTaskGroup(of: [UInt64].self) { group in
            for task in 0..<tasks {
                group.addTask {
                    var ids: [UInt64] = []
                    for number in 0..<sets {
                        ids.append(try await cache.set("\(name)-\(task)-\(number)", Array("\(number)".utf8)))
                    }
                    return ids
                }
            }
            for try await ids in group { say("ids " + ids.map { "\($0)" }.joined(separator: " ")) }
        }
    }
}
