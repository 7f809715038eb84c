import Glibc
import LarderStore
import LarderWire

/// `mg` and `me`: reading, and the right to make a missing or stale value anew.
extension Execute {
    static func metaGet(
        _ connection: inout Connection, _ context: inout WorkerContext, _ request: Request,
        _ key: UnsafePointer<UInt8>
    ) {
        withMetaKey(&connection, &context, request, key) { get(&$0, &$1, request, $2) }
    }

    @inline(never)
    private static func get(
        _ connection: inout Connection, _ context: inout WorkerContext, _ request: Request, _ key: MetaKey
    ) {
        let hashed = context.session.hashed(key.bytes, length: key.length)
        if context.isWatched { logRetrieval(hashed, connection, &context) }
        while true {
            guard let item = context.session.findEvenDead(hashed),
                !context.session.isDead(item, now: context.now)
            else {
                if make(&connection, &context, request, key, hashed) { return }
                continue
            }
            var win = Win.none
            if item.isMarked || request.meta.flags.has(UInt8(ascii: "R")) {
                guard let claimed = claim(item, hashed, request, context) else { continue }
                win = claimed
            }
            return answer(&connection, &context, request, key, hashed, item, win)
        }
    }

    @inline(never)
    private static func logRetrieval(
        _ key: HashedKey, _ connection: borrowing Connection, _ context: inout WorkerContext
    ) {
        let found = context.session.findEvenDead(key)
        let isDead = found.map { context.session.isDead($0, now: context.now) } ?? false
        context.logLookup(key, found, isDead: isDead, connection.number)
    }

    // MARK: Hits

    /// Who is to make a value anew.
    private enum Win {
        case none, mine, somebodyElses
    }

    /// Takes the win of an item that is stale, or about to die (`R`); nil when the item is another by now.
    @inline(never)
    private static func claim(
        _ item: Item, _ key: HashedKey, _ request: Request, _ context: borrowing WorkerContext
    ) -> Win? {
        if item.isWinSent { return .somebodyElses }
        guard item.isStale || isDue(item, request, context) else { return Win.none }
        switch context.session.claimWin(item, key) {
        case .won: return .mine
        case .alreadySent: return .somebodyElses
        case .gone: return nil
        }
    }

    /// `R`: fewer seconds are left than it says. An item that never dies is never due.
    private static func isDue(_ item: Item, _ request: Request, _ context: borrowing WorkerContext) -> Bool {
        guard request.meta.flags.has(UInt8(ascii: "R")), request.meta.recacheExptime != 0 else { return false }
        let dies =
            request.meta.recacheFollowsTouch ? touchedExpiry(request, context) : context.session.expiry(of: item)
        let limit = expiry(ofSeconds: Int64(request.meta.recacheExptime), now: context.now)
        return dies != Int64.max
            && secondsLeft(until: dies, now: context.now) < secondsLeft(until: limit, now: context.now)
    }

    @inline(__always)
    private static func answer(
        _ connection: inout Connection, _ context: inout WorkerContext, _ request: Request, _ key: MetaKey,
        _ hashed: HashedKey, _ item: Item, _ win: Win
    ) {
        let flags = request.meta.flags
        let touches = flags.has(UInt8(ascii: "T"))
        context.counters.add(touches ? .cmdTouch : .cmdGet)
        context.counters.add(touches ? .touchHits : .getHits)
        var facts = key.facts
        facts.keyIsBinary = item.keyIsBinary
        facts.valueLength = item.valueLength
        facts.clientFlags = item.clientFlags
        facts.cas = visible(context.session.cas(of: item), context)
        facts.wasFetched = item.wasFetched
        facts.isStale = item.isStale
        facts.isWinSent = win == .somebodyElses
        facts.isWon = win == .mine
        if flags.has(UInt8(ascii: "t")) { fillSeconds(&facts, context.session.expiry(of: item), request, context) }
        if flags.has(UInt8(ascii: "l")) {
            facts.secondsSinceAccess = context.session.secondsSinceAccess(item, now: context.now)
        }
        let isKnown = flags.has(UInt8(ascii: "C")) && facts.cas == request.cas
        connection.writeMetaValue(
            item, facts, withValue: flags.has(UInt8(ascii: "v")) && !isKnown, key, &context)
        if !flags.has(UInt8(ascii: "u")) { context.session.markUsed(item, now: context.now) }
        // Last, since the item may move for it.
        if touches {
            _ = context.session.touch(hashed, expiry: touchedExpiry(request, context), now: context.now)
        }
    }

    @inline(never)
    static func fillSeconds(
        _ facts: inout MetaFacts, _ expiry: Int64, _ request: Request, _ context: borrowing WorkerContext
    ) {
        facts.secondsLeft = secondsLeft(until: expiry, now: context.now)
        facts.secondsLeftTouched = secondsLeft(until: touchedExpiry(request, context), now: context.now)
        facts.secondsLeftVivified = secondsLeft(until: vivifiedExpiry(request, context), now: context.now)
    }

    // MARK: Misses

    /// There is no item, or a dead one: makes an empty one if asked (`N`), and answers. False when
    /// somebody else has made one meanwhile.
    @inline(never)
    private static func make(
        _ connection: inout Connection, _ context: inout WorkerContext, _ request: Request, _ key: MetaKey,
        _ hashed: HashedKey
    ) -> Bool {
        if context.session.findEvenDead(hashed) != nil {
            context.counters.add(.getExpired)
            context.session.removeDead(hashed, now: context.now)
        }
        let flags = request.meta.flags
        if flags.has(UInt8(ascii: "N")) {
            let made = context.session.vivify(
                hashed, expiry: createdExpiry(request, context), newCas: newCas(request, context),
                keyIsBinary: key.isBinary, isFetched: !flags.has(UInt8(ascii: "u")), now: context.now)
            if made.outcome == .notStored { return false }
            if made.outcome == .stored {
                answerMade(&connection, &context, request, key, made)
                return true
            }
        }
        context.counters.add(.cmdGet)
        context.counters.add(.getMisses)
        if !flags.has(UInt8(ascii: "q")) { connection.replyMeta(.miss, key, &context) }
        return true
    }

    private static func answerMade(
        _ connection: inout Connection, _ context: inout WorkerContext, _ request: Request, _ key: MetaKey,
        _ made: StoreResult
    ) {
        let flags = request.meta.flags
        let touches = flags.has(UInt8(ascii: "T"))
        context.counters.add(touches ? .cmdTouch : .cmdGet)
        context.counters.add(touches ? .touchHits : .getHits)
        var facts = key.facts
        facts.cas = visible(made.cas, context)
        facts.isCreated = true
        facts.isWon = true
        fillSeconds(&facts, Int64.max, request, context)
        let isKnown = flags.has(UInt8(ascii: "C")) && facts.cas == request.cas
        connection.writeMetaValue(nil, facts, withValue: flags.has(UInt8(ascii: "v")) && !isKnown, key, &context)
    }

    // MARK: me

    static func metaDebug(
        _ connection: inout Connection, _ context: inout WorkerContext, _ request: Request,
        _ key: UnsafePointer<UInt8>
    ) {
        context.counters.add(.cmdMeta)
        withMetaKey(&connection, &context, request, key) { connection, context, key in
            let hashed = context.session.hashed(key.bytes, length: key.length)
            if context.isWatched { logRetrieval(hashed, connection, &context) }
            guard let item = context.session.find(hashed, now: context.now) else {
                return connection.replyMeta(.miss, key, &context)
            }
            guard let out = connection.output.room(MetaEncoder.answerLengthMax, &context.pool) else {
                return connection.outOfReplyMemory(&context)
            }
            var facts = key.facts
            facts.keyIsBinary = item.keyIsBinary
            facts.cas = visible(context.session.cas(of: item), context)
            facts.wasFetched = item.wasFetched
            facts.secondsLeft = secondsLeft(until: context.session.expiry(of: item), now: context.now)
            facts.secondsSinceAccess = context.session.secondsSinceAccess(item, now: context.now)
            connection.output.didWrite(
                MetaEncoder.encodeDebug(facts, itemBytes: context.session.size(of: item), at: out))
        }
    }
}

extension Connection {
    /// `HD` or `VA`, and with the latter the value.
    /// - Parameter item: nil: it has just been made, and is empty.
    @inline(__always)
    mutating func writeMetaValue(
        _ item: Item?, _ facts: MetaFacts, withValue: Bool, _ key: MetaKey, _ context: inout WorkerContext
    ) {
        let length = withValue ? facts.valueLength : 0
        let isCopied = length <= Output.copiedValueMax
        let needed = MetaEncoder.answerLengthMax &+ (isCopied ? length : 0) &+ 2
        guard let out = output.room(needed, &context.pool) else { return outOfReplyMemory(&context) }
        let header = MetaEncoder.encodeRetrieval(
            facts, withValue: withValue, flags: key.flags, flagsLength: key.flagsLength, at: out)
        guard withValue else { return output.didWrite(header) }
        if let item, !isCopied {
            output.didWrite(header)
            writeLargeValue(item, length, &context)
            return endLargeValue(&context)
        }
        if let item { memcpy(out + header, item.value, length) }
        out[header &+ length] = UInt8(ascii: "\r")
        out[header &+ length &+ 1] = UInt8(ascii: "\n")
        output.didWrite(header &+ length &+ 2)
    }
}
