import LarderStore
import LarderWire

/// The two requests that nearly all are, in the shape that nearly all have: a `get` of plain keys, and a
/// `set` whose value is there already. Both mean what they mean by way of `Execute`; they only get there
/// in fewer steps, as long as nobody looks over their shoulder (`WorkerContext.answersPlainly`).
extension Connection {
    /// What the first bytes of a line are, read as a number.
    private static var setWord: UInt32 { 0x20_74_65_73 }
    /// `STORED` and a line end.
    private static var storedRoomBytes: Int { 8 }

    /// Answers what comes next if it is one of the two; false, and nothing done, when it is not.
    @inline(__always)
    mutating func answerPlainly(_ context: inout WorkerContext, _ budget: inout Int) -> Bool {
        // What is shorter than this is left alone, but for the last key of a line of them.
        guard context.answersPlainly, input.count > 5 || parser.retrievalTerminator != 0 else { return false }
        if case .undecided = dialect { decideDialect() }
        if case .text = dialect, parser.retrievalTerminator == 0,
            // SAFETY: more than four bytes are there.
            UInt32(littleEndian: UnsafeRawPointer(input.base + input.start).loadUnaligned(as: UInt32.self)) == Self.setWord
        {
            return storePlainly(&context, &budget)
        }
        return retrieveBatch(&context, &budget)
    }

    private mutating func storePlainly(_ context: inout WorkerContext, _ budget: inout Int) -> Bool {
        let base = UnsafePointer(input.base)
        let line = context.batch.set
        guard parser.takeSet(base, cursor: &input.start, end: input.end, line) else { return false }
        budget &-= Self.requestCost
        let key = context.session.hashed(base + line.pointee.keyStart, length: line.pointee.keyLength)
        var outcome = StoreOutcome.tooLarge
        if Execute.isTooLarge(
            keyLength: line.pointee.keyLength, valueLength: line.pointee.valueLength, clientFlags: line.pointee.clientFlags, context)
        {
            // The old value must not be read any more.
            _ = context.session.delete(key, now: context.now)
        } else {
            context.counters.add(.cmdSet)
            outcome = context.session.set(
                key, value: base + line.pointee.valueStart, valueLength: line.pointee.valueLength, clientFlags: line.pointee.clientFlags,
                expiry: Execute.expiry(ofSeconds: line.pointee.exptime, now: context.now), now: context.now)
        }
        if case .stored = outcome, let out = output.room(Self.storedRoomBytes, &context.pool) {
            output.didWrite(TextEncoder.encodeStored(at: out))
        } else {
            answer(outcome, &context)
        }
        return true
    }

    /// What else a `set` can come to.
    @inline(never)
    private mutating func answer(_ outcome: StoreOutcome, _ context: inout WorkerContext) {
        switch outcome {
        case .tooLarge:
            context.counters.add(.storeTooLarge)
            reply(.tooLarge, &context)
        case .noMemory:
            context.counters.add(.storeNoMemory)
            reply(.outOfMemoryStoring, &context)
        default: reply(.stored, &context)
        }
    }
}
