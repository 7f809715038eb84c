import LarderStore
import LarderWire

/// A list of all keys, made bucket by bucket: `lru_crawler metadump`, `mgdump`, `stats cachedump`.
///
/// It holds no more than its place in the walk. Items that come or go meanwhile may be missing; those
/// that are there all the time are listed once.
final class KeyDump: AnswerStream {
    /// Buckets for one piece: some hundred items, in less than a tenth of a millisecond.
    private static let bucketsMax = 32
    private let form: KeyDumpForm
    private var walk = ItemWalk()
    private var itemsLeft: Int
    private var hasBegun = false
    private let isEmpty: Bool

    /// - Parameter itemsMax: 0 for all of them.
    init(_ form: KeyDumpForm, isEmpty: Bool, itemsMax: Int = 0) {
        self.form = form
        self.isEmpty = isEmpty
        itemsLeft = itemsMax > 0 ? itemsMax : Int.max
    }

    override func writePiece(_ connection: inout Connection, _ context: inout WorkerContext) -> Progress {
        if !hasBegun, form != .cachedump { connection.reply(.ok, &context) }
        hasBegun = true
        if !isEmpty {
            withUnsafeTemporaryAllocation(of: Item.self, capacity: ItemWalk.itemsMax) { items in
                guard let items = items.baseAddress else { return }
                for _ in 0..<Self.bucketsMax where !isOver && connection.phase == .streaming {
                    let count = context.session.nextItems(&walk, into: items)
                    for place in 0..<count where itemsLeft > 0 { write(items[place], &connection, &context) }
                }
            }
            guard isOver else { return .more }
        }
        connection.write(form == .mgdump ? "EN\r\n" : "END\r\n", &context)
        return .done
    }

    private var isOver: Bool { walk.isComplete || itemsLeft == 0 }

    private func write(_ item: Item, _ connection: inout Connection, _ context: inout WorkerContext) {
        // The state of a replicated cache has a key that no client can name.
        guard context.session.expiry(of: item) > context.now, item.keyLength <= TextParser.keyLengthMax else { return }
        // The line of `stats cachedump` has the key as it is, so a key that could end the line is left out; and so is a
        // binary key, as in memcached. The other forms encode such keys.
        if form == .cachedump, item.keyIsBinary || !KeyText.isPlain(item.key, item.keyLength) { return }
        if connection.writeDumpLine(form, item, &context) { itemsLeft -= 1 }
    }
}

extension Connection {
    /// Writes the line of a dump for an item. Without memory for it the connection ends, and the answer is false.
    mutating func writeDumpLine(_ form: KeyDumpForm, _ item: Item, _ context: inout WorkerContext) -> Bool {
        guard let out = output.room(TextDump.lineLengthMax, &context.pool) else {
            outOfReplyMemory(&context)
            return false
        }
        let expiry = context.session.expiry(of: item)
        let length = TextDump.encode(
            form, key: item.key, keyLength: item.keyLength,
            DumpedItem(
                expiryTime: expiry == Int64.max ? nil : expiry / 1000,
                accessTime: context.now / 1000 - Int64(context.session.secondsSinceAccess(item, now: context.now)),
                cas: context.casIsEnabled ? context.session.cas(of: item) : 0,
                wasFetched: item.wasFetched, totalBytes: context.session.size(of: item),
                valueBytes: item.valueLength, clientFlags: item.clientFlags,
                keyIsBinary: item.keyIsBinary),
            at: out)
        output.didWrite(length)
        return true
    }
}
