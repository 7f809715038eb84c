import LarderStore
import LarderWire

/// Requests of a replicated cache. A change waits for the cache's log: see `CacheReplica`.
extension Connection {
    // MARK: Before

    /// Refuses a `gat` that sets an expiry.
    mutating func refusesTouch(continuesLine: Bool, _ context: inout WorkerContext) -> Bool {
        let isBinary = dialect == .binary
        guard isBinary ? binaryParser.taken.touches : parser.taken.touches, request.exptime != 0 else { return false }
        if isBinary { request.packetTag = context.batch.keys.pointee.tag }
        if !continuesLine { reply(.hasNoExpiry, &context) }
        return true
    }

    /// Hands a change to the thread of its cache, or refuses it.
    /// - Returns: false if the request changes nothing, so that the worker carries it out.
    @inline(never)
    mutating func replicate(
        key: UnsafePointer<UInt8>, value: UnsafePointer<UInt8>, _ context: inout WorkerContext
    ) -> Bool {
        if let refusal = refusal {
            if !request.options.noReply { reply(refusal, &context) }
            return true
        }
        switch request.verb {
        case .metaStore, .metaDelete, .metaArithmetic:
            Execute.withMetaKey(&self, &context, request, key) { $0.hand($2, value, &$1) }
        case .flushAll where !context.state.settings.flushEnabled: return false
        case .store, .delete, .arithmetic, .flushAll:
            let plain = MetaKey(
                bytes: key, length: request.keyLength, prefixLength: routePrefixLength, isBinary: false, flags: key,
                flagsLength: 0)
            hand(plain, value, &context)
        default: return false
        }
        return true
    }

    /// Why a replicated cache does not carry out the request; nil: it does.
    private var refusal: Reply? {
        let flags = request.meta.flags
        let isMeta: Bool
        switch request.verb {
        case .metaStore, .metaDelete, .metaArithmetic, .metaGet: isMeta = true
        default: isMeta = false
        }
        guard isMeta else {
            switch request.verb {
            case .store, .touch: return request.exptime == 0 ? nil : .hasNoExpiry
            case .flushAll: return request.exptime > 0 ? .hasNoExpiry : nil
            case .arithmetic: return request.options.createsItem && request.exptime != 0 ? .hasNoExpiry : nil
            default: return nil
            }
        }
        if flags.has(UInt8(ascii: "T")), request.exptime != 0 { return .hasNoExpiry }
        if request.verb == .metaGet { return flags.has(UInt8(ascii: "N")) ? .notReplicated : nil }
        if flags.has(UInt8(ascii: "N")), request.meta.vivifyExptime != 0 { return .hasNoExpiry }
        // The cas of an item is the id of its record. Items are never stale.
        let others = [UInt8(ascii: "E"), UInt8(ascii: "I"), UInt8(ascii: "x")]
        return others.contains { flags.has($0) } ? .notReplicated : nil
    }

    private mutating func hand(_ key: MetaKey, _ value: UnsafePointer<UInt8>, _ context: inout WorkerContext) {
        // A datagram does not wait.
        guard number >= 0, let replica = context.state.caches[context.cacheNumber].replica else {
            return reply(.notReplicated, &context)
        }
        let isStore = request.verb == .store || request.verb == .metaStore
        if isStore {
            guard !Execute.isTooLarge(request, context) else {
                context.counters.add(.storeTooLarge)
                if !request.options.noReply { reply(.tooLarge, &context) }
                return
            }
            context.counters.add(.cmdSet)
        }
        // SAFETY: the value lies in a buffer of the connection.
        let bytes = isStore ? Array(UnsafeBufferPointer(start: value, count: request.valueLength)) : []
        let write = ReplicaWrite(
            request, key, value: bytes,
            valueBytesMax: Execute.valueBytesMax(
                keyLength: key.length, clientFlags: request.clientFlags, context), context)
        replicaWrite = Unmanaged.passRetained(write)
        phase = .holdingWrite
        replica.submit(write)
    }

    // MARK: Afterwards

    /// Answers the change; false if it is still on its way.
    mutating func continueWrite(_ context: inout WorkerContext) -> Bool {
        guard let write = replicaWrite?.takeUnretainedValue(), let outcome = write.takeOutcome() else { return false }
        phase = .readingCommand
        context.select(context.routesKeys ? routedCacheNumber : cacheNumber)
        count(outcome, of: write.request, context)
        answer(outcome, write, &context)
        endWrite()
        return true
    }

    /// Lets the change go. It is carried out nevertheless.
    mutating func endWrite() {
        replicaWrite?.release()
        replicaWrite = nil
    }

    private mutating func answer(
        _ outcome: ReplicaWrite.Outcome, _ write: ReplicaWrite, _ context: inout WorkerContext
    ) {
        let isSilent = write.request.options.noReply
        switch outcome {
        case .reply(let answer, let cas):
            if !isSilent { reply(answer, cas: context.casIsEnabled ? cas : 0, &context) }
        case .number(let number, let cas):
            if !isSilent { writeNumber(number, cas: context.casIsEnabled ? cas : 0, &context) }
        case .meta(let code, let cas, let valueLength):
            if code == .done, write.request.meta.flags.has(UInt8(ascii: "q")) { return }
            write.withAnsweredKey { key in
                guard write.request.verb == .metaStore else { return replyMeta(code, key, &context) }
                writeMeta(key, &context) { facts, out in
                    if code == .done { facts.cas = cas }
                    facts.valueLength = valueLength
                    return MetaEncoder.encodeStorage(
                        code, facts, flags: key.flags, flagsLength: key.flagsLength, at: out)
                }
            }
        case .metaNumber(let number, let cas, let isCreated):
            let flags = write.request.meta.flags
            if flags.has(UInt8(ascii: "q")) { return }
            write.withAnsweredKey { key in
                writeMeta(key, &context) { facts, out in
                    facts.cas = cas
                    facts.isCreated = isCreated
                    facts.secondsLeft = Int64.max
                    facts.secondsLeftTouched = Int64.max
                    facts.secondsLeftVivified = Int64.max
                    return MetaEncoder.encodeArithmetic(
                        flags.has(UInt8(ascii: "v")) ? number : nil, facts, flags: key.flags,
                        flagsLength: key.flagsLength, at: out)
                }
            }
        }
    }

    private mutating func writeMeta(
        _ key: MetaKey, _ context: inout WorkerContext,
        _ encode: (inout MetaFacts, UnsafeMutablePointer<UInt8>) -> Int
    ) {
        guard let out = output.room(MetaEncoder.answerLengthMax, &context.pool) else {
            return outOfReplyMemory(&context)
        }
        var facts = key.facts
        let length = encode(&facts, out)
        output.didWrite(length)
    }

    private func count(
        _ outcome: ReplicaWrite.Outcome, of request: Request, _ context: borrowing WorkerContext
    ) {
        var isHit = false
        var isMiss = false
        switch outcome {
        case .reply(.stored, _), .reply(.deleted, _), .number, .meta(.done, _, _): isHit = true
        case .metaNumber(_, _, let isCreated): isHit = !isCreated
        case .reply(.notFound, _), .meta(.notFound, _, _): isMiss = true
        default: break
        }
        let mode = request.meta.mode
        let decrements = request.options.decrements || mode == UInt8(ascii: "D") || mode == UInt8(ascii: "-")
        switch request.verb {
        case .delete, .metaDelete:
            if isHit { context.counters.add(.deleteHits) }
            if isMiss { context.counters.add(.deleteMisses) }
        case .arithmetic, .metaArithmetic:
            if isHit { context.counters.add(decrements ? .decrHits : .incrHits) }
            if isMiss { context.counters.add(decrements ? .decrMisses : .incrMisses) }
        case .store where request.storeMode == .compareAndSwap:
            context.counters.add(isHit ? .casHits : isMiss ? .casMisses : .casBadval)
        case .flushAll: context.counters.add(.cmdFlush)
        default: break
        }
    }
}
