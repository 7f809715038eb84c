import Glibc
import LarderStore
import LarderWire

/// `ms`: every way to store.
extension Execute {
    static func metaStore(
        _ connection: inout Connection, _ context: inout WorkerContext, _ request: Request,
        _ key: UnsafePointer<UInt8>, _ value: UnsafePointer<UInt8>
    ) {
        withMetaKey(&connection, &context, request, key) { put(&$0, &$1, request, $2, value) }
    }

    @inline(never)
    private static func put(
        _ connection: inout Connection, _ context: inout WorkerContext, _ request: Request, _ key: MetaKey,
        _ value: UnsafePointer<UInt8>
    ) {
        let hashed = context.session.hashed(key.bytes, length: key.length)
        if isTooLarge(request, context) {
            recordRefusal(connection, &context, request, hashed, .tooLarge)
            return connection.reply(.tooLarge, &context)
        }
        context.counters.add(.cmdSet)
        let write = MetaWrite(request, context, keyIsBinary: key.isBinary)
        if context.isWatched { _ = context.logLookup(hashed, connection.number) }
        let result = context.session.store(
            write.mode, hashed, value: value, valueLength: request.valueLength, clientFlags: request.clientFlags,
            expiry: write.expiry, write.options, now: context.now)
        if write.mode == .compareAndSwap { countCas(context, result.outcome) }
        guard let code = write.code(of: result.outcome) else {
            let reply: Reply = result.outcome == .tooLarge ? .tooLarge : .outOfMemoryStoring
            recordRefusal(connection, &context, request, hashed, reply)
            return connection.reply(reply, &context)
        }
        if context.isWatched { logMetaStore(hashed, request, result.outcome, connection, &context) }
        if code == .done, request.meta.flags.has(UInt8(ascii: "q")) { return }
        guard let out = connection.output.room(MetaEncoder.answerLengthMax, &context.pool) else {
            return connection.outOfReplyMemory(&context)
        }
        var facts = key.facts
        if code == .done { facts.cas = visible(result.cas, context) }
        facts.valueLength = code == .done ? result.valueLength : request.valueLength
        connection.output.didWrite(
            MetaEncoder.encodeStorage(code, facts, flags: key.flags, flagsLength: key.flagsLength, at: out))
    }

    /// Whatever its mode, an `ms` that cannot be stored leaves no old value to be read; and `q` does not
    /// hide it.
    @inline(never)
    private static func recordRefusal(
        _ connection: borrowing Connection, _ context: inout WorkerContext, _ request: Request, _ key: HashedKey,
        _ reply: Reply
    ) {
        if context.isWatched {
            logMetaStore(key, request, reply == .tooLarge ? .tooLarge : .noMemory, connection, &context)
        }
        context.counters.add(reply == .tooLarge ? .storeTooLarge : .storeNoMemory)
        _ = context.session.delete(key, now: context.now)
    }

    @inline(never)
    private static func logMetaStore(
        _ key: HashedKey, _ request: Request, _ outcome: StoreOutcome, _ connection: borrowing Connection,
        _ context: inout WorkerContext
    ) {
        var request = request
        switch request.meta.mode {
        case UInt8(ascii: "E"): request.storeMode = .add
        case UInt8(ascii: "A"): request.storeMode = .append
        case UInt8(ascii: "P"): request.storeMode = .prepend
        case _ where request.meta.flags.has(UInt8(ascii: "C")): request.storeMode = .compareAndSwap
        case UInt8(ascii: "R"): request.storeMode = .replace
        default: break
        }
        context.logStore(key, request, outcome, connection.number)
    }

    /// Refuses a value of which not all has arrived. Returns the answer.
    static func refuseMeta(
        _ connection: inout Connection, _ context: inout WorkerContext, _ request: Request,
        key: UnsafePointer<UInt8>, _ reply: Reply
    ) -> Reply {
        withMetaKey(&connection, &context, request, key) { connection, context, key in
            let hashed = context.session.hashed(key.bytes, length: key.length)
            recordRefusal(connection, &context, request, hashed, reply)
        }
        return reply
    }
}

/// What an `ms` is to the store.
private struct MetaWrite {
    var mode = WriteMode.set
    var options = WriteOptions()
    var expiry: Int64

    @inline(__always)
    init(_ request: Request, _ context: borrowing WorkerContext, keyIsBinary: Bool) {
        let flags = request.meta.flags
        expiry = Execute.touchedExpiry(request, context)
        options.newCas = Execute.newCas(request, context)
        options.keyIsBinary = keyIsBinary
        let compares = flags.has(UInt8(ascii: "C"))
        // Without cas values (`-C`) none can be right; 0 is never right.
        if compares, context.casIsEnabled, request.cas != 0 { options.cas = request.cas }
        switch request.meta.mode {
        case 0, UInt8(ascii: "S"): mode = compares ? .compareAndSwap : .set
        case UInt8(ascii: "R"): mode = compares ? .compareAndSwap : .replace
        case UInt8(ascii: "E"): mode = .add
        default:
            mode = request.meta.mode == UInt8(ascii: "A") ? .append : .prepend
            options.setsExpiry = false
            if flags.has(UInt8(ascii: "N")) {
                options.createsMissing = true
                expiry = Execute.vivifiedExpiry(request, context)
            }
        }
        options.acceptsOlder = mode == .compareAndSwap && flags.has(UInt8(ascii: "I"))
    }

    /// Nil: there is no room for it. What an append could not find room for is not stored, as elsewhere.
    @inline(__always)
    func code(of outcome: StoreOutcome) -> MetaCode? {
        switch outcome {
        case .stored: .done
        case .notStored: .notStored
        case .exists: .exists
        case .notFound: .notFound
        case .tooLarge, .noMemory: mode == .append || mode == .prepend ? .notStored : nil
        }
    }
}
