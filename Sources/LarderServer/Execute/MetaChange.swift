import Glibc
import LarderStore
import LarderWire

/// `md` and `ma`.
extension Execute {
    // MARK: md

    static func metaDelete(
        _ connection: inout Connection, _ context: inout WorkerContext, _ request: Request,
        _ key: UnsafePointer<UInt8>
    ) {
        withMetaKey(&connection, &context, request, key) { remove(&$0, &$1, request, $2) }
    }

    private static func remove(
        _ connection: inout Connection, _ context: inout WorkerContext, _ request: Request, _ key: MetaKey
    ) {
        let flags = request.meta.flags
        let hashed = context.session.hashed(key.bytes, length: key.length)
        let cas = wantedCas(request, context)
        let marksStale = flags.has(UInt8(ascii: "I"))
        let watchedSize = context.isWatched ? context.logLookup(hashed, connection.number) : nil
        let outcome: StoreOutcome
        if marksStale || flags.has(UInt8(ascii: "x")) {
            var marks = ItemMarks()
            marks.cas = cas
            marks.newCas = newCas(request, context)
            marks.marksStale = marksStale
            marks.empties = flags.has(UInt8(ascii: "x"))
            marks.clientFlags = request.clientFlags
            marks.keyIsBinary = key.isBinary
            if flags.has(UInt8(ascii: "T")) { marks.expiry = touchedExpiry(request, context) }
            outcome = context.session.revise(hashed, marks, now: context.now)
        } else {
            outcome = context.session.delete(hashed, ifCas: cas, now: context.now)
        }
        switch outcome {
        case .stored:
            if !marksStale {
                context.counters.add(.deleteHits)
                if let watchedSize { context.logDeletion(hashed, size: watchedSize, command: "md") }
            }
            if !flags.has(UInt8(ascii: "q")) { connection.replyMeta(.done, key, &context) }
        case .exists:
            context.counters.add(.deleteMisses)
            connection.replyMeta(.exists, key, &context)
        case .noMemory, .tooLarge:
            connection.reply(.outOfMemory, &context)
        case .notFound, .notStored:
            context.counters.add(.deleteMisses)
            connection.replyMeta(.notFound, key, &context)
        }
    }

    // MARK: ma

    static func metaArithmetic(
        _ connection: inout Connection, _ context: inout WorkerContext, _ request: Request,
        _ key: UnsafePointer<UInt8>
    ) {
        withMetaKey(&connection, &context, request, key) { calculate(&$0, &$1, request, $2) }
    }

    private static func calculate(
        _ connection: inout Connection, _ context: inout WorkerContext, _ request: Request, _ key: MetaKey
    ) {
        let hashed = context.session.hashed(key.bytes, length: key.length)
        let decrements = request.meta.mode == UInt8(ascii: "D") || request.meta.mode == UInt8(ascii: "-")
        if context.isWatched { _ = context.logLookup(hashed, connection.number) }
        while true {
            guard let item = context.session.find(hashed, now: context.now) else {
                if answerMissingNumber(&connection, &context, request, key, hashed, decrements) { return }
                continue
            }
            // Here 0 compares nothing; and an empty value is no number, whatever its cas.
            if let cas = wantedCas(request, context), request.cas != 0, context.session.cas(of: item) != cas,
                item.valueLength > 0
            {
                return connection.replyMeta(.exists, key, &context)
            }
            guard let old = storedNumber(item) else { return connection.reply(.nonNumericValue, &context) }
            let new = decrements ? old &- min(old, request.number) : old &+ request.number
            let touches = request.meta.flags.has(UInt8(ascii: "T"))
            let oldExpiry = context.session.expiry(of: item)
            var options = WriteOptions()
            options.newCas = newCas(request, context)
            let expiry = touches ? touchedExpiry(request, context) : nil
            let result = storeNumber(new, over: item, hashed, expiry: expiry, options, &context)
            switch result.outcome {
            case .stored:
                context.counters.add(decrements ? .decrHits : .incrHits)
                return answer(new, &connection, &context, request, key, result, oldExpiry, isCreated: false)
            case .noMemory, .tooLarge: return connection.reply(.outOfMemory, &context)
            default: continue
            }
        }
    }

    /// There is no item: makes one if asked (`N`), and answers. False when somebody else has made one.
    private static func answerMissingNumber(
        _ connection: inout Connection, _ context: inout WorkerContext, _ request: Request, _ key: MetaKey,
        _ hashed: HashedKey, _ decrements: Bool
    ) -> Bool {
        guard request.meta.flags.has(UInt8(ascii: "N")) else {
            context.counters.add(decrements ? .decrMisses : .incrMisses)
            connection.replyMeta(.notFound, key, &context)
            return true
        }
        var options = WriteOptions()
        options.newCas = newCas(request, context)
        options.keyIsBinary = key.isBinary
        let result = createNumber(
            request.initialValue, expiry: createdExpiry(request, context), hashed, options, &context)
        switch result.outcome {
        case .stored:
            answer(
                request.initialValue, &connection, &context, request, key, result, Int64.max, isCreated: true)
        case .notStored: return false
        default: connection.reply(.outOfMemoryCreating, &context)
        }
        return true
    }

    private static func answer(
        _ number: UInt64, _ connection: inout Connection, _ context: inout WorkerContext, _ request: Request,
        _ key: MetaKey, _ result: StoreResult, _ oldExpiry: Int64, isCreated: Bool
    ) {
        let flags = request.meta.flags
        if flags.has(UInt8(ascii: "q")) { return }
        guard let out = connection.output.room(MetaEncoder.answerLengthMax, &context.pool) else {
            return connection.outOfReplyMemory(&context)
        }
        var facts = key.facts
        facts.cas = visible(result.cas, context)
        facts.isCreated = isCreated
        fillSeconds(&facts, oldExpiry, request, context)
        connection.output.didWrite(
            MetaEncoder.encodeArithmetic(
                flags.has(UInt8(ascii: "v")) ? number : nil, facts, flags: key.flags,
                flagsLength: key.flagsLength, at: out))
    }
}
