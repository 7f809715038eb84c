import Synchronization

/// What the levels of a cache tell it: passed on to whoever wants to know, and to the lookups that are kept.
final class LayerEvents: Sendable {
    private let lookups: Mutex<CachedLookups>
    private let onRemoval: (@Sendable (LevelRemoval) -> Void)?

    init(listBytesMax: Int, _ onRemoval: (@Sendable (LevelRemoval) -> Void)?) {
        lookups = Mutex(CachedLookups(bytesMax: listBytesMax))
        self.onRemoval = onRemoval
    }

    /// What a level gets.
    func context(_ depth: Int, _ stack: [any CacheLevel], _ clock: CacheClock) -> LevelContext {
        let name = stack[depth].name
        let isLast = depth == stack.count - 1
        return LevelContext(clock: clock, isObserved: onRemoval != nil) { item, reason in
            // Lookups list what the last level has.
            if isLast { self.lookups.withLock { $0.drop(containing: .exactly(item.key)) } }
            self.onRemoval?(LevelRemoval(depth: depth, level: name, item: item, reason: reason))
        }
    }

    /// What a lookup found, unless something has made it wrong.
    func lookup(_ pattern: KeyPattern, now: Int64) -> LookupResults? {
        lookups.withLock { $0.find(pattern, now: now) }
    }

    func keepLookup(_ pattern: KeyPattern, _ entries: [LevelEntry], _ results: LookupResults) {
        lookups.withLock { $0.keep(pattern, entries, results) }
    }

    func changeLookups(_ body: (inout CachedLookups) -> Void) { lookups.withLock { body(&$0) } }
}
