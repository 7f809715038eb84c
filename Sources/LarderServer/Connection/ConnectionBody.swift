import Glibc
import LarderStore
import LarderWire

/// Values that come in pieces.
extension Connection {
    /// Makes room for a value of which some is still to come, or refuses it.
    mutating func beginBody(_ context: inout WorkerContext) {
        let needed = request.valueLength + dialect.valueTerminatorLength
        if case .store = request.verb, Execute.isTooLarge(request, context) {
            let key = UnsafePointer(input.base) + request.keyStart
            let refusal = Execute.refuse(&self, &context, request, key: key, .tooLarge, counting: .storeTooLarge)
            return skip(needed, then: refusal, &context)
        }
        // The name of a routed key comes along: the answer may repeat it.
        let keyLength = routePrefixLength + request.keyLength
        // And so do the flags of a meta command, which the answer goes through.
        let flagsLength = Int(request.meta.flagsLength)
        let headLength = keyLength + flagsLength
        incoming = place(forValueOf: needed, context)
        let bytesBefore = incoming == nil ? headLength : 0
        guard let memory = context.pool.takeBody(incoming == nil ? headLength + needed : headLength) else {
            dropIncoming(&context)
            context.counters.add(.readBufferOutOfMemory)
            let key = UnsafePointer(input.base) + request.keyStart
            let refusal = Execute.refuse(
                &self, &context, request, key: key, .outOfMemoryStoring, counting: .storeNoMemory)
            return skip(needed, then: refusal, &context)
        }
        let bytes = memory.assumingMemoryBound(to: UInt8.self)
        memcpy(bytes, input.base + request.keyStart - routePrefixLength, keyLength)
        memcpy(bytes + keyLength, input.base + Int(request.meta.flagsStart), flagsLength)
        let arrived = min(input.count, needed)
        memcpy(
            incoming?.value ?? UnsafeMutableRawPointer(bytes + headLength), input.base + input.start, arrived)
        input.start += arrived
        body = bytes
        bodyFilled = bytesBefore + arrived
        bodyNeeded = bytesBefore + needed
        context.heldBytes += bodyFilled
        request.keyStart = routePrefixLength
        request.meta.flagsStart = UInt32(keyLength)
        request.valueStart = headLength
        phase = .readingValue
    }

    mutating func finishBody(_ context: inout WorkerContext) {
        phase = .readingCommand
        guard let bytes = body else { return }
        let value =
            incoming.map { UnsafePointer($0.value.assumingMemoryBound(to: UInt8.self)) }
            ?? UnsafePointer(bytes + request.valueStart)
        let end = value + request.valueLength + dialect.valueTerminatorLength
        if dialect != .text || (end[-2] == UInt8(ascii: "\r") && end[-1] == UInt8(ascii: "\n")) {
            if context.routesKeys { context.select(routedCacheNumber) }
            if let incoming { context.session.commit(incoming) }
            if !context.limits.isReplicated
                || !replicate(key: bytes + request.keyStart, value: value, &context)
            {
                Execute.run(&self, &context, request, key: bytes + request.keyStart, value: value)
            }
            if let incoming { context.session.cancel(incoming) }
            incoming = nil
        } else if !request.options.noReply {
            reply(.badDataChunk, &context)
        }
        dropBody(&context)
    }

    mutating func dropBody(_ context: inout WorkerContext) {
        guard let bytes = body else { return }
        dropIncoming(&context)
        context.pool.giveBackBody(bytes)
        context.heldBytes -= bodyFilled
        body = nil
        bodyFilled = 0
        bodyNeeded = 0
    }

    /// A place in the store for a large value that is about to arrive, and what follows it.
    private func place(forValueOf needed: Int, _ context: borrowing WorkerContext) -> IncomingValue? {
        guard request.verb == .store || request.verb == .metaStore, !context.limits.isReplicated else { return nil }
        return context.session.incomingValue(
            keyLength: request.keyLength, valueLength: request.valueLength,
            tailLength: needed - request.valueLength, clientFlags: request.clientFlags,
            expiry: Execute.expiry(ofSeconds: request.exptime, now: context.now), now: context.now)
    }

    private mutating func dropIncoming(_ context: inout WorkerContext) {
        guard let incoming else { return }
        self.incoming = nil
        // It may be in the middle of another client's request.
        let current = context.cacheNumber
        context.select(context.routesKeys ? routedCacheNumber : cacheNumber)
        context.session.giveBack(incoming)
        context.select(current)
    }
}
