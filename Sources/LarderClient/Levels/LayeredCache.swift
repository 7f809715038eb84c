import Synchronization

/// A cache of levels: L1 in memory, before any number of others, of which the last has everything.
///
///     let jar = CookieJarLevel(path: "cookies.txt")
///     let cache = try await LayeredCache(name: "cookies", limits: LevelLimits(itemsMax: 100), levels: [jar])
///     try await cache.write("host.com|/|id", line)
///     let value = try await cache.get("host.com|/|id")
///
/// What is written goes to every level, and what is removed leaves every level. A value that is found further out
/// is put into the levels before, so that it is there the next time. Levels that are full let go of what was used
/// longest ago; what leaves one of the first levels so stays in the last.
///
/// An item is gone at every level when its time is over, without anybody reading it, and is given to nobody after
/// that.
///
/// What other programs change in a level is seen here when L1 no longer has the item, or the lookup, from before.
///
/// Calls may come from many tasks. Those that concern the same key at the levels beyond L1 pass one after another,
/// and those that concern all keys pass alone; what L1 has is read without waiting for anybody.
public final class LayeredCache: Sendable {
    /// What it, and its L1, is called in dumps and removals.
    public let name: String
    let first: HeapLevel
    /// L1 and those after it.
    let stack: [any CacheLevel]
    let clock: CacheClock
    let events: LayerEvents
    let turns = KeyTurns()
    private let timer: ExpiryTimer
    private let isDestroyed = Atomic(false)

    /// Waited for after a level could not remove what has ended; twice as long each further time, up to a minute or
    /// so, since everybody else waits while a server that is down is asked.
    private static let retryMilliseconds: Int64 = 1000
    private static let doublingsMax = 6
    /// How often in a row some level could not.
    private let expiryFailures = Atomic(0)

    /// Makes a cache, and gets its levels ready.
    /// - Parameters:
    ///   - limits: L1's.
    ///   - levels: those beyond L1, the last one last. Without any L1 is the last.
    ///   - clock: the time.
    ///   - onRemoval: is told of each item that leaves a level, once, when it has been taken out, and before the
    ///     call that made it leave returns. It is called on that call's task, with no lock held, and must not wait
    ///     for another call to this cache: that may be waiting for its own.
    /// - Throws: what a level throws that cannot get ready.
    public init(
        name: String, limits: LevelLimits = LevelLimits(), levels: [any CacheLevel] = [],
        clock: CacheClock = .system, onRemoval: (@Sendable (LevelRemoval) -> Void)? = nil
    ) async throws(CacheError) {
        self.name = name
        self.clock = clock
        first = HeapLevel(name: name, limits: limits)
        stack = [first] + levels
        events = LayerEvents(listBytesMax: LevelLimits.limit(limits.footprintBytesMax), onRemoval)
        timer = ExpiryTimer(clock)
        try await createLevels()
        // What was kept from before may have ended meanwhile.
        await expire()
    }

    deinit { timer.stop() }

    private func createLevels() async throws(CacheError) {
        for depth in stack.indices.reversed() {
            do {
                try await stack[depth].create(events.context(depth, stack, clock))
            } catch {
                for level in stack[(depth + 1)...] { try? await level.destroy() }
                throw error
            }
        }
    }

    // MARK: Reading

    /// The value under a key, from the first level that has it, or nil.
    /// - Throws: what a level throws that has to be asked.
    public func get(_ key: String) async throws(CacheError) -> [UInt8]? {
        if let item = first.get(key), !item.hasEnded(at: clock.now()) { return item.payload }
        return try await turn(.key(key)) { () async throws(CacheError) in try await find(key) }
    }

    private func find(_ key: String) async throws(CacheError) -> [UInt8]? {
        for (depth, level) in stack.enumerated() {
            guard let item = try await level.get(key) else { continue }
            guard !item.hasEnded(at: clock.now()) else {
                // If that fails, the timer has it removed.
                try? await level.invalidate(.exactly(key), reason: .expired)
                continue
            }
            schedule(item.endMilliseconds)
            for inner in stack[..<depth].reversed() {
                // The value is found, whatever becomes of this.
                guard let kept = try? inner.admit(item), kept.key == key else { continue }
                try? await inner.write(kept)
            }
            return item.payload
        }
        return nil
    }

    /// How many bytes the values in L1 have together.
    public var footprintBytes: Int { first.footprintBytes }

    /// How many items L1 has.
    public var itemCount: Int { first.itemCount }

    // MARK: Writing

    /// Puts a value under a key, at every level that takes one of its size. What was there is removed from all
    /// levels first.
    ///
    /// When that fails at one of the levels nothing is written; when writing does, the levels further out have the
    /// value.
    /// - Throws: `CacheError` with the code `tooLarge`, or another, when the last level would never take it:
    ///   nothing has changed then. Or what a level throws.
    public func write(
        _ key: String, _ payload: [UInt8], expiration: Expiration = .never
    ) async throws(CacheError) {
        let end = expiration.milliseconds(now: clock.now())
        let last = stack[stack.count - 1]
        let item = try last.admit(
            LevelItem(key: key, payload: payload, endMilliseconds: end == .max ? nil : end))
        try await turn(.key(item.key)) { () async throws(CacheError) in
            defer { events.changeLookups { $0.drop(matching: item.key, last) } }
            try await atEachLevel { (level) async throws(CacheError) in
                try await level.invalidate(.exactly(item.key), reason: .overwritten)
            }
            // What has ended already would take the room of something else.
            guard !item.hasEnded(at: clock.now()) else { return }
            schedule(item.endMilliseconds)
            try await last.write(item)
            for level in stack.dropLast().reversed() {
                guard let kept = try? level.admit(item), kept.key == item.key else { continue }
                try await level.write(kept)
            }
        }
    }

    /// Removes what matches a wildcard, at every level: `myitem*` for `myitem` and all that begins so. Nothing is
    /// no error.
    /// - Throws: what the first level throws that could not; the others have been asked as well.
    public func remove(_ wildcard: String) async throws(CacheError) {
        try await remove(KeyPattern(wildcard))
    }

    /// Removes what a pattern matches, at every level. Nothing is no error.
    /// - Throws: what the first level throws that could not; the others have been asked as well.
    public func remove(_ pattern: KeyPattern) async throws(CacheError) {
        try await turn(pattern.key.map { .key($0) } ?? .everything) { () async throws(CacheError) in
            defer { events.changeLookups { $0.drop(containing: pattern) } }
            try await atEachLevel { (level) async throws(CacheError) in
                try await level.invalidate(pattern, reason: .removed)
            }
        }
    }

    // MARK: Parts of it all

    /// Has the place to itself, or to one key of it, while `body` runs.
    func turn<Result: Sendable>(
        _ scope: KeyTurns.Scope, _ body: () async throws(CacheError) -> Result
    ) async throws(CacheError) -> Result {
        try await turns.pass(scope) { () async throws(CacheError) in
            guard !isDestroyed.load(ordering: .acquiring) else {
                throw CacheError(.unavailable, "the cache \(name) was destroyed")
            }
            return try await body()
        }
    }

    /// Asks all levels, the last first, also when one of them throws; then throws what the first of those threw.
    func atEachLevel(
        _ body: (any CacheLevel) async throws(CacheError) -> Void
    ) async throws(CacheError) {
        var failure: CacheError?
        for level in stack.reversed() {
            do {
                try await body(level)
            } catch {
                failure = failure ?? error
            }
        }
        if let failure { throw failure }
    }

    /// Has what has ended removed at that time.
    func schedule(_ end: Int64?) {
        guard let end else { return }
        timer.schedule(end) { [weak self] in await self?.expire() }
    }

    /// Removes at all levels what has ended, and comes back for what ends next.
    private func expire() async {
        let next = try? await turn(.everything) { () async throws(CacheError) in
            let now = clock.now()
            events.changeLookups { $0.expire(now: now) }
            var next: Int64?
            var hasFailed = false
            for level in stack.reversed() {
                let end: Int64?
                do {
                    end = try await level.expire(now: now)
                } catch {
                    hasFailed = true
                    let doublings = min(expiryFailures.load(ordering: .relaxed), Self.doublingsMax)
                    end = now + Self.retryMilliseconds << Int64(doublings)
                }
                // A level that says it has left something would be asked again at once.
                if let end { next = min(next ?? .max, max(end, now + 1)) }
            }
            let failures = expiryFailures.load(ordering: .relaxed)
            expiryFailures.store(hasFailed ? failures + 1 : 0, ordering: .relaxed)
            return next
        }
        schedule(next)
    }

    /// From now on every call that finds nothing in L1 throws.
    /// - Returns: false when it was so before.
    func endUse() -> Bool {
        timer.stop()
        return !isDestroyed.exchange(true, ordering: .acquiringAndReleasing)
    }
}
