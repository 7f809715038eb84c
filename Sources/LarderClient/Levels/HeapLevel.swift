import Synchronization

/// A level in this process's memory: the first of every `LayeredCache`, and possible further out as well.
///
/// When it is full, what was used longest ago goes, reads being uses; a value that would not fit into the empty
/// level is refused, and nothing goes for it. Its functions never wait.
public final class HeapLevel: CacheLevel {
    private struct State {
        var items = HeapItems()
        var context = LevelContext()
    }

    /// What it is called in dumps and removals.
    public let name: String
    /// How much it may hold.
    public let limits: LevelLimits
    private let state = Mutex(State())

    /// An empty level.
    public init(name: String = "heap", limits: LevelLimits = LevelLimits()) {
        self.name = name
        self.limits = limits
    }

    /// How many items there are.
    public var itemCount: Int { state.withLock { $0.items.count } }

    /// How many bytes their values have together.
    public var footprintBytes: Int { state.withLock { $0.items.footprintBytes } }

    public func create(_ context: LevelContext) { state.withLock { $0.context = context } }

    /// All items go.
    public func destroy() { removeAll(.destroyed) }

    /// All items go.
    public func expunge() { removeAll(.expunged) }

    public func admit(_ item: LevelItem) throws(CacheError) -> LevelItem {
        guard limits.admit(payloadBytes: item.payload.count) else { throw .tooLarge(item, for: name) }
        return item
    }

    public func write(_ item: LevelItem) throws(CacheError) {
        _ = try admit(item)
        changing { state in
            var removed: [(LevelItem, RemovalReason)] = []
            if let previous = state.items.put(item) { removed.append((previous, .overwritten)) }
            while !limits.admit(
                itemCount: state.items.count, footprintBytes: state.items.footprintBytes),
                let evicted = state.items.removeLeastRecentlyUsed()
            {
                removed.append((evicted, .evicted))
            }
            return removed
        }
    }

    /// By key.
    public func lookup(_ pattern: KeyPattern) -> [LevelEntry] {
        state.withLock { state in
            Self.keys(matching: pattern, state.items).sorted()
                .compactMap { state.items.item($0).map { LevelEntry($0) } }
        }
    }

    public func invalidate(_ pattern: KeyPattern, reason: RemovalReason) {
        changing { state in
            Self.keys(matching: pattern, state.items)
                .compactMap { key in state.items.remove(key).map { ($0, reason) } }
        }
    }

    public func get(_ key: String) -> LevelItem? { state.withLock { $0.items.use(key) } }

    public func expire(now: Int64) -> Int64? {
        changing { state in
            var removed: [(LevelItem, RemovalReason)] = []
            while let item = state.items.removeEnded(at: now) { removed.append((item, .expired)) }
            return removed
        }
        return state.withLock { $0.items.nextEnd() }
    }

    private static func keys(matching pattern: KeyPattern, _ items: HeapItems) -> [String] {
        if let key = pattern.key { return [key] }
        return items.keys.filter { pattern.matches($0) }
    }

    private func removeAll(_ reason: RemovalReason) {
        changing { state in state.items.removeAll().map { ($0, reason) } }
    }

    /// Reports what went when the lock is free again: whoever is told may come back.
    private func changing(_ body: (inout State) -> [(LevelItem, RemovalReason)]) {
        let (removed, context) = state.withLock { (body(&$0), $0.context) }
        for (item, reason) in removed { context.removed(item, reason) }
    }
}

extension CacheError {
    static func tooLarge(_ item: LevelItem, for level: String) -> CacheError {
        CacheError(
            .tooLarge,
            "the level \(level) never takes a value of \(item.payload.count) bytes: raise its limits, or store less"
        )
    }
}
