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
///     replication-probe watch LOG STATE NAME TASKS SETS          reads the keys of a burst until it is killed
///     replication-probe read LOG STATE KEY READS                 reads a key again and again, prints the time of a read
///     replication-probe overfill LOG STATE BYTES                 appends to a log whose files have a limit
///     replication-probe threadless LOG STATE                     opens a cache where the system gives no threads
@main
struct ReplicationProbe {
    static func main() async {
        let words = CommandLine.arguments
        guard words.count >= 4 else { exit(64) }
        do {
            switch words[1] {
            case "overfill": return try overfill(words[2], bytesMax: number(words[4]))
            case "threadless": return try threadless(words[2], words[3])
            default: break
            }
            let cache = try ReplicatedCache(log: log(words[2]), stateFile: words[3])
            say("open")
            switch words[1] {
            case "write": try await write(cache, words[4], keys: number(words[5]), first: number(words[6]))
            case "read": try read(cache, words[4], count: number(words[5]))
            case "watch": try watch(cache, words[4], tasks: number(words[5]), sets: number(words[6]))
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

    /// Prints one line without buffering, because the process may be killed at any moment.
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

    private static func overfill(_ path: String, bytesMax: Int) throws {
        let log = try FileLog(path: path)
        signal(SIGXFSZ, SIG_IGN)
        var limit = rlimit(rlim_cur: rlim_t(bytesMax), rlim_max: rlim_t(bytesMax))
        // SAFETY: reads a struct that is lent to it.
        guard setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit) == 0 else { return say("no limit") }
        let change = UpdateChange.set(key: [1], value: [UInt8](repeating: 1, count: 1000), flags: 0)
        do {
            say("id \(try log.append([UpdateRecord([change]), UpdateRecord([change])]))")
        } catch ReplicationError.outcomeUnknown {
            say("unknown")
        } catch ReplicationError.logRefused {
            say("refused")
        }
    }

    private static func threadless(_ path: String, _ state: String) throws {
        let log = try FileLog(path: path)
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        // No process has the room for such a stack.
        pthread_attr_setstacksize(&attributes, 1 << 47)
        typealias SetDefault = @convention(c) (UnsafePointer<pthread_attr_t>) -> Int32
        guard let symbol = dlsym(nil, "pthread_setattr_default_np") else { return say("no symbol") }
        // SAFETY: glibc's function of this name has this type.
        guard unsafeBitCast(symbol, to: SetDefault.self)(&attributes) == 0 else { return say("no attributes") }
        // It might wait for ever.
        alarm(20)
        do {
            _ = try ReplicatedCache(log: log, stateFile: state)
            say("open")
        } catch {
            say("\(error)")
        }
        exit(0)
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

    /// Prints after each round how many keys are there, the id of the last record, and whether this process applies.
    private static func watch(_ cache: ReplicatedCache, _ name: String, tasks: Int, sets: Int) throws {
        while true {
            var found = 0
            for task in 0..<tasks {
                for number in 0..<sets {
                    guard let value = try cache.get("\(name)-\(task)-\(number)") else { continue }
                    guard value == Array("\(number)".utf8) else { return say("error: another value of \(number)") }
                    found += 1
                }
            }
            say("round \(found) \(cache.updateID) \(cache.status.isApplier)")
        }
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
