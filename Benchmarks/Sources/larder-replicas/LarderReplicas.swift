import Glibc
import LarderReplication

#if Databases
    import LarderMariaDB
    import LarderPostgreSQL
#endif

/// `larder-replicas`: measures a replicated cache over a log. `Benchmarks/replication.py` starts the databases.
@main
struct LarderReplicas {
    private static let usage = """
        usage: larder-replicas init LOG                          make the log
               larder-replicas writes LOG DIRECTORY WRITERS SECONDS
               larder-replicas catchup LOG DIRECTORY             a new replica reads the whole log
               larder-replicas delay LOG DIRECTORY UPDATES       from the return of set to another replica
               larder-replicas reads LOG DIRECTORY KEYS READS    beside a dictionary behind a mutex

        """

    static func main() async {
        let words = Array(CommandLine.arguments.dropFirst())
        do {
            switch (words.first, words.count) {
            case ("init", 2): try makeLog(words[1])
            case ("writes", 5): try await measureWrites(words, writers: number(words[3]), seconds: number(words[4]))
            case ("catchup", 3): try measureCatchUp(words)
            case ("delay", 4): try await measureDelay(words, updates: number(words[3]))
            case ("reads", 5): try await measureReads(words, keys: number(words[3]), reads: number(words[4]))
            default:
                print(usage)
                exit(64)
            }
        } catch {
            print("larder-replicas: \(error)")
            exit(1)
        }
    }

    private static func number(_ word: String) -> Int { max(1, Int(word) ?? 1) }

    // MARK: Logs

    private static func openLog(_ place: String) throws -> any UpdateLog {
        #if Databases
            if place.hasPrefix("mariadb:") { return try MariaDBLog(url: place) }
            if place.hasPrefix("postgresql:") { return try PostgreSQLLog(url: place) }
        #endif
        return try FileLog(path: place)
    }

    private static func makeLog(_ place: String) throws {
        #if Databases
            if place.hasPrefix("mariadb:") { return try MariaDBLog(url: place).createSchema() }
            if place.hasPrefix("postgresql:") { return try PostgreSQLLog(url: place).createSchema() }
        #endif
        _ = try FileLog(path: place)
    }

    private static func cache(_ words: [String], _ name: String) throws -> ReplicatedCache {
        var configuration = ReplicatedCache.Configuration()
        configuration.openMillisecondsMax = 600_000
        configuration.applyMillisecondsMax = 600_000
        return try ReplicatedCache(
            log: openLog(words[1]), stateFile: "\(words[2])/\(name)", configuration: configuration)
    }

    // MARK: Measurements

    private static let clock = ContinuousClock()
    private static let value = [UInt8](repeating: 120, count: 100)

    private static func seconds(_ duration: Duration) -> Double {
        Double(duration.components.seconds) + Double(duration.components.attoseconds) / 1e18
    }

    private static func measureWrites(_ words: [String], writers: Int, seconds: Int) async throws {
        let cache = try cache(words, "writer")
        let start = clock.now
        let end = start.advanced(by: .seconds(seconds))
        let count = try await withThrowingTaskGroup(of: Int.self) { group in
            for writer in 0..<writers {
                group.addTask {
                    var count = 0
                    while clock.now < end {
                        try await cache.set("key-\(writer)-\(count % 1000)", value)
                        count += 1
                    }
                    return count
                }
            }
            return try await group.reduce(0, +)
        }
        print("writes_per_second \(Int(Double(count) / Self.seconds(clock.now - start)))")
        cache.close()
    }

    private static func measureCatchUp(_ words: [String]) throws {
        var opened: ReplicatedCache?
        let time = try clock.measure { opened = try cache(words, "fresh-\(getpid())") }
        guard let opened else { return }
        let records = opened.updateID
        print("records \(records)\nrecords_per_second \(Int(Double(records) / seconds(time)))")
        opened.close()
    }

    /// Two state files stand for two machines.
    private static func measureDelay(_ words: [String], updates: Int) async throws {
        let here = try cache(words, "here")
        let there = try cache(words, "there")
        var microseconds: [Double] = []
        for _ in 0..<updates {
            let id = try await here.set("delay", value)
            let start = clock.now
            while there.updateID < id { sched_yield() }
            microseconds.append(seconds(clock.now - start) * 1e6)
        }
        microseconds.sort()
        print("p50_microseconds \(Int(microseconds[microseconds.count / 2]))")
        print("p99_microseconds \(Int(microseconds[microseconds.count * 99 / 100]))")
        here.close()
        there.close()
    }

    private static func measureReads(_ words: [String], keys: Int, reads: Int) async throws {
        let cache = try cache(words, "reads")
        let names = (0..<keys).map { Array("key-\($0)".utf8) }
        for start in stride(from: 0, to: keys, by: 1000) {
            let part = names[start..<min(keys, start + 1000)]
            try await cache.setMulti(Dictionary(uniqueKeysWithValues: part.map { ($0, value) }))
        }
        // A walk in the order of a random permutation, so that no cache of the processor helps more than usual.
        let order = (0..<keys).shuffled()
        var found = 0
        let inPlace = try clock.measure {
            for read in 0..<reads where try cache.get(names[order[read % keys]]) != nil { found += 1 }
        }
        let dictionary = GuardedDictionary(Dictionary(uniqueKeysWithValues: names.map { ($0, value) }))
        let inDictionary = clock.measure {
            for read in 0..<reads where dictionary.value(names[order[read % keys]]) != nil { found += 1 }
        }
        guard found == 2 * reads else { throw ReplicationError.unavailable }
        print("read_nanoseconds \(Int(seconds(inPlace) * 1e9 / Double(reads)))")
        print("dictionary_nanoseconds \(Int(seconds(inDictionary) * 1e9 / Double(reads)))")
        cache.close()
    }
}
