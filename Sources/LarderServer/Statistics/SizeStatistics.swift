import LarderStore

/// `stats sizes`: how many items there are of each size, in steps of 32 bytes. Counted when somebody
/// asks, so that keeping track costs nothing.
final class SizeStatistics: AnswerStream {
    private static let stepBytes = 32
    private static let bucketsMax = 128
    private static let linesMax = 256
    private var walk = ItemWalk()
    private var counts: [Int: Int] = [:]
    private var sizes: [Int] = []

    override func writePiece(_ connection: inout Connection, _ context: inout WorkerContext) -> Progress {
        if !walk.isComplete {
            countSome(context.session, now: context.now)
            if walk.isComplete { sizes = counts.keys.sorted(by: >) }
            return .more
        }
        var lines = StatisticsList()
        for _ in 0..<Self.linesMax {
            guard let size = sizes.popLast() else { break }
            lines.add("\(size * Self.stepBytes)", counts[size] ?? 0)
        }
        connection.write(lines, &context)
        if !sizes.isEmpty { return .more }
        connection.writeEndOfStatistics(&context)
        return .done
    }

    private func countSome(_ session: borrowing Session, now: Int64) {
        withUnsafeTemporaryAllocation(of: Item.self, capacity: ItemWalk.itemsMax) { items in
            guard let items = items.baseAddress else { return }
            for _ in 0..<Self.bucketsMax where !walk.isComplete {
                let count = session.nextItems(&walk, into: items)
                for place in 0..<count where !session.isDead(items[place], now: now) {
                    let step = (session.size(of: items[place]) + Self.stepBytes - 1) / Self.stepBytes
                    counts[step, default: 0] += 1
                }
            }
        }
    }
}
