import Glibc
import LarderStore
import LarderWire

/// Carries out requests: one switch, a line for each verb.
///
/// Here, and only here, a request meets the store. The helpers below do not ask again which verb
/// it was.
enum Execute {
    @inline(__always)
    static func run(
        _ connection: inout Connection, _ context: inout WorkerContext, _ request: Request,
        key: UnsafePointer<UInt8>, value: UnsafePointer<UInt8>
    ) {
        if hasLifetime(request) { context.readClock() }
        switch request.verb {
        case .retrieve: retrieve(&connection, &context, request, key)
        case .store: store(&connection, &context, request, key, value)
        case .delete: delete(&connection, &context, request, key)
        case .arithmetic: arithmetic(&connection, &context, request, key)
        case .touch: touch(&connection, &context, request, key)
        case .flushAll: flushAll(&connection, &context, request)
        case .version: connection.writeVersion(&context)
        case .verbosity: verbosity(&connection, &context, request)
        case .statistics: statistics(&connection, &context, request, key)
        case .shutdown: shutdown(&connection, &context, request, key)
        case .administration: administer(&connection, &context, request, key)
        case .quit: connection.quit(&context)
        case .metaGet: metaGet(&connection, &context, request, key)
        case .metaStore: metaStore(&connection, &context, request, key, value)
        case .metaDelete: metaDelete(&connection, &context, request, key)
        case .metaArithmetic: metaArithmetic(&connection, &context, request, key)
        case .metaDebug: metaDebug(&connection, &context, request, key)
        case .noOperation: connection.reply(.noOperation, &context)
        case .listMechanisms: listMechanisms(&connection, &context)
        case .authenticate: authenticate(&connection, &context, request, key, value)
        }
        if StoreDamage.count != context.damagesNoted, context.noteDamage(), request.verb.readsItems,
            !connection.output.isEmpty
        {
            connection.output.isSpoiled = true
        }
    }

    // MARK: Times and limits

    private static let relativeSecondsMax: Int64 = 60 * 60 * 24 * 30

    /// Whether a request sets a time relative to now. Then it needs the time of the request itself, which may come late
    /// in its turn.
    @inline(__always)
    static func hasLifetime(_ request: Request) -> Bool {
        (1...relativeSecondsMax).contains(request.exptime) || request.meta.vivifyExptime > 0
    }

    /// memcached's exptime as absolute milliseconds: 0 never, negative at once, up to 30 days from
    /// now, else Unix time.
    @inline(__always)
    static func expiry(ofSeconds seconds: Int64, now: Int64) -> Int64 {
        if seconds == 0 { return Int64.max }
        if seconds < 0 { return 0 }
        return seconds <= relativeSecondsMax ? now &+ seconds &* 1000 : seconds &* 1000
    }

    /// Whether memcached would refuse an item for its size: it counts its own header, so the same
    /// value is the first to be refused here. uWSGI counts the value, and so does a cache of its kind.
    @inline(__always)
    static func isTooLarge(_ request: Request, _ context: borrowing WorkerContext) -> Bool {
        let decodedLength = Int(request.meta.decodedKeyLength)
        return isTooLarge(
            keyLength: decodedLength > 0 ? decodedLength : request.keyLength, valueLength: request.valueLength,
            clientFlags: request.clientFlags, context)
    }

    @inline(__always)
    static func isTooLarge(
        keyLength: Int, valueLength: Int, clientFlags: UInt32, _ context: borrowing WorkerContext
    ) -> Bool {
        let header = 59 &+ (clientFlags != 0 ? 4 : 0) &- (context.casIsEnabled ? 0 : 8)
        return valueLength > context.limits.sizeMax &- ((header &+ keyLength) & context.limits.overheadMask)
    }

    /// Refuses a value whose request is read; a `set` must not leave the old value to be read.
    ///
    /// - Returns: the answer, which the caller gives when all of the value is there; nil: the client wants none.
    static func refuse(
        _ connection: inout Connection, _ context: inout WorkerContext, _ request: Request,
        key: UnsafePointer<UInt8>, _ reply: Reply, counting counter: Counter
    ) -> Reply? {
        if case .metaStore = request.verb { return refuseMeta(&connection, &context, request, key: key, reply) }
        context.counters.add(counter)
        let hashed = context.session.hashed(key, length: request.keyLength)
        if context.isWatched {
            context.logStore(hashed, request, reply == .tooLarge ? .tooLarge : .noMemory, connection.number)
        }
        if case .set = request.storeMode {
            _ = context.session.delete(hashed, now: context.now)
        }
        return request.options.noReply ? nil : reply
    }

    // MARK: Retrieval

    @inline(__always)
    private static func retrieve(
        _ connection: inout Connection, _ context: inout WorkerContext, _ request: Request,
        _ key: UnsafePointer<UInt8>
    ) {
        let hashed = context.session.hashed(key, length: request.keyLength)
        let touches = request.options.touches
        context.counters.add(touches ? .cmdTouch : .cmdGet)
        let found = context.session.findEvenDead(hashed)
        let isDead = found.map { context.session.isDead($0, now: context.now) } ?? false
        if context.isWatched { context.logLookup(hashed, found, isDead: isDead, connection.number) }
        if let item = found, !isDead {
            answer(&connection, &context, request, hashed, item)
        } else {
            missed(&connection, &context, request, hashed, isDead: isDead)
        }
        if request.options.lastOfRetrieval { endRetrieval(&connection, &context) }
    }

    @inline(__always)
    private static func answer(
        _ connection: inout Connection, _ context: inout WorkerContext, _ request: Request, _ key: HashedKey,
        _ item: Item
    ) {
        let touches = request.options.touches
        context.counters.add(touches ? .touchHits : .getHits)
        context.session.markUsed(item, now: context.now)
        if context.detailIsEnabled { countPrefix(context, key, isHit: true) }
        let bytes = key.bytes.assumingMemoryBound(to: UInt8.self)
        if context.verbosity > 1 { connection.logKey("sending key", bytes, key.length) }
        let cas = request.options.wantsCas ? (context.casIsEnabled ? context.session.cas(of: item) : 0) : nil
        // The client is told the key that it asked for, the cache's name before it included.
        let prefix = connection.routePrefixLength
        connection.writeValue(item, key: bytes - prefix, keyLength: key.length &+ prefix, cas: cas, &context)
        // Last, since the item may move for it. One that dies at once is answered all the same.
        guard touches else { return }
        let expiry = expiry(ofSeconds: request.exptime, now: context.now)
        _ = context.session.touch(key, expiry: expiry, now: context.now)
    }

    private static func missed(
        _ connection: inout Connection, _ context: inout WorkerContext, _ request: Request, _ key: HashedKey,
        isDead: Bool
    ) {
        context.counters.add(request.options.touches ? .touchMisses : .getMisses)
        if isDead { context.counters.add(.getExpired) }
        if isDead { context.session.removeDead(key, now: context.now) }
        if context.detailIsEnabled { countPrefix(context, key, isHit: false) }
        if context.verbosity > 1 {
            connection.logKey("NOT FOUND", key.bytes.assumingMemoryBound(to: UInt8.self), key.length)
        }
        if request.options.answersMiss {
            let bytes = key.bytes.assumingMemoryBound(to: UInt8.self)
            connection.writeMiss(key: bytes, keyLength: key.length, &context)
        }
    }

    private static func endRetrieval(_ connection: inout Connection, _ context: inout WorkerContext) {
        guard let out = connection.output.room(TextEncoder.replyLengthMax, &context.pool) else {
            return connection.outOfReplyMemory(&context)
        }
        connection.output.didWrite(TextEncoder.encodeEnd(at: out))
        if context.verbosity > 1 { connection.logEnd() }
    }

    static func countPrefix(_ context: borrowing WorkerContext, _ key: HashedKey, isHit: Bool) {
        context.state.detail.record(key.bytes, length: key.length) {
            $0.gets += 1
            if isHit { $0.hits += 1 }
        }
    }

    // MARK: Storage

    @inline(__always)
    private static func store(
        _ connection: inout Connection, _ context: inout WorkerContext, _ request: Request,
        _ key: UnsafePointer<UInt8>, _ value: UnsafePointer<UInt8>
    ) {
        if isTooLarge(request, context) {
            let refusal = refuse(&connection, &context, request, key: key, .tooLarge, counting: .storeTooLarge)
            if let refusal { connection.reply(refusal, &context) }
            return
        }
        context.counters.add(.cmdSet)
        let hashed = context.session.hashed(key, length: request.keyLength)
        if context.detailIsEnabled {
            context.state.detail.record(hashed.bytes, length: hashed.length) { $0.sets += 1 }
        }
        if context.isWatched { _ = context.logLookup(hashed, connection.number) }
        // Without cas values (`-C`) none can be right; 0 is never given out.
        let compared = context.casIsEnabled ? request.cas : 0
        let mode = writeMode(request.storeMode, comparing: compared)
        let result = context.session.store(
            mode, hashed, value: value,
            valueLength: request.valueLength, clientFlags: request.clientFlags,
            expiry: expiry(ofSeconds: request.exptime, now: context.now), cas: compared, now: context.now)
        if case .compareAndSwap = mode { countCas(context, result.outcome) }
        if context.isWatched { context.logStore(hashed, request, result.outcome, connection.number) }
        switch result.outcome {
        case .noMemory: context.counters.add(.storeNoMemory)
        case .tooLarge: context.counters.add(.storeTooLarge)
        default: break
        }
        if !request.options.noReply {
            let cas = context.casIsEnabled ? result.cas : 0
            connection.reply(reply(to: result.outcome, request.storeMode), cas: cas, &context)
        }
    }

    /// A binary `set`, `add` or `replace` with a cas is a compare-and-swap.
    @inline(__always)
    private static func writeMode(_ mode: StoreMode, comparing cas: UInt64) -> WriteMode {
        switch mode {
        case .set: cas == 0 ? .set : .compareAndSwap
        case .add: cas == 0 ? .add : .compareAndSwap
        case .replace: cas == 0 ? .replace : .compareAndSwap
        case .append: .append
        case .prepend: .prepend
        case .compareAndSwap: .compareAndSwap
        }
    }

    static func countCas(_ context: borrowing WorkerContext, _ outcome: StoreOutcome) {
        switch outcome {
        case .stored: context.counters.add(.casHits)
        case .notFound: context.counters.add(.casMisses)
        default: context.counters.add(.casBadval)
        }
    }

    @inline(__always)
    private static func reply(to outcome: StoreOutcome, _ mode: StoreMode) -> Reply {
        // What an append could not find room for, memcached calls not stored.
        if case .append = mode, outcome == .tooLarge || outcome == .noMemory { return .notStored }
        if case .prepend = mode, outcome == .tooLarge || outcome == .noMemory { return .notStored }
        switch outcome {
        case .stored: return .stored
        case .notStored: return .notStored
        case .exists: return .exists
        case .notFound: return .notFound
        case .tooLarge: return .tooLarge
        case .noMemory: return .outOfMemoryStoring
        }
    }
}
