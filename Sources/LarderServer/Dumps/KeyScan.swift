import LarderStore
import LarderWire

/// The answer of `lru_crawler scan`: a page of keys in the lines of `metadump`, and the cursor of the next page.
final class KeyScan: AnswerStream {
    /// Buckets for one piece, as in `KeyDump`.
    private static let bucketsMax = 32
    private var page: KeyPage

    init(_ page: KeyPage) { self.page = page }

    override func writePiece(_ connection: inout Connection, _ context: inout WorkerContext) -> Progress {
        withUnsafeTemporaryAllocation(of: Item.self, capacity: ItemWalk.itemsMax) { items in
            guard let items = items.baseAddress else { return }
            for _ in 0..<Self.bucketsMax where !page.isComplete && connection.phase == .streaming {
                let count = context.session.nextItems(of: &page, into: items, now: context.now)
                for place in 0..<count {
                    guard connection.writeDumpLine(.metadump, items[place], &context) else { return }
                }
            }
        }
        guard page.isComplete else { return .more }
        connection.write("CURSOR \(page.cursor)\r\nEND\r\n", &context)
        return .done
    }
}
