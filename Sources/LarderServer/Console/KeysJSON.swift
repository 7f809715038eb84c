import LarderEventLoop
import LarderStore

/// A page of the keys that begin with a prefix. The list does not count as a use of the items.
enum KeysJSON {
    private static let keysMax: ClosedRange<UInt64> = 1...1000
    private static let prefixBytesMax = 250
    /// Buckets of the index that one answer looks at: some 100 milliseconds. The page may be shorter because of it.
    private static let bucketsMax = 1 << 18

    static func answer(_ fields: QueryFields, _ state: ServerState) -> HTTPAnswer {
        guard state.settings.dumpEnabled else {
            return Console.json(403, KeyJSON.error("the server runs with -X, which forbids lists of keys"))
        }
        guard let cache = Console.cache(fields, state) else {
            return Console.json(404, KeyJSON.error("there is no such cache"))
        }
        let prefix = fields["prefix"] ?? []
        guard prefix.count <= prefixBytesMax else {
            return Console.json(400, KeyJSON.error("prefix= takes at most \(prefixBytesMax) bytes"))
        }
        guard let limit = fields.number("limit", default: 100, in: keysMax),
            let cursor = fields.number("cursor", default: 0, in: 0...UInt64.max)
        else {
            return Console.json(
                400, KeyJSON.error("limit= takes \(keysMax.lowerBound) to \(keysMax.upperBound), cursor= a number"))
        }
        guard cache.isReady else { return Console.json(503, KeyJSON.error("cache \(cache.name) reads its file")) }
        let damages = StoreDamage.count
        do throws(StoreError) {
            let page = try cache.store.keys(
                KeyPage(from: cursor, prefix: prefix, keysMax: Int(limit)), bucketsMax: bucketsMax,
                now: state.clock.now())
            guard KeyJSON.isSound(cache, since: damages) else { return KeyJSON.damaged }
            return Console.json(200, text(page.keys, cursor: page.cursor))
        } catch {
            return Console.json(503, KeyJSON.error("\(error)"))
        }
    }

    /// Keys are percent-encoded, since they may have any bytes. The cursor is a string: JavaScript's numbers have 53 bits.
    private static func text(_ keys: [[UInt8]], cursor: UInt64) -> String {
        JSONText.object([
            ("keys", JSONText.array(keys.map { JSONText.string(PrintableKey.percentEncoded($0)) })),
            ("cursor", cursor == 0 ? "null" : JSONText.string("\(cursor)")),
        ]) + "\n"
    }
}
