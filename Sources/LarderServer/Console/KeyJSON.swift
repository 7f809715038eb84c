import LarderEventLoop
import LarderStore

/// The answer to a search for a key: the item without its value. The search does not count as a use of the item.
enum KeyJSON {
    static func answer(_ fields: QueryFields, _ state: ServerState) -> HTTPAnswer {
        guard let cache = Console.cache(fields, state) else {
            return Console.json(404, error("there is no such cache"))
        }
        guard let key = fields["key"], (1...keyBytesMax).contains(key.count) else {
            return Console.json(400, error("key= takes 1 to \(keyBytesMax) bytes in percent-encoding"))
        }
        guard cache.isReady else { return Console.json(503, error("cache \(cache.name) reads its file")) }
        let now = state.clock.now()
        let damages = StoreDamage.count
        do throws(StoreError) {
            let facts = try cache.store.facts(of: key, now: now)
            guard isSound(cache, since: damages) else { return damaged }
            return Console.json(200, facts.map { found($0, now: now) } ?? JSONText.object([("found", "false")]) + "\n")
        } catch {
            return Console.json(503, self.error("\(error)"))
        }
    }

    private static let keyBytesMax = 250

    /// Whether what was read of a cache since `StoreDamage.count` had this value can be shown.
    static func isSound(_ cache: ServedCache, since damages: UInt32) -> Bool {
        !cache.store.isInFile || StoreDamage.count == damages
    }

    /// The answer if it cannot.
    static var damaged: HTTPAnswer {
        Console.json(503, error("another program changed the store's file meanwhile: ask again"))
    }

    static func error(_ text: String) -> String { JSONText.object([("error", JSONText.string(text))]) + "\n" }

    private static func found(_ facts: ItemFacts, now: Int64) -> String {
        let expiry = facts.expiryMilliseconds
        return JSONText.object([
            ("found", "true"),
            ("value_bytes", "\(facts.valueBytes)"),
            ("memory_bytes", "\(facts.memoryBytes)"),
            ("flags", "\(facts.clientFlags)"),
            // A string: JavaScript's numbers have 53 bits.
            ("cas", JSONText.string("\(facts.cas)")),
            ("expires_in_ms", expiry == Int64.max ? "null" : "\(expiry &- now)"),
            ("seconds_since_access", "\(facts.secondsSinceAccess)"),
            ("was_fetched", "\(facts.wasFetched)"),
            ("is_stale", "\(facts.isStale)"),
            ("is_win_sent", "\(facts.isWinSent)"),
            ("key_is_binary", "\(facts.keyIsBinary)"),
        ]) + "\n"
    }
}
