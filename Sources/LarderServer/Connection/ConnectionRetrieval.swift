import LarderStore
import LarderWire

/// Where a worker notes what it is about to answer: many keys together, or a value to be stored.
struct RetrievalBatch {
    /// As many as cover a cache miss: more would only fill the processor's cache.
    static let countMax = 16
    let keys: UnsafeMutablePointer<RetrievalKey>
    let lookups: UnsafeMutablePointer<Lookup>
    let set: UnsafeMutablePointer<PlainSet>

    init() {
        keys = .allocate(capacity: Self.countMax)
        set = .allocate(capacity: 1)
        set.initialize(to: PlainSet())
        keys.initialize(repeating: RetrievalKey(), count: Self.countMax)
        lookups = .allocate(capacity: Self.countMax)
        // SAFETY: the address is never read: a key takes its place first.
        lookups.initialize(repeating: Lookup(key: UnsafeRawPointer(keys), keyLength: 0), count: Self.countMax)
    }

    func deallocate() {
        keys.deallocate()
        lookups.deallocate()
        set.deallocate()
    }
}

/// Plain `get`s, many keys at a time: the same as one by one, but that what they need of memory is
/// fetched together.
extension Connection {
    /// What a value needs beside its own bytes: `VALUE`, the longest key, two numbers, two line ends, `END`.
    static var valueRoomBytes: Int { 320 }

    /// Answers the keys that come next; false when something else comes.
    mutating func retrieveBatch(_ context: inout WorkerContext, _ budget: inout Int) -> Bool {
        let base = UnsafePointer(input.base)
        let batch = context.batch
        let cost = parser.retrievalTerminator != 0 ? 1 : Self.requestCost
        // `requestCost` is a power of two, and the budget above 0.
        let countMax = min(RetrievalBatch.countMax, cost == 1 ? budget : budget &>> 6 &+ 1)
        let count = parser.takeKeys(base, cursor: &input.start, end: input.end, batch.keys, countMax: countMax)
        guard count > 0 else { return false }
        for place in 0..<count {
            // SAFETY: the parser's offsets lie inside the input buffer.
            batch.lookups[place].key = UnsafeRawPointer(base + batch.keys[place].start)
            batch.lookups[place].keyLength = batch.keys[place].length
        }
        context.session.lookUp(batch.lookups, count: count, now: context.now)
        var hits = 0
        var place = 0
        while place < count {
            if place > 0, output.isFull || phase != .readingCommand {
                parser.giveBack(batch.keys[place], cursor: &input.start)
                break
            }
            if answer(batch.lookups + place, isLast: batch.keys[place].isLast, &context) { hits &+= 1 }
            place &+= 1
        }
        budget &-= place &* cost
        context.counters.add(.cmdGet, Int64(place))
        context.counters.add(.getHits, Int64(hits))
        return true
    }

    /// Writes what was found; false when that is nothing.
    @inline(__always)
    private mutating func answer(
        _ lookup: UnsafeMutablePointer<Lookup>, isLast: Bool, _ context: inout WorkerContext
    ) -> Bool {
        guard let value = lookup.pointee.value else {
            missed(lookup, isLast: isLast, &context)
            return false
        }
        let length = lookup.pointee.valueLength
        guard length <= Output.copiedValueMax else {
            writeLarge(lookup, isLast: isLast, &context)
            return true
        }
        guard let out = output.room(length &+ Self.valueRoomBytes, &context.pool) else {
            outOfReplyMemory(&context)
            return true
        }
        output.didWrite(
            TextEncoder.encodeValue(
                key: lookup.pointee.key, keyLength: lookup.pointee.keyLength, clientFlags: lookup.pointee.clientFlags,
                value: value, valueLength: length, isLast: isLast, at: out))
        return true
    }

    private mutating func missed(
        _ lookup: UnsafeMutablePointer<Lookup>, isLast: Bool, _ context: inout WorkerContext
    ) {
        context.counters.add(.getMisses)
        if lookup.pointee.isDead {
            context.counters.add(.getExpired)
            context.session.removeDead(lookup.pointee.hashedKey, now: context.now)
        }
        if isLast { writeEnd(&context) }
    }

    private mutating func writeLarge(
        _ lookup: UnsafeMutablePointer<Lookup>, isLast: Bool, _ context: inout WorkerContext
    ) {
        guard let item = context.session.item(of: lookup.pointee) else { return }
        writeValue(
            item, key: lookup.pointee.key.assumingMemoryBound(to: UInt8.self), keyLength: lookup.pointee.keyLength,
            cas: nil, &context)
        if isLast { writeEnd(&context) }
    }

    /// `END`, which closes a retrieval.
    mutating func writeEnd(_ context: inout WorkerContext) {
        guard let out = output.room(TextEncoder.replyLengthMax, &context.pool) else {
            return outOfReplyMemory(&context)
        }
        output.didWrite(TextEncoder.encodeEnd(at: out))
    }
}
