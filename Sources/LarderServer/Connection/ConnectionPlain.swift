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
            UInt32(littleEndian: UnsafeRawPointer(input.base + input.start).loadUnaligned(as: UInt32.self))
                == Self.setWord
        {
            return storePlainly(&context, &budget)
        }
        return retrieveBatch(&context, &budget)
    }

    /// Sets that follow each other are taken up together, so that what the later ones need of memory is fetched
    /// while the first is stored: the index lines, then the items that they replace, as `Session.lookUp` does it.
    private mutating func storePlainly(_ context: inout WorkerContext, _ budget: inout Int) -> Bool {
        let base = UnsafePointer(input.base)
        let batch = context.batch
        // `requestCost` is a power of two, and the budget above 0.
        let countMax = min(RequestBatch.countMax, (budget &+ 63) &>> 6)
        var count = 0
        var exptimes: Int64 = 0
        while count < countMax, count == 0 || nextIsSet,
            parser.takeSet(base, cursor: &input.start, end: input.end, batch.sets + count)
        {
            batch.lookups[count].key = UnsafeRawPointer(base + batch.sets[count].keyStart)
            batch.lookups[count].keyLength = batch.sets[count].keyLength
            exptimes |= batch.sets[count].exptime
            count &+= 1
        }
        guard count > 0 else { return false }
        budget &-= count &* Self.requestCost
        // All of these values have arrived and are stored now, so their lifetimes begin here.
        if exptimes != 0 { context.readClock() }
        context.session.approach(batch.lookups, count: count)
        var place = 0
        while place < count, case .readingCommand = phase {
            store(batch.sets + place, batch.lookups[place].hashedKey, base, &context)
            place &+= 1
        }
        return true
    }

    /// Whether a `set` comes next, as far as can be told without its end.
    private var nextIsSet: Bool {
        // SAFETY: the four bytes are there.
        input.count > 4
            && UInt32(littleEndian: UnsafeRawPointer(input.base + input.start).loadUnaligned(as: UInt32.self))
                == Self.setWord
    }

    @inline(__always)
    private mutating func store(
        _ set: UnsafePointer<PlainSet>, _ key: HashedKey, _ base: UnsafePointer<UInt8>,
        _ context: inout WorkerContext
    ) {
        var outcome = StoreOutcome.tooLarge
        if Execute.isTooLarge(
            keyLength: set.pointee.keyLength, valueLength: set.pointee.valueLength,
            clientFlags: set.pointee.clientFlags, context)
        {
            // The old value must not be read any more.
            _ = context.session.delete(key, now: context.now)
        } else {
            context.counters.add(.cmdSet)
            outcome = context.session.set(
                key, value: base + set.pointee.valueStart, valueLength: set.pointee.valueLength,
                clientFlags: set.pointee.clientFlags,
                expiry: Execute.expiry(ofSeconds: set.pointee.exptime, now: context.now), now: context.now)
        }
        if case .stored = outcome, let out = output.room(Self.storedRoomBytes, &context.pool) {
            output.didWrite(TextEncoder.encodeStored(at: out))
        } else {
            answer(outcome, &context)
        }
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
