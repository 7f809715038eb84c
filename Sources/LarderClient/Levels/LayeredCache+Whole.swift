/// What concerns the whole of a cache.
extension LayeredCache {
    /// The keys that match a wildcard and are at the last level, each once, by the rules of that level.
    ///
    /// What was found is kept until one of its items ends, leaves the last level or is written anew, or another
    /// comes that belongs to it: the same lookup costs nothing until then.
    /// - Throws: what the last level throws.
    public func lookup(_ wildcard: String) async throws(CacheError) -> LookupResults {
        let pattern = KeyPattern(wildcard)
        if let results = events.lookup(pattern, now: clock.now()) { return results }
        return try await turn(.everything) { () async throws(CacheError) in
            // Somebody else may have looked it up meanwhile.
            if let results = events.lookup(pattern, now: clock.now()) { return results }
            let found = try await stack[stack.count - 1].lookup(pattern)
            let now = clock.now()
            var keys: Set<String> = []
            let entries = found.filter { !$0.hasEnded(at: now) && keys.insert($0.key).inserted }
            let results = LookupResults(entries)
            events.keepLookup(pattern, entries, results)
            schedule(entries.compactMap(\.endMilliseconds).min())
            return results
        }
    }

    /// Empties all levels, and removes what they were kept in.
    /// - Throws: what the first level throws that could not; the others are empty.
    public func expunge() async throws(CacheError) {
        try await turn(.everything) { () async throws(CacheError) in
            defer { events.changeLookups { $0.dropAll() } }
            try await atEachLevel { (level) async throws(CacheError) in try await level.expunge() }
        }
    }

    /// Ends the cache. What levels keep elsewhere than in memory stays there. A second time nothing happens.
    ///
    /// Who only lets go of the cache frees its memory all the same, but is not told what was in it.
    /// - Throws: what the first level throws that could not close; the others are closed.
    public func destroy() async throws(CacheError) {
        try await turns.pass(.everything) { () async throws(CacheError) in
            guard endUse() else { return }
            defer { events.changeLookups { $0.dropAll() } }
            try await atEachLevel { (level) async throws(CacheError) in try await level.destroy() }
        }
    }

    /// Each level's name, count and earliest end, and a line for each item, in milliseconds since 1970.
    /// - Throws: what a level throws that cannot be read.
    public func debugDump() async throws(CacheError) -> String {
        try await turn(.everything) { () async throws(CacheError) in
            var parts: [String] = []
            for level in stack { parts.append(try await level.debugDump()) }
            return parts.joined(separator: "\n")
        }
    }
}
