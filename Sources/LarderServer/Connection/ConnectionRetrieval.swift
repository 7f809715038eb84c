import LarderStore
import LarderWire

/// Where a worker notes what it is about to answer: many keys together, or many values to be stored.
struct RequestBatch {
    /// As many as cover a cache miss: more would only fill the processor's cache.
    static let countMax = 16
    let keys: UnsafeMutablePointer<RetrievalKey>
    let lookups: UnsafeMutablePointer<Lookup>
    let sets: UnsafeMutablePointer<PlainSet>

    init() {
        keys = .allocate(capacity: Self.countMax)
        sets = .allocate(capacity: Self.countMax)
        sets.initialize(repeating: PlainSet(), count: Self.countMax)
        keys.initialize(repeating: RetrievalKey(), count: Self.countMax)
        lookups = .allocate(capacity: Self.countMax)
        // SAFETY: the address is never read: a key takes its place first.
        lookups.initialize(repeating: Lookup(key: UnsafeRawPointer(keys), keyLength: 0), count: Self.countMax)
    }

    func deallocate() {
        keys.deallocate()
        lookups.deallocate()
        sets.deallocate()
    }
}

/// What a batch of keys was asked for with.
private enum RetrievalDialect {
    case get, metaGet, binary
}

/// Plain retrievals, many keys at a time: the same as one by one, but that what they need of memory is
/// fetched together.
extension Connection {
    /// What an answer needs beside the value: of `VALUE` and `END` 320 bytes, of a meta command's flags less
    /// than 512, of a packet 278.
    private static var answerRoomBytes: Int { 512 }
    private static var metaGetWord: UInt32 { 0x20_67_6d }

    /// Answers the keys that come next; false when something else comes.
    @inline(__always)
    mutating func retrieveBatch(_ context: inout WorkerContext, _ budget: inout Int) -> Bool {
        if case .binary = dialect { return retrievePackets(&context, &budget) }
        // SAFETY: the caller has seen eight bytes, or the rest of a line of keys.
        if parser.retrievalTerminator == 0,
            UInt32(littleEndian: UnsafeRawPointer(input.base + input.start).loadUnaligned(as: UInt32.self))
                & 0xff_ffff
                == Self.metaGetWord
        {
            return retrieveMeta(&context, &budget)
        }
        return retrieveKeys(&context, &budget)
    }

    // One function for each, so that none asks at every key which it is.
    @inline(never)
    private mutating func retrieveKeys(_ context: inout WorkerContext, _ budget: inout Int) -> Bool {
        retrieve(.get, &context, &budget)
    }
    @inline(never)
    private mutating func retrieveMeta(_ context: inout WorkerContext, _ budget: inout Int) -> Bool {
        retrieve(.metaGet, &context, &budget)
    }
    @inline(never)
    private mutating func retrievePackets(_ context: inout WorkerContext, _ budget: inout Int) -> Bool {
        retrieve(.binary, &context, &budget)
    }

    @inline(__always)
    private mutating func retrieve(
        _ kind: RetrievalDialect, _ context: inout WorkerContext, _ budget: inout Int
    ) -> Bool {
        let base = UnsafePointer(input.base)
        let batch = context.batch
        let cost = parser.retrievalTerminator != 0 ? 1 : Self.requestCost
        // `requestCost` is a power of two, and the budget above 0.
        let countMax = min(RequestBatch.countMax, cost == 1 ? budget : (budget &+ 63) &>> 6)
        var wantsCas = false
        let count: Int
        switch kind {
        case .get:
            count = parser.takeKeys(
                base, cursor: &input.start, end: input.end, batch.keys, countMax: countMax)
        case .metaGet:
            count = parser.takeMetaGets(
                base, cursor: &input.start, end: input.end, batch.keys, countMax: countMax,
                wantsCas: &wantsCas)
        case .binary:
            count = binaryParser.takeKeys(
                base, cursor: &input.start, end: input.end, batch.keys, countMax: countMax)
            wantsCas = true
        }
        guard count > 0 else { return false }
        for place in 0..<count {
            // SAFETY: the parser's offsets lie inside the input buffer.
            batch.lookups[place].key = UnsafeRawPointer(base + batch.keys[place].start)
            batch.lookups[place].keyLength = batch.keys[place].length
        }
        context.session.lookUp(
            batch.lookups, count: count, wantsCas: wantsCas && context.casIsEnabled, now: context.now)
        let mark = output.mark
        var hits = 0
        var place = 0
        var dead = 0
        var fillMax = output.fillMax
        while place < count {
            if kind == .get || !batch.lookups[place].isMarked,
                answerSmall(
                    batch.lookups + place, batch.keys + place, kind, base, fillMax, context.casIsEnabled)
            {
                hits &+= 1
            } else {
                // What is marked, and what is missing and has to be said so, has its own way.
                let isPlain = kind == .get || isPlain(batch.keys + place, batch.lookups + place)
                if !isPlain || place > 0 && (output.isFull || phase != .readingCommand) {
                    giveBack(batch.keys[place], kind)
                    break
                }
                if answer(batch.lookups + place, batch.keys + place, kind, base, &context, &dead) { hits &+= 1 }
                fillMax = phase == .readingCommand ? output.fillMax : 0
            }
            place &+= 1
        }
        if StoreDamage.count != context.damagesNoted, context.noteDamage() {
            // The store is damaged, so the values found in it may be wrong. The keys are looked up again.
            output.takeBack(to: mark, context.session)
            giveBack(batch.keys[0], kind)
            return false
        }
        context.session.markUsed(batch.lookups, count: place, now: context.now)
        budget &-= place &* cost
        context.counters.add(.cmdGet, Int64(place))
        context.counters.add(.getHits, Int64(hits))
        if hits != place { context.counters.add(.getMisses, Int64(place &- hits)) }
        if dead > 0 { removeDead(batch.lookups, count: place, dead, &context) }
        return place > 0
    }

    /// Removes the expired items that a batch has found. Called after the last answer of the batch: removing an item
    /// may take the session offline, and then the other items of the batch are no longer valid.
    @inline(never)
    private func removeDead(
        _ lookups: UnsafeMutablePointer<Lookup>, count: Int, _ dead: Int, _ context: inout WorkerContext
    ) {
        context.counters.add(.getExpired, Int64(dead))
        for place in 0..<count where lookups[place].foundDead {
            context.session.removeDead(lookups[place].hashedKey, now: context.now)
        }
    }

    /// Of a meta or a binary retrieval: whether it is answered here. A miss is, if nothing is said of it.
    @inline(__always)
    private func isPlain(
        _ key: UnsafeMutablePointer<RetrievalKey>, _ lookup: UnsafeMutablePointer<Lookup>
    ) -> Bool {
        lookup.pointee.value == nil
            ? key.pointee.isQuiet && !lookup.pointee.isDead
            : !lookup.pointee.isMarked && lookup.pointee.valueLength <= Output.copiedValueMax
    }

    @inline(never)
    private mutating func giveBack(_ key: RetrievalKey, _ kind: RetrievalDialect) {
        if case .binary = kind {
            input.start = key.requestStart
        } else {
            parser.giveBack(key, cursor: &input.start)
        }
    }

    /// Writes a small value, if that is what was found and the buffer has room for it below `fillMax`.
    @inline(__always)
    private mutating func answerSmall(
        _ lookup: UnsafeMutablePointer<Lookup>, _ key: UnsafeMutablePointer<RetrievalKey>,
        _ kind: RetrievalDialect,
        _ base: UnsafePointer<UInt8>, _ fillMax: Int, _ casIsEnabled: Bool
    ) -> Bool {
        let length = lookup.pointee.valueLength
        guard let value = lookup.pointee.value, length <= Output.copiedValueMax,
            output.buffer.end &+ length &+ Self.answerRoomBytes <= fillMax
        else { return false }
        let out = output.buffer.base + output.buffer.end
        switch kind {
        case .get:
            output.didWrite(
                TextEncoder.encodeValue(
                    key: lookup.pointee.key, keyLength: lookup.pointee.keyLength,
                    clientFlags: lookup.pointee.clientFlags, value: value, valueLength: length,
                    isLast: key.pointee.isLast, at: out))
        case .metaGet:
            output.didWrite(
                MetaEncoder.encodePlainValue(
                    key: lookup.pointee.key, keyLength: lookup.pointee.keyLength,
                    clientFlags: lookup.pointee.clientFlags, cas: casIsEnabled ? lookup.pointee.cas : 0,
                    value: value, valueLength: length, asked: key, line: base, at: out))
        case .binary:
            output.didWrite(
                BinaryEncoder.encodeValue(
                    key.pointee.tag, key: lookup.pointee.key,
                    keyLength: key.pointee.wantsKey ? lookup.pointee.keyLength : 0,
                    clientFlags: lookup.pointee.clientFlags, value: value, valueLength: length,
                    cas: casIsEnabled ? lookup.pointee.cas : 0, at: out))
        }
        return true
    }

    /// Writes what was found, whatever it is; false when that is nothing.
    private mutating func answer(
        _ lookup: UnsafeMutablePointer<Lookup>, _ key: UnsafeMutablePointer<RetrievalKey>,
        _ kind: RetrievalDialect,
        _ base: UnsafePointer<UInt8>, _ context: inout WorkerContext, _ dead: inout Int
    ) -> Bool {
        guard lookup.pointee.value != nil else {
            if lookup.pointee.isDead { dead &+= 1 }
            if key.pointee.isLast && kind == .get { writeEnd(&context) }
            return false
        }
        let length = lookup.pointee.valueLength
        guard length <= Output.copiedValueMax else {
            writeLarge(lookup, isLast: key.pointee.isLast, &context)
            return true
        }
        guard output.room(length &+ Self.answerRoomBytes, &context.pool) != nil else {
            outOfReplyMemory(&context)
            return true
        }
        // Above the mark, too: the first answer of a batch is always written.
        return answerSmall(lookup, key, kind, base, Int.max, context.casIsEnabled)
    }

    private mutating func writeLarge(
        _ lookup: UnsafeMutablePointer<Lookup>, isLast: Bool, _ context: inout WorkerContext
    ) {
        guard let item = context.session.item(of: lookup.pointee) else { return }
        writeValue(
            item, key: lookup.pointee.key.assumingMemoryBound(to: UInt8.self),
            keyLength: lookup.pointee.keyLength,
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
