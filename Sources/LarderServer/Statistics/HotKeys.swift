import LarderWire
import Synchronization

/// `stats hotkeys`: the keys of each cache that are read most. The workers sample their steps while it is on.
final class HotKeys: Sendable {
    /// Keys that `stats hotkeys` lists.
    static let listedMax = 50
    /// Keys of a cache in `/metrics`.
    static let metricsMax = 10

    private let on = Atomic(false)
    private let begunAtMilliseconds = Atomic<Int64>(0)
    private let workers: [WorkerKeys]

    /// One worker's summaries, by the cache's number. Its lock is free unless somebody asks for the keys.
    private final class WorkerKeys: Sendable {
        let summaries = Mutex<[Int: KeySummary]>([:])
    }

    init(workerCount: Int) { workers = (0..<workerCount).map { _ in WorkerKeys() } }

    /// Whether steps are to be sampled.
    var isOn: Bool { on.load(ordering: .relaxed) }

    /// Begins to sample, unless it is on already.
    func begin(now: Int64) {
        guard !isOn else { return }
        begunAtMilliseconds.store(now, ordering: .relaxed)
        on.store(true, ordering: .releasing)
    }

    /// Ends it, and forgets all keys.
    func end() {
        on.store(false, ordering: .relaxed)
        for worker in workers { worker.summaries.withLock { $0.removeAll() } }
    }

    /// Counts requests for a key.
    func note(_ key: UnsafeRawBufferPointer, worker: Int, cache: Int, weight: Double, now: Int64) {
        workers[worker].summaries.withLock { summaries in
            // `end` may have come since the worker last looked.
            guard isOn else { return }
            summaries[cache, default: KeySummary(now: now)].add(key, weight: weight)
        }
    }

    /// Has a worker's older requests count less.
    func fade(worker: Int, now: Int64) {
        workers[worker].summaries.withLock { summaries in
            for cache in Array(summaries.keys) { summaries[cache]?.fade(now: now) }
        }
    }

    /// A cache's most requested keys, the first of them most, with their requests a second. The summaries of all workers
    /// are added up.
    func keys(ofCache cache: Int, now: Int64, countMax: Int) -> [(key: [UInt8], perSecond: Double)] {
        var totals: [[UInt8]: Double] = [:]
        for worker in workers {
            let entries = worker.summaries.withLock { summaries in
                summaries[cache]?.fade(now: now)
                return summaries[cache]?.entries ?? []
            }
            for entry in entries { totals[entry.key, default: 0] += entry.count }
        }
        let age = max(Self.ageMillisecondsMin, now &- begunAtMilliseconds.load(ordering: .relaxed))
        let seconds = KeySummary.seconds(sinceBegin: age)
        let rates = totals.map { (key: $0.key, perSecond: $0.value / seconds) }
        let sorted = rates.filter { $0.perSecond >= Self.perSecondMin }.sorted { $0.perSecond > $1.perSecond }
        return Array(sorted.prefix(countMax))
    }

    /// In the first second a few requests are no rate.
    private static let ageMillisecondsMin: Int64 = 1000
    /// Less than that is shown as 0.0.
    private static let perSecondMin = 0.05
}

extension HotKeys {
    /// A cache's keys as statistics: percent-encoded, and the requests a second with one decimal.
    func lines(ofCache cache: Int, now: Int64, countMax: Int) -> [(key: String, perSecond: String)] {
        keys(ofCache: cache, now: now, countMax: countMax).map { entry in
            (PrintableKey.percentEncoded(entry.key), Self.decimal(entry.perSecond))
        }
    }

    private static func decimal(_ value: Double) -> String {
        // More than any machine answers: the conversion must not trap.
        let tenths = Int64(min(value, 1e15) * 10 + 0.5)
        return "\(tenths / 10).\(tenths % 10)"
    }
}

/// `stats hotkeys`, `stats hotkeys on` and `stats hotkeys off`.
extension Statistics {
    static func hotKeys(_ context: inout WorkerContext, _ argument: Substring?) -> StatisticsAnswer {
        let state = context.state
        var lines = StatisticsList()
        // Lists of keys are dumps, which -X forbids.
        guard state.settings.dumpEnabled else {
            lines.add("hotkeys_status", "disabled")
            return .list(lines)
        }
        switch argument {
        case nil: break
        case "on":
            state.hotKeys.begin(now: context.now)
            context.tendSampling()
            return .reply(.ok)
        case "off":
            state.hotKeys.end()
            context.tendSampling()
            return .reply(.ok)
        default: return .reply(.noSuchStatistics)
        }
        guard state.hotKeys.isOn else {
            lines.add("hotkeys_status", "disabled")
            return .list(lines)
        }
        let entries = state.hotKeys.lines(ofCache: context.cacheNumber, now: context.now, countMax: HotKeys.listedMax)
        for entry in entries { lines.add(entry.key, entry.perSecond) }
        return .list(lines)
    }
}
