import LarderStore
import LarderWire

/// Retrievals: 1 to 16 keys that are looked up together, so that what they need of memory is fetched together. Here,
/// and only here, they are counted, marked as used, and answered.
extension Execute {
    /// Beside the value, an answer takes 320 bytes at most (`VALUE` and `END`), 512 (a meta command's flags) or 278
    /// (a packet).
    private static var answerRoomBytes: Int { 512 }

    /// What is asked with. Declared here, since a comparison of another module's enum is a call.
    private enum Form { case get, classic, meta, packetGet, packet }

    // One function for each, so that none asks at every key which it is. Each answers the keys of the worker's batch, in
    // their order, and returns how many were answered: those behind them have to be given back to the parser, since what
    // there is has to be sent first.
    /// `get`, unless it is observed.
    @inline(__always)
    static func answerGet(
        _ connection: inout Connection, _ context: inout WorkerContext, _ count: Int, _ base: UnsafePointer<UInt8>
    ) -> Int { answer(.get, &connection, &context, count, base) }
    /// `gets`, `gat`, `gats`, and `get`.
    @inline(never)
    static func answerClassic(
        _ connection: inout Connection, _ context: inout WorkerContext, _ count: Int, _ base: UnsafePointer<UInt8>
    ) -> Int { answer(.classic, &connection, &context, count, base) }
    /// `mg`, which is not observed.
    @inline(__always)
    static func answerMeta(
        _ connection: inout Connection, _ context: inout WorkerContext, _ count: Int, _ base: UnsafePointer<UInt8>
    ) -> Int { answer(.meta, &connection, &context, count, base) }
    /// The binary `get`, unless it is observed.
    @inline(__always)
    static func answerPacketGet(
        _ connection: inout Connection, _ context: inout WorkerContext, _ count: Int, _ base: UnsafePointer<UInt8>
    ) -> Int { answer(.packetGet, &connection, &context, count, base) }
    /// The binary `gat`, `touch` and `get`.
    @inline(never)
    static func answerPackets(
        _ connection: inout Connection, _ context: inout WorkerContext, _ count: Int, _ base: UnsafePointer<UInt8>
    ) -> Int { answer(.packet, &connection, &context, count, base) }

    @inline(__always)
    private static func answer(
        _ form: Form, _ connection: inout Connection, _ context: inout WorkerContext, _ count: Int,
        _ base: UnsafePointer<UInt8>
    ) -> Int {
        let batch = context.batch
        takeKeys(of: batch, count, base)
        let touches = touches(form, &connection)
        let wantsCas = wantsCas(form, &connection)
        let isPlain = isPlain(form)
        if !isPlain { beginOther(&connection, &context, touches: touches) }
        context.session.lookUp(
            batch.lookups, count: count, wantsCas: wantsCas && context.casIsEnabled, now: context.now)
        if !isPlain, context.isWatched { logLookups(&context, count, connection.number) }
        let mark = connection.output.mark
        var (place, misses, dead) = (0, 0, 0)
        var fillMax = isPlain ? connection.output.fillMax : 0
        keys: repeat {
            let lookup = batch.lookups + place
            if form != .meta || !lookup.pointee.isMarked,
                copyValue(form, lookup, batch.keys + place, base, &connection.output, fillMax, context.casIsEnabled)
            {
                if lookup.pointee.isUseNew { context.session.markUsed(lookup, now: context.now) }
            } else {
                switch answerOther(form, &connection, &context, place, base) {
                case .hit: break
                case .miss: misses &+= 1
                case .dead:
                    misses &+= 1
                    dead &+= 1
                case .alone: return 1
                case .waits: break keys
                }
                fillMax = isPlain && connection.phase == .readingCommand ? connection.output.fillMax : 0
            }
            place &+= 1
        } while place != count
        // The store is damaged, so the values found in it may be wrong. The keys are looked up again.
        if context.damages != context.damagesNoted, context.noteDamage(),
            takeBack(&connection, to: mark, context, touches: touches)
        {
            return 0
        }
        if touches {
            countTouches(&context, place, misses: misses)
        } else {
            context.counters.add(.cmdGet, Int64(place))
            context.counters.add(.getHits, Int64(place &- misses))
            if misses != 0 { context.counters.add(.getMisses, Int64(misses)) }
        }
        if misses != 0, dead != 0 { removeDead(batch.lookups, count: place, &context) }
        return place
    }

    /// Takes answers back, unless an item has a new time by now; false then.
    @inline(never)
    private static func takeBack(
        _ connection: inout Connection, to mark: Output.Mark, _ context: borrowing WorkerContext, touches: Bool
    ) -> Bool {
        guard touches else {
            connection.output.takeBack(to: mark, context.session, damages: context.damagesNoted)
            return true
        }
        if !connection.output.isEmpty { connection.output.isSpoiled = true }
        return false
    }

    /// Whether no key is observed, or touched.
    @inline(__always)
    private static func isPlain(_ form: Form) -> Bool { form != .classic && form != .packet }

    @inline(__always)
    private static func isBinary(_ form: Form) -> Bool { form == .packetGet || form == .packet }

    /// Copies the keys to where they are looked up.
    @inline(__always)
    private static func takeKeys(of batch: RequestBatch, _ count: Int, _ base: UnsafePointer<UInt8>) {
        var (key, lookup) = (batch.keys, batch.lookups)
        let end = key + count
        repeat {
            // SAFETY: the parser's offsets lie inside the input buffer.
            lookup.pointee.key = UnsafeRawPointer(base + key.pointee.start)
            lookup.pointee.keyLength = key.pointee.length
            key += 1
            lookup += 1
        } while key != end
    }

    /// Whether the item gets the request's exptime; there is one key then.
    @inline(__always)
    private static func touches(_ form: Form, _ connection: inout Connection) -> Bool {
        switch form {
        case .classic: connection.parser.taken.touches
        case .get, .meta, .packetGet: false
        case .packet: connection.binaryParser.taken.touches
        }
    }

    @inline(__always)
    private static func wantsCas(_ form: Form, _ connection: inout Connection) -> Bool {
        isBinary(form) || form != .get && connection.parser.taken.wantsCas
    }

    @inline(never)
    private static func countTouches(_ context: inout WorkerContext, _ keys: Int, misses: Int) {
        context.counters.add(.cmdTouch, Int64(keys))
        context.counters.add(.touchHits, Int64(keys &- misses))
        context.counters.add(.touchMisses, Int64(misses))
    }

    /// What a retrieval needs first that is no plain one.
    @inline(never)
    private static func beginOther(
        _ connection: inout Connection, _ context: inout WorkerContext, touches: Bool
    ) {
        if touches, hasLifetime(connection.request) { context.readClock() }
        guard context.routesKeys else { return }
        // A key that may name its cache comes alone.
        context.batch.lookups.pointee.key += connection.routePrefixLength
        context.batch.lookups.pointee.keyLength -= connection.routePrefixLength
    }

    @inline(never)
    private static func logLookups(_ context: inout WorkerContext, _ count: Int, _ number: Int32) {
        for place in 0..<count {
            let lookup = context.batch.lookups[place]
            context.logLookup(
                lookup.hashedKey, context.session.item(of: lookup), isDead: lookup.foundDead, number)
        }
    }

    /// Removes the expired items that were found. Called after the last answer: removing an item may take the session
    /// offline, and then the other items are no longer valid.
    @inline(never)
    private static func removeDead(
        _ lookups: UnsafeMutablePointer<Lookup>, count: Int, _ context: inout WorkerContext
    ) {
        for place in 0..<count where lookups[place].foundDead {
            // A key may be there twice.
            if context.session.removeDead(lookups[place].hashedKey, now: context.now) {
                context.counters.add(.getExpired)
            }
        }
    }

    // MARK: One key

    /// Writes a small value, if that is what was found and the buffer has room for it below `fillMax`.
    @inline(__always)
    private static func copyValue(
        _ form: Form, _ lookup: UnsafeMutablePointer<Lookup>, _ key: UnsafeMutablePointer<RetrievalKey>,
        _ base: UnsafePointer<UInt8>, _ output: inout Output, _ fillMax: Int, _ casIsEnabled: Bool
    ) -> Bool {
        let length = lookup.pointee.valueLength
        guard let value = lookup.pointee.value, length <= Output.copiedValueMax,
            output.buffer.end &+ length &+ answerRoomBytes <= fillMax
        else { return false }
        let out = output.buffer.base + output.buffer.end
        switch form {
        case .get, .classic:
            output.didWrite(
                TextEncoder.encodeValue(
                    key: lookup.pointee.key, keyLength: lookup.pointee.keyLength,
                    clientFlags: lookup.pointee.clientFlags, value: value, valueLength: length,
                    isLast: key.pointee.isLast, at: out))
        case .meta:
            output.didWrite(
                MetaEncoder.encodePlainValue(
                    key: lookup.pointee.key, keyLength: lookup.pointee.keyLength,
                    clientFlags: lookup.pointee.clientFlags, cas: casIsEnabled ? lookup.pointee.cas : 0,
                    value: value, valueLength: length, asked: key, line: base, at: out))
        case .packetGet, .packet:
            output.didWrite(
                BinaryEncoder.encodeValue(
                    key.pointee.tag, key: lookup.pointee.key,
                    keyLength: key.pointee.wantsKey ? lookup.pointee.keyLength : 0,
                    clientFlags: lookup.pointee.clientFlags, value: value, valueLength: length,
                    cas: casIsEnabled ? lookup.pointee.cas : 0, at: out))
        }
        return true
    }

    /// Whether a key that is not the first is answered at once. An item with marks is not: it is claimed, and marked as
    /// used, after those before it.
    private static func canGoOn(
        _ form: Form, _ connection: inout Connection, _ lookup: UnsafeMutablePointer<Lookup>
    ) -> Bool {
        guard !connection.output.isFull, connection.phase == .readingCommand else { return false }
        return form != .meta || lookup.pointee.value == nil || !lookup.pointee.isMarked
    }

    /// What became of a key whose value was not copied.
    private enum Outcome {
        case hit, miss, dead
        /// It is counted already, and the keys behind it are to be looked up again.
        case alone
        /// It is not answered: what there is has to be sent first.
        case waits
    }

    /// Answers a key in any way but `copyValue`.
    @inline(never)
    private static func answerOther(
        _ form: Form, _ connection: inout Connection, _ context: inout WorkerContext, _ place: Int,
        _ base: UnsafePointer<UInt8>
    ) -> Outcome {
        let lookup = context.batch.lookups + place
        guard place == 0 || canGoOn(form, &connection, lookup) else { return .waits }
        if lookup.pointee.value == nil {
            miss(form, &connection, &context, lookup, context.batch.keys + place, base)
            return lookup.pointee.isDead ? .dead : .miss
        }
        if form == .meta, lookup.pointee.isMarked {
            answerMarked(&connection, &context, base)
            return .alone
        }
        write(form, &connection, &context, place, base)
        return .hit
    }

    /// Answers an `mg` whose item has marks. `metaGet` counts it, and marks it as used. To claim the item may take the
    /// session offline.
    private static func answerMarked(
        _ connection: inout Connection, _ context: inout WorkerContext, _ base: UnsafePointer<UInt8>
    ) {
        let key = context.batch.keys
        metaGet(&connection, &context, Request(metaGet: key), base + key.pointee.start)
        if context.damages != context.damagesNoted, context.noteDamage(), !connection.output.isEmpty {
            connection.output.isSpoiled = true
        }
    }

    /// Writes what was found, whatever it is.
    private static func write(
        _ form: Form, _ connection: inout Connection, _ context: inout WorkerContext, _ place: Int,
        _ base: UnsafePointer<UInt8>
    ) {
        let lookup = context.batch.lookups + place
        let key = context.batch.keys + place
        if isBinary(form) { connection.setPacket(of: key) }
        guard let item = context.session.item(of: lookup.pointee) else { return }
        // First, since the item may move for its new time.
        if lookup.pointee.isUseNew { context.session.markUsed(lookup, now: context.now) }
        let bytes = lookup.pointee.key.assumingMemoryBound(to: UInt8.self)
        let length = lookup.pointee.keyLength
        if context.detailIsEnabled { countPrefix(context, lookup.pointee.hashedKey, isHit: true) }
        if context.verbosity > 1 { connection.logKey("sending key", bytes, length) }
        let cas = context.casIsEnabled ? lookup.pointee.cas : 0
        if form == .meta {
            let metaKey = MetaKey(of: key, base)
            var facts = metaKey.facts
            facts.valueLength = lookup.pointee.valueLength
            facts.clientFlags = lookup.pointee.clientFlags
            facts.cas = cas
            connection.writeMetaValue(item, facts, withValue: true, metaKey, &context)
        } else {
            // The client is told the key that it asked for, the cache's name before it included.
            let prefix = connection.routePrefixLength
            connection.writeValue(
                item, key: bytes - prefix, keyLength: length &+ prefix, cas: wantsCas(form, &connection) ? cas : nil,
                &context)
        }
        if touches(form, &connection) {
            // One that dies at once is answered all the same.
            let expiry = expiry(ofSeconds: connection.request.exptime, now: context.now)
            _ = context.session.touch(lookup.pointee.hashedKey, expiry: expiry, now: context.now)
        }
        if form == .get || form == .classic, key.pointee.isLast { connection.writeEnd(&context) }
    }

    private static func miss(
        _ form: Form, _ connection: inout Connection, _ context: inout WorkerContext,
        _ lookup: UnsafeMutablePointer<Lookup>, _ key: UnsafeMutablePointer<RetrievalKey>,
        _ base: UnsafePointer<UInt8>
    ) {
        if !isPlain(form), context.isObserved { noteMiss(&connection, &context, lookup.pointee.hashedKey) }
        switch form {
        case .get, .classic: if key.pointee.isLast { connection.writeEnd(&context) }
        case .meta: if !key.pointee.isQuiet { connection.replyMeta(.miss, MetaKey(of: key, base), &context) }
        case .packetGet, .packet:
            guard !key.pointee.isQuiet else { return }
            connection.setPacket(of: key)
            let bytes = lookup.pointee.key.assumingMemoryBound(to: UInt8.self)
            connection.writeMiss(key: bytes, keyLength: lookup.pointee.keyLength, &context)
        }
    }

    @inline(never)
    private static func noteMiss(
        _ connection: inout Connection, _ context: inout WorkerContext, _ key: HashedKey
    ) {
        if context.detailIsEnabled { countPrefix(context, key, isHit: false) }
        guard context.verbosity > 1 else { return }
        connection.logKey("NOT FOUND", key.bytes.assumingMemoryBound(to: UInt8.self), key.length)
    }

    static func countPrefix(_ context: borrowing WorkerContext, _ key: HashedKey, isHit: Bool) {
        context.state.detail.record(key.bytes, length: key.length) {
            $0.gets += 1
            if isHit { $0.hits += 1 }
        }
    }
}

extension MetaKey {
    /// The key of an `mg` whose flags are plain.
    fileprivate init(of key: UnsafeMutablePointer<RetrievalKey>, _ base: UnsafePointer<UInt8>) {
        // SAFETY: the parser's offsets lie inside the input buffer.
        self.init(
            bytes: base + key.pointee.start, length: key.pointee.length, prefixLength: 0, isBinary: false,
            flags: base + key.pointee.flagsStart, flagsLength: Int(key.pointee.flagsLength))
    }
}

extension Request {
    /// The whole of an `mg` whose flags are plain.
    fileprivate init(metaGet key: UnsafeMutablePointer<RetrievalKey>) {
        self.init()
        verb = .metaGet
        keyStart = key.pointee.start
        keyLength = key.pointee.length
        meta.flags = key.pointee.flags
        meta.flagsStart = UInt32(truncatingIfNeeded: key.pointee.flagsStart)
        meta.flagsLength = UInt32(key.pointee.flagsLength)
    }
}

extension Connection {
    /// What a binary answer repeats of its request.
    fileprivate mutating func setPacket(of key: UnsafeMutablePointer<RetrievalKey>) {
        request.packetTag = key.pointee.tag
        request.options.wantsKey = key.pointee.wantsKey
        if !binaryParser.taken.touches { request.options.omitsValue = false }
    }

    /// `END`, which closes a retrieval.
    fileprivate mutating func writeEnd(_ context: inout WorkerContext) {
        guard let out = output.room(TextEncoder.replyLengthMax, &context.pool) else {
            return outOfReplyMemory(&context)
        }
        output.didWrite(TextEncoder.encodeEnd(at: out))
        if context.verbosity > 1 { logEnd() }
    }
}
