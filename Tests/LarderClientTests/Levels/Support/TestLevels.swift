import LarderClient
import Synchronization

/// A level of a user's own, with what it has to have and no more.
final class MapLevel: CacheLevel {
    private struct State {
        var items: [String: LevelItem] = [:]
        var context = LevelContext()
    }
    let name: String
    private let state = Mutex(State())

    init(name: String = "map") { self.name = name }

    func create(_ context: LevelContext) { state.withLock { $0.context = context } }
    func destroy() { take({ _ in true }, .destroyed) }
    func expunge() { take({ _ in true }, .expunged) }
    func write(_ item: LevelItem) { state.withLock { $0.items[item.key] = item } }
    func get(_ key: String) -> LevelItem? { state.withLock { $0.items[key] } }

    func lookup(_ pattern: KeyPattern) -> [LevelEntry] {
        state.withLock { state in
            state.items.values.filter { pattern.matches($0.key) }.sorted { $0.key < $1.key }.map {
                LevelEntry(
                    key: $0.key, payloadBytes: $0.payload.count, endMilliseconds: $0.endMilliseconds)
            }
        }
    }

    func invalidate(_ pattern: KeyPattern, reason: RemovalReason) { take({ pattern.matches($0) }, reason) }

    private func take(_ isMeant: (String) -> Bool, _ reason: RemovalReason) {
        let (taken, context) = state.withLock { state in
            let taken = state.items.values.filter { isMeant($0.key) }
            for item in taken { state.items[item.key] = nil }
            return (taken, state.context)
        }
        for item in taken { context.removed(item, reason) }
    }
}

/// A level that counts what it is asked, and does what it is told.
final class WatchedLevel: CacheLevel {
    private struct State {
        var reads = 0
        var failure: CacheError?
        var isHeld = false
        var waiting = 0
    }
    private let level: any CacheLevel
    private let state = Mutex(State())

    init(_ level: any CacheLevel) { self.level = level }

    var name: String { level.name }
    /// How often an item or a list was asked for.
    var reads: Int { state.withLock { $0.reads } }
    /// How many are held up in a read or a write.
    var waiting: Int { state.withLock { $0.waiting } }
    /// What everything throws from now on.
    func fail(with failure: CacheError?) { state.withLock { $0.failure = failure } }
    /// Whether reads and writes are held up once they are done.
    func hold(_ isHeld: Bool) { state.withLock { $0.isHeld = isHeld } }

    private func check() throws(CacheError) {
        if let failure = state.withLock({ $0.failure }) { throw failure }
    }

    private func pass() async {
        state.withLock { $0.waiting += 1 }
        while state.withLock({ $0.isHeld }) { await Task.yield() }
        state.withLock { $0.waiting -= 1 }
    }

    func create(_ context: LevelContext) async throws(CacheError) {
        try check()
        try await level.create(context)
    }
    func destroy() async throws(CacheError) {
        try check()
        try await level.destroy()
    }
    func expunge() async throws(CacheError) {
        try check()
        try await level.expunge()
    }
    func admit(_ item: LevelItem) throws(CacheError) -> LevelItem { try level.admit(item) }
    func write(_ item: LevelItem) async throws(CacheError) {
        try check()
        try await level.write(item)
        await pass()
    }
    func tagMatch(_ pattern: KeyPattern, _ key: String) -> Bool { level.tagMatch(pattern, key) }
    func lookup(_ pattern: KeyPattern) async throws(CacheError) -> [LevelEntry] {
        state.withLock { $0.reads += 1 }
        try check()
        return try await level.lookup(pattern)
    }
    func invalidate(_ pattern: KeyPattern, reason: RemovalReason) async throws(CacheError) {
        try check()
        try await level.invalidate(pattern, reason: reason)
    }
    func get(_ key: String) async throws(CacheError) -> LevelItem? {
        state.withLock { $0.reads += 1 }
        try check()
        let item = try await level.get(key)
        await pass()
        return item
    }
    func expire(now: Int64) async throws(CacheError) -> Int64? {
        try check()
        return try await level.expire(now: now)
    }
    func debugDump() async throws(CacheError) -> String { try await level.debugDump() }
}

extension MapServers: KeyListing {
    func keys(withPrefix prefix: String) async throws -> [String] { keys.filter { $0.hasPrefix(prefix) } }
}

extension CacheLevel {
    /// The keys of all that it has.
    func keys() async throws -> [String] { try await lookup(.everything).map(\.key).sorted() }
}

extension TestClock {
    /// Never wakes anybody: only what happens without being woken happens.
    var sleepless: CacheClock {
        CacheClock(
            now: { self.now },
            sleep: { _ in
                while !Task.isCancelled { await Task.yield() }
                throw CancellationError()
            })
    }
}
