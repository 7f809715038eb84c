import CLarderSystem
import Glibc
import LarderStore
import Synchronization

/// The document that the console asks for once a second. Its length is bounded, and it takes no lock of a store.
struct StatusJSON {
    let state: ServerState
    /// The cache whose memory is shown.
    let cache: ServedCache
    /// Why the server is not ready; nil: it is ready.
    let reasonNotReady: String?

    /// Further caches are only counted, further clients are left out, and further time buckets are summed up.
    private static let cachesMax = 64
    private static let clientsMax = 50
    private static let timeBucketsMax = 24
    /// Hot keys, and prefixes.
    private static let keysMax = 20
    /// Characters of the map of slabs.
    private static let cellsMax = 1024

    var text: String {
        let now = state.clock.now()
        let used = larder_process_cpu_time()
        let limit = state.connectionLimit
        return JSONText.object([
            ("larder_version", JSONText.string(Version.larder)),
            ("memcached_version", JSONText.string(Version.memcached)),
            ("pid", "\(getpid())"),
            ("threads", "\(state.settings.threadCount)"),
            ("not_ready", reasonNotReady.map(JSONText.string) ?? "null"),
            ("now_ms", "\(now)"),
            // Rates are computed from this clock, because the other one may be set.
            ("monotonic_ms", "\(larder_milliseconds(false))"),
            ("uptime_ms", "\(now - state.clock.startMilliseconds)"),
            ("cpu_us", "\(used.user_microseconds + used.system_microseconds)"),
            (
                "connections",
                JSONText.object([
                    ("current", "\(limit.current)"), ("maximum", "\(limit.maximum)"), ("total", "\(limit.total)"),
                    ("refused", "\(limit.rejected)"),
                ])
            ),
            ("durations", durations),
            ("caches", JSONText.array(state.caches.prefix(Self.cachesMax).map(Self.cache))),
            ("caches_left_out", "\(max(0, state.caches.count - Self.cachesMax))"),
            ("memory", memory(now: now)),
            ("clients", clients(now: now)),
            ("hot_keys", hotKeys(now: now)),
            ("prefixes", prefixes),
        ]) + "\n"
    }

    // MARK: Latency

    private var durations: String {
        let commands = CommandDurations.Command.allCases.map { command in
            let counts = state.durations.map { $0.counts(command) }
            let sums = (0...CommandDurations.bounds.count).map { bucket in
                counts.reduce(Int64(0)) { $0 &+ $1[bucket] }
            }
            return ("\(command)", JSONText.array(sums.map { "\($0)" }))
        }
        return JSONText.object([
            ("timed_one_in", "\(CommandDurations.interval)"),
            ("bounds_ns", JSONText.array(CommandDurations.bounds.map { "\($0)" })),
            ("counts", JSONText.object(commands)),
        ])
    }

    // MARK: Caches

    private static func cache(_ cache: ServedCache) -> String {
        let store = cache.store.statistics
        let counters = store.counters
        let base = cache.baseline.withLock { $0 }
        let file = cache.store.fileStatistics.map { file in
            JSONText.object([
                ("path", JSONText.string(file.path)), ("recovered_percent", "\(file.recoveredPercent)"),
            ])
        }
        return JSONText.object([
            ("name", JSONText.string(cache.name)),
            ("items", "\(counters.items)"),
            ("bytes", "\(store.liveBytes)"),
            ("limit_bytes", "\(cache.contentBytesMax)"),
            ("gets", "\(cache.total(.cmdGet))"),
            ("sets", "\(cache.total(.cmdSet))"),
            ("hits", "\(cache.total(.getHits))"),
            ("misses", "\(cache.total(.getMisses))"),
            ("evictions", "\(counters.evictions - base.evictions)"),
            ("expirations", "\(counters.expired - base.expired)"),
            ("file", file ?? "null"),
        ])
    }

    // MARK: Memory

    private func memory(now: Int64) -> String {
        guard cache.store.isReady else { return "null" }
        let store = cache.store.statistics
        let map = cache.store.map
        let share = max(1, (map.slabs.count + Self.cellsMax - 1) / Self.cellsMax)
        let cells = stride(from: 0, to: map.slabs.count, by: share).map { start in
            InspectionText.character(map.slabs[start..<min(start + share, map.slabs.count)])
        }
        let slabBytes = store.slabBytes
        return JSONText.object([
            ("cache", JSONText.string(cache.name)),
            ("arena_bytes", "\(store.arenaBytes)"),
            ("slab_bytes", "\(slabBytes)"),
            ("live_bytes", "\(store.liveBytes)"),
            ("hole_bytes", "\(max(0, (store.slabs.used + store.slabs.open) * slabBytes - store.liveBytes))"),
            ("free_bytes", "\(store.slabs.free * slabBytes)"),
            ("limbo_bytes", "\(store.slabs.limbo * slabBytes)"),
            ("index_bytes", "\(store.slabs.index * slabBytes)"),
            ("metadata_bytes", "\(store.slabs.metadata * slabBytes)"),
            ("slabs_per_cell", "\(share)"),
            ("map", JSONText.string(String(cells))),
            ("time_buckets", Self.timeBuckets(map.timeBuckets, now: now)),
        ])
    }

    /// The buckets that end first, and the one without end. The buckets between them are summed up as one, which has
    /// the end of the last.
    private static func timeBuckets(_ all: [StoreInspection.TimeBucketSummary], now: Int64) -> String {
        let ending = all.filter { $0.endMilliseconds != Int64.max }
        let forever = all.filter { $0.endMilliseconds == Int64.max }
        let shown = ending.prefix(timeBucketsMax - 1)
        let rest = ending.dropFirst(timeBucketsMax - 1)
        func bucket(_ left: Int64?, _ summed: ArraySlice<StoreInspection.TimeBucketSummary>) -> String {
            JSONText.object([
                ("ends_in_ms", left.map { "\($0)" } ?? "null"),
                ("buckets", "\(summed.count)"),
                ("slabs", "\(summed.reduce(0) { $0 + $1.slabs })"),
                ("bytes", "\(summed.reduce(0) { $0 + $1.bytes })"),
            ])
        }
        var list = shown.map { bucket($0.endMilliseconds &- now, [$0]) }
        if let last = rest.last { list.append(bucket(last.endMilliseconds &- now, rest)) }
        if !forever.isEmpty { list.append(bucket(nil, forever[...])) }
        return JSONText.array(list)
    }

    // MARK: Keys

    /// Null if nothing counts them, or if `-X` forbids lists of keys.
    private func hotKeys(now: Int64) -> String {
        guard state.settings.dumpEnabled, state.hotKeys.isOn,
            let number = state.caches.firstIndex(where: { $0 === cache })
        else { return "null" }
        let entries = state.hotKeys.lines(ofCache: number, now: now, countMax: Self.keysMax)
        return JSONText.array(
            entries.map { entry in
                JSONText.object([("key", JSONText.string(entry.key)), ("per_second", entry.perSecond)])
            })
    }

    /// The prefixes with the most requests, of all caches; null like `hotKeys`.
    private var prefixes: String {
        guard state.settings.dumpEnabled, state.detail.isEnabled else { return "null" }
        let counts = state.detail.counts.sorted { ($0.value.gets + $0.value.sets) > ($1.value.gets + $1.value.sets) }
        return JSONText.array(
            counts.prefix(Self.keysMax).map { prefix, count in
                JSONText.object([
                    ("prefix", JSONText.string(PrintableKey.percentEncoded(prefix))), ("gets", "\(count.gets)"),
                    ("hits", "\(count.hits)"), ("sets", "\(count.sets)"), ("deletes", "\(count.deletes)"),
                ])
            })
    }

    // MARK: Clients

    /// The clients with the lowest descriptors.
    private func clients(now: Int64) -> String {
        let table = state.connectionTable
        var list: [String] = []
        var descriptor = 0
        while descriptor < table.count, list.count < Self.clientsMax {
            defer { descriptor += 1 }
            guard let entry = table.entry(descriptor), entry.state != .listening, entry.state != .datagrams else {
                continue
            }
            let fd = Int32(descriptor)
            list.append(
                JSONText.object([
                    ("address", JSONText.string(SocketAddress.peer(of: fd)?.text ?? "?")),
                    ("listener", JSONText.string(SocketAddress.local(of: fd)?.text ?? "?")),
                    ("state", JSONText.string("\(entry.state)")),
                    ("silent_ms", "\(max(0, now - entry.milliseconds))"),
                ]))
        }
        return JSONText.array(list)
    }
}
