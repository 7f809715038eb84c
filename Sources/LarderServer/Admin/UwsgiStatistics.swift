import Glibc

/// `--stats`: the fields of uWSGI's statistics that its tools read, as JSON.
enum UwsgiStatistics {
    static func json(of state: ServerState) -> [UInt8] {
        let fields: [(String, String)] = [
            ("version", JSONText.string(Version.larder)),
            ("listen_queue", "0"),
            ("pid", "\(getpid())"),
            ("uid", "\(getuid())"),
            ("gid", "\(getgid())"),
            ("cwd", JSONText.string(currentDirectory)),
            ("caches", JSONText.array(state.caches.map(cache))),
            ("workers", JSONText.array((0..<state.settings.threadCount).map { worker($0, state) })),
        ]
        return Array((JSONText.object(fields) + "\n").utf8)
    }

    private static func cache(_ cache: ServedCache) -> String {
        JSONText.object(cache.uwsgiFields.map { ($0.name, $0.value.json) })
    }

    /// A thread of this process. `rss` and `vsz` are 0, as in a uWSGI without `--memory-report`.
    private static func worker(_ number: Int, _ state: ServerState) -> String {
        func total(_ counters: [Counter]) -> Int64 {
            state.caches.reduce(0) { sum, cache in
                counters.reduce(sum) { $0 &+ cache.counters[number].value($1) }
            }
        }
        let fields: [(String, String)] = [
            ("id", "\(number + 1)"), ("pid", "\(getpid())"), ("accepting", "1"),
            ("requests", "\(total(requests))"), ("exceptions", "0"), ("harakiri_count", "0"), ("signals", "0"),
            ("status", JSONText.string("idle")), ("rss", "0"), ("vsz", "0"), ("running_time", "0"),
            ("last_spawn", "\(state.clock.startMilliseconds / 1000)"), ("respawn_count", "1"),
            ("tx", "\(total([.bytesWritten]))"), ("avg_rt", "0"),
        ]
        return JSONText.object(fields)
    }

    private static let requests: [Counter] = [
        .cmdGet, .cmdTouch, .cmdSet, .cmdFlush, .deleteHits, .deleteMisses, .incrHits, .incrMisses, .decrHits,
        .decrMisses,
    ]

    private static var currentDirectory: String {
        // SAFETY: getcwd allocates its result, which is copied and freed here.
        guard let directory = getcwd(nil, 0) else { return "" }
        defer { free(directory) }
        return String(cString: directory)
    }
}
