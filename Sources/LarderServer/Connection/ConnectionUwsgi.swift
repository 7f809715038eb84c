import Glibc
import LarderStore
import LarderWire
import Synchronization

/// A connection of the uwsgi protocol: one request, one answer, and the end.
extension Connection {
    mutating func uwsgiStep(_ context: inout WorkerContext, _ budget: inout Int) -> Bool {
        let base = UnsafePointer(input.base)
        let start = input.start
        let step = uwsgiParser.next(
            base, cursor: &input.start, end: input.end, keyLengthMax: context.state.keyBytesMax, request: &request)
        switch step {
        case .request, .value:
            guard selectNamedCache(base, &context) else {
                reply(.unknownCommand, &context)
                return true
            }
            guard request.keyLength <= context.limits.keyBytesMax else {
                reply(.badCommandLine, &context)
                return true
            }
            request.exptime = Execute.exptime(inSeconds: request.exptime, now: context.now)
            // Before `Execute.refuse`, which drops the old value as memcached does. uWSGI keeps it.
            if case .store = request.verb, Execute.isTooLarge(request, context) {
                context.counters.add(.storeTooLarge)
                reply(.tooLarge, &context)
                return true
            }
        default: break
        }
        return carryOut(step, from: start, &context, &budget)
    }

    /// Selects the cache that the packet names; false when there is none.
    private mutating func selectNamedCache(_ base: UnsafePointer<UInt8>, _ context: inout WorkerContext) -> Bool {
        let state = context.state
        // SAFETY: the parser's offsets lie inside the input buffer.
        let name = UnsafeRawBufferPointer(start: base + uwsgiParser.cacheStart, count: uwsgiParser.cacheLength)
        guard let number = name.isEmpty ? state.firstCacheNumber : state.cacheNumber(named: name) else { return false }
        cacheNumber = number
        routedCacheNumber = number
        routePrefixLength = 0
        context.select(number)
        return true
    }

    /// Leaves the answer to the thread that gives dumps.
    mutating func handOverForDump(_ context: inout WorkerContext) {
        phase = .closing
        guard let giver = context.state.dumpGiver.withLock({ $0 }) else { return }
        if !giver.give(cacheNumber: cacheNumber, to: number) { closeReason = .error }
    }

    @inline(never)
    mutating func replyInUwsgi(_ reply: Reply, _ context: inout WorkerContext) {
        guard let out = output.room(UwsgiEncoder.answerLengthMax, &context.pool) else {
            return outOfReplyMemory(&context)
        }
        output.didWrite(UwsgiEncoder.encode(reply, uwsgiParser.form, at: out))
        if context.verbosity > 1 { logReply(reply) }
        phase = .closing
    }

    /// A value that was asked for, and the end of the connection.
    mutating func writeFetched(_ item: Item, _ context: inout WorkerContext) {
        phase = .closing
        let length = item.valueLength
        let expiry = context.session.expiry(of: item)
        let isCopied = length <= Output.copiedValueMax
        guard let out = output.room(UwsgiEncoder.answerLengthMax + (isCopied ? length : 0), &context.pool) else {
            return outOfReplyMemory(&context)
        }
        let header = UwsgiEncoder.encodeValueHeader(
            uwsgiParser.form, valueLength: length, expires: expiry == Int64.max ? nil : expiry / 1000, at: out)
        guard let header else { return }
        if isCopied { memcpy(out + header, item.value, length) }
        output.didWrite(header + (isCopied ? length : 0))
        if !isCopied { writeLargeValue(item, length, &context) }
    }
}
