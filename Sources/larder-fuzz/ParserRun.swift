import LarderWire

/// A parser without a socket, driven as the server drives it.
protocol ParserRun {
    var takesBatches: Bool { get }
    /// The place in the input of the first byte that was not taken.
    var start: Int { get set }
    /// Bytes of a refused value that are still to be skipped.
    var swallowBytes: Int { get set }
    var isClosed: Bool { get }
    var isAwaitingValue: Bool { get }

    /// Takes the awaited value. False if it has not arrived before `end`.
    mutating func takeAwaitedValue(_ bytes: [UInt8], _ end: Int) -> Bool
    /// Takes the requests that the server would take as a batch. False if there is none.
    mutating func takeBatch(_ copy: borrowing Copy, _ cursor: inout Int) -> Bool
    mutating func parse(_ copy: borrowing Copy, _ cursor: inout Int) -> ParseStep
    mutating func note(_ step: ParseStep, _ copy: borrowing Copy)
}

extension ParserRun {
    /// Lets the parser see the bytes before `end`.
    mutating func feed(_ bytes: [UInt8], to end: Int) {
        while !isClosed, turn(bytes, end) {}
    }

    /// One step. False if the parser needs more bytes.
    private mutating func turn(_ bytes: [UInt8], _ end: Int) -> Bool {
        if swallowBytes > 0 {
            let count = min(swallowBytes, end - start)
            start += count
            swallowBytes -= count
            return count > 0
        }
        if isAwaitingValue { return takeAwaitedValue(bytes, end) }
        guard start < end else { return false }
        let copy = Copy(bytes[start..<end])
        var cursor = 0
        if takesBatches, takeBatch(copy, &cursor) {
            start += cursor
            return true
        }
        let step = parse(copy, &cursor)
        guard cursor >= 0, cursor <= copy.count else { fault("the cursor is at \(cursor) of \(copy.count)") }
        guard step == .needMore ? cursor == 0 : step == .close || cursor > 0 else {
            fault("\(step) moved by \(cursor)")
        }
        start += cursor
        note(step, copy)
        return step != .needMore
    }
}

/// Room for a batch of the largest size.
final class BatchRoom {
    let step = StepRoom()
    var keys: UnsafeMutablePointer<RetrievalKey> { step.keys }
    var sets: UnsafeMutablePointer<ArrivedSet> { step.sets }

    deinit { step.deallocate() }
}
