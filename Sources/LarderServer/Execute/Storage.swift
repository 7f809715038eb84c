import LarderStore
import LarderWire

/// Stores of any kind but `ms`. Here, and only here, they are counted and answered.
extension Execute {
    /// Stores the sets of the worker's batch: what the later ones need of memory is fetched while the first is stored.
    @inline(__always)
    static func store(
        _ connection: inout Connection, _ context: inout WorkerContext, sets count: Int,
        _ base: UnsafePointer<UInt8>
    ) {
        let batch = context.batch
        var exptimes: Int64 = 0
        var place = 0
        repeat {
            // SAFETY: the parser's offsets lie inside the input buffer.
            batch.lookups[place].key = UnsafeRawPointer(base + batch.sets[place].keyStart)
            batch.lookups[place].keyLength = batch.sets[place].keyLength
            exptimes |= batch.sets[place].exptime
            place &+= 1
        } while place != count
        // All of these values have arrived and are stored now, so their lifetimes begin here.
        if exptimes != 0 { context.readClock() }
        context.session.prefetch(batch.lookups, count: count)
        place = 0
        while place != count, case .readingCommand = connection.phase {
            let set = batch.sets + place
            var outcome = StoreOutcome.tooLarge
            if !isTooLarge(
                keyLength: set.pointee.keyLength, valueLength: set.pointee.valueLength,
                clientFlags: set.pointee.clientFlags, context)
            {
                outcome =
                    put(
                        &context, batch.lookups[place].hashedKey, base + set.pointee.valueStart,
                        set.pointee.valueLength, set.pointee.clientFlags, set.pointee.exptime, .set, cas: 0
                    ).outcome
            } else {
                // The old value must not be read any more.
                _ = context.session.delete(batch.lookups[place].hashedKey, now: context.now)
            }
            if case .stored = outcome {
                connection.writeStored(&context)
            } else {
                answer(&connection, &context, outcome, .set, isSilent: false)
            }
            place &+= 1
        }
    }

    /// Any store.
    static func store(
        _ connection: inout Connection, _ context: inout WorkerContext, _ request: Request,
        _ key: UnsafePointer<UInt8>, _ value: UnsafePointer<UInt8>
    ) {
        if isTooLarge(request, context) {
            let refusal = refuse(&connection, &context, request, key: key, .tooLarge, counting: .storeTooLarge)
            if let refusal { connection.reply(refusal, &context) }
            return
        }
        let hashed = context.session.hashed(key, length: request.keyLength)
        if context.detailIsEnabled {
            context.state.detail.record(hashed.bytes, length: hashed.length) { $0.sets += 1 }
        }
        if context.isWatched { _ = context.logLookup(hashed, connection.number) }
        let result = put(
            &context, hashed, value, request.valueLength, request.clientFlags, request.exptime,
            request.storeMode, cas: request.cas)
        if case .stored = result.outcome {
            if !request.options.noReply {
                connection.reply(.stored, cas: context.casIsEnabled ? result.cas : 0, &context)
            }
        } else {
            answer(
                &connection, &context, result.outcome, request.storeMode, isSilent: request.options.noReply)
        }
        if context.isWatched { context.logStore(hashed, request, result.outcome, connection.number) }
    }

    @inline(__always)
    private static func put(
        _ context: inout WorkerContext, _ key: HashedKey, _ value: UnsafePointer<UInt8>, _ valueLength: Int,
        _ clientFlags: UInt32, _ exptime: Int64, _ storeMode: StoreMode, cas: UInt64
    ) -> StoreResult {
        context.counters.add(.cmdSet)
        // Without cas values (`-C`) none can be right; 0 is never given out.
        let compared = context.casIsEnabled ? cas : 0
        let mode = writeMode(storeMode, comparing: compared)
        let result = context.session.store(
            mode, key, value: value, valueLength: valueLength, clientFlags: clientFlags,
            expiry: expiry(ofSeconds: exptime, now: context.now), cas: compared, now: context.now)
        if case .compareAndSwap = mode { countCas(context, result.outcome) }
        return result
    }

    /// What else a store can come to.
    @inline(never)
    private static func answer(
        _ connection: inout Connection, _ context: inout WorkerContext, _ outcome: StoreOutcome,
        _ mode: StoreMode,
        isSilent: Bool
    ) {
        switch outcome {
        case .noMemory: context.counters.add(.storeNoMemory)
        case .tooLarge: context.counters.add(.storeTooLarge)
        default: break
        }
        if !isSilent { connection.reply(reply(to: outcome, mode), &context) }
    }

    /// Refuses a value whose request is read; a `set` must not leave the old value to be read.
    ///
    /// - Returns: the answer, which the caller gives when all of the value is there; nil: the client wants none.
    static func refuse(
        _ connection: inout Connection, _ context: inout WorkerContext, _ request: Request,
        key: UnsafePointer<UInt8>, _ reply: Reply, counting counter: Counter
    ) -> Reply? {
        // A replicated cache keeps the old value, because its other servers do.
        if context.limits.isReplicated { return request.options.noReply ? nil : reply }
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
