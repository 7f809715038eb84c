import Synchronization

/// A level in a cookie file as Netscape, curl and wget have it, which other programs may read and change meanwhile.
///
///     try await cache.write("host.com|/|id", Array("host.com\tFALSE\t/\tTRUE\t4000000000\tid\t42".utf8))
///     for cookie in try await cache.lookup("host.com|/shop|*") { print(cookie.key) }
///
/// A value is a cookie's whole line. What it is kept under, `host|path|name`, and when it ends come from the line,
/// whatever the caller says; one that ends with the session (0) has no end here. A lookup of `host|path|name`, the
/// path without stars, finds the cookies that a request for the path would carry: `/a/b` those of `/`, `/a` and
/// `/a/b`, not those of `/a/bc`; other lookups, and all removals, take the whole as a wildcard.
///
/// Every change writes the whole file anew, the new cookie first, without cookies that have ended. It holds a lock
/// file for that, with `.LCK` after the name, and tries fifty times within five seconds to get it. A file that was
/// not there is its owner's alone.
public final class CookieJarLevel: CacheLevel {
    private struct State {
        var context = LevelContext()
        /// When each cookie was last read or written here, as a number that counts up.
        var uses: [String: Int] = [:]
        var lastUse = 0
    }

    /// What it is called in dumps and removals.
    public let name: String
    /// How much the file may hold. What was used here longest ago goes; of what was not, the last of the file.
    public let limits: LevelLimits
    private let file: CookieFile
    private let state = Mutex(State())
    /// Within this process nobody has to try.
    private let turns = KeyTurns()

    /// A level in a file, which need not be there.
    public init(path: String, name: String = "cookie jar", limits: LevelLimits = LevelLimits()) {
        file = CookieFile(path: path)
        self.name = name
        self.limits = limits
    }

    /// Looks whether the file can be read.
    public func create(_ context: LevelContext) throws(CacheError) {
        state.withLock { $0.context = context }
        _ = try file.read()
    }

    /// The file stays.
    public func destroy() {}

    /// Removes the file.
    public func expunge() async throws(CacheError) {
        let context = state.withLock { $0.context }
        let lines = try await turns.pass(.everything) { () async throws(CacheError) in
            try await file.remove(context.clock)
        }
        for item in lines.compactMap(\.item) { context.removed(item, .expunged) }
    }

    public func admit(_ item: LevelItem) throws(CacheError) -> LevelItem {
        guard let cookie = CookieLine(item.payload).item else {
            throw CacheError(
                .cannotEncode, "what is to be under \(item.key.debugDescription) is no line of a cookie file")
        }
        guard limits.admit(payloadBytes: cookie.payload.count) else { throw .tooLarge(cookie, for: name) }
        return cookie
    }

    public func write(_ item: LevelItem) async throws(CacheError) {
        let cookie = try admit(item)
        let uses = use(cookie.key)
        try await change { lines in
            let replaced = lines.take { $0.tag == cookie.key }
            lines.insert(CookieLine(cookie.payload), at: 0)
            return replaced.map { ($0, .overwritten) } + evict(&lines, uses)
        }
    }

    public func tagMatch(_ pattern: KeyPattern, _ key: String) -> Bool { CookieQuery(pattern).matches(key) }

    /// In the order of the file.
    public func lookup(_ pattern: KeyPattern) throws(CacheError) -> [LevelEntry] {
        let query = CookieQuery(pattern)
        return try file.read().compactMap(\.item).filter { query.matches($0.key) }.map { LevelEntry($0) }
    }

    public func invalidate(_ pattern: KeyPattern, reason: RemovalReason) async throws(CacheError) {
        try await change { lines in
            lines.take { $0.tag.map(pattern.matches) ?? false }.map { ($0, reason) }
        }
    }

    public func get(_ key: String) throws(CacheError) -> LevelItem? {
        let item = try file.read().first { $0.tag == key }?.item
        if item != nil { _ = use(key) }
        return item
    }

    public func expire(now: Int64) async throws(CacheError) -> Int64? {
        if try file.read().contains(where: { $0.hasEnded(at: now) }) { try await change { _ in [] } }
        return try file.read().compactMap(\.endMilliseconds).min()
    }

    /// Notes that a cookie is used.
    /// - Returns: when all were, the last time.
    private func use(_ key: String) -> [String: Int] {
        state.withLock { state in
            state.lastUse += 1
            state.uses[key] = state.lastUse
            return state.uses
        }
    }

    /// Takes out what is too much: never the first line, which is new and not too large by itself.
    private func evict(_ lines: inout [CookieLine], _ uses: [String: Int]) -> [(LevelItem, RemovalReason)] {
        var cookies = lines.compactMap(\.item)
        var footprintBytes = cookies.reduce(0) { $0 + $1.payload.count }
        var evicted: [(LevelItem, RemovalReason)] = []
        while cookies.count > 1, !limits.admit(itemCount: cookies.count, footprintBytes: footprintBytes) {
            let order = cookies.indices.dropFirst().reversed()
            guard let oldest = order.min(by: { uses[cookies[$0].key] ?? 0 < uses[cookies[$1].key] ?? 0 })
            else { break }
            let item = cookies.remove(at: oldest)
            footprintBytes -= item.payload.count
            lines.removeAll { $0.tag == item.key }
            evicted.append((item, .evicted))
        }
        return evicted
    }

    /// Changes the file, and reports what is no longer in it when nothing is held any more.
    private func change(
        _ body: (inout [CookieLine]) -> [(LevelItem, RemovalReason)]
    ) async throws(CacheError) {
        let context = state.withLock { $0.context }
        let removed = try await turns.pass(.everything) { () async throws(CacheError) in
            try await file.change(context.clock) { lines in
                let now = context.clock.now()
                let ended = lines.take { $0.hasEnded(at: now) }.map { ($0, RemovalReason.expired) }
                return ended + body(&lines)
            }
        }
        state.withLock { state in
            for (item, reason) in removed where reason != .overwritten { state.uses[item.key] = nil }
        }
        for (item, reason) in removed { context.removed(item, reason) }
    }
}

extension [CookieLine] {
    /// Takes out the cookies of which something is so.
    fileprivate mutating func take(_ isMeant: (CookieLine) -> Bool) -> [LevelItem] {
        let taken = filter { $0.tag != nil && isMeant($0) }
        removeAll { $0.tag != nil && isMeant($0) }
        return taken.compactMap(\.item)
    }
}
