import LarderStore
import LarderWire

/// From what has arrived to requests: each step is one, or as many keys as are asked for together.
extension Connection {
    /// One step of the parser, and the request that it found; false when it needs more bytes.
    @inline(__always)
    mutating func step(_ context: inout WorkerContext, _ budget: inout Int) -> Bool {
        context.stepsUntilNoted &-= 1
        if context.stepsUntilNoted == 0 { return notedStep(&context, &budget) }
        return plainStep(&context, &budget)
    }

    /// A step of a timed turn, or one that is sampled for `stats hotkeys`.
    @inline(never)
    private mutating func notedStep(_ context: inout WorkerContext, _ budget: inout Int) -> Bool {
        let began = context.turnBegan
        let weight = context.takeSample()
        // The first step of a connection has another one within it, which is not noted by itself.
        context.stepsUntilNoted = .max
        defer { context.countToNotedStep() }
        let before = began == 0 ? nil : CountedCommands(context.counters)
        if let weight {
            guard sampledStep(&context, &budget, weight) else { return false }
        } else {
            guard plainStep(&context, &budget) else { return false }
        }
        if let before { timed.add(before.command, since: began) }
        return true
    }

    /// Records what was timed. Call it when the first bytes of the answer were sent.
    @inline(never)
    mutating func recordTimed(_ context: inout WorkerContext) {
        let nanoseconds = CommandDurations.now() &- timed.since
        for command in CommandDurations.Command.allCases where timed.counts[command.rawValue] > 0 {
            let steps = Int64(timed.counts[command.rawValue])
            context.durations?.record(command, nanoseconds: nanoseconds, steps: steps)
        }
        timed = TimedSteps()
    }

    /// A step of the client's dialect.
    @inline(__always)
    mutating func plainStep(_ context: inout WorkerContext, _ budget: inout Int) -> Bool {
        if case .text = dialect { return textStep(&context, &budget) }
        if case .binary = dialect { return binaryStep(&context, &budget) }
        return firstStep(&context, &budget)
    }

    // What most requests are is inlined in the next two.
    @inline(never)
    private mutating func textStep(_ context: inout WorkerContext, _ budget: inout Int) -> Bool {
        let base = UnsafePointer(input.base)
        let start = input.start
        // `requestCost` is a power of two, and the budget above 0.
        let affordable = parser.retrievalTerminator != 0 ? budget : (budget &+ (Self.requestCost &- 1)) &>> 6
        let step = parser.next(
            base, cursor: &input.start, end: input.end, request: &request, room: context.batch.room,
            countMax: min(context.batchMax, affordable))
        if case .retrieval = step {
            retrieve(&context, &budget, base)
            return true
        }
        if case .sets = step {
            budget &-= parser.taken.count &* Self.requestCost
            Execute.store(&self, &context, sets: parser.taken.count, base)
            return true
        }
        return carryOut(step, from: start, &context, &budget)
    }

    /// As `textStep`, of a client that speaks binary.
    @inline(never)
    private mutating func binaryStep(_ context: inout WorkerContext, _ budget: inout Int) -> Bool {
        let base = UnsafePointer(input.base)
        let start = input.start
        let step = binaryParser.next(
            base, cursor: &input.start, end: input.end, request: &request, keys: context.batch.keys,
            countMax: min(context.batchMax, (budget &+ (Self.requestCost &- 1)) &>> 6))
        if case .retrieval = step {
            retrievePackets(&context, &budget, base)
            return true
        }
        if !binaryParser.isAuthenticated, !spendLogin(on: step, from: start, &context) { return true }
        return carryOut(step, from: start, &context, &budget)
    }

    /// Answers the keys that the parser has taken, and gives those back that have to wait.
    @inline(__always)
    private mutating func retrieve(
        _ context: inout WorkerContext, _ budget: inout Int, _ base: UnsafePointer<UInt8>
    ) {
        let count = parser.taken.count
        var answered = 0
        switch parser.taken.form {
        case .get where !context.isObserved: answered = Execute.answerGet(&self, &context, count, base)
        case .meta: answered = Execute.answerMeta(&self, &context, count, base)
        default:
            if !context.isObserved || beginObserved(&context, continuesLine: parser.taken.continuesLine) {
                answered = Execute.answerClassic(&self, &context, count, base)
            } else if phase != .parked {
                answered = count
            }
        }
        if answered != count { giveBack(context.batch.keys + answered, isFirst: answered == 0) }
        if !parser.taken.shareLine {
            budget &-= answered &* Self.requestCost
        } else if answered > 0 {
            budget &-= parser.taken.continuesLine ? answered : answered &+ (Self.requestCost &- 1)
        }
    }

    /// The same for packets.
    @inline(__always)
    private mutating func retrievePackets(
        _ context: inout WorkerContext, _ budget: inout Int, _ base: UnsafePointer<UInt8>
    ) {
        let count = binaryParser.taken.count
        var answered = 0
        if !context.isObserved, !binaryParser.taken.touches {
            answered = Execute.answerPacketGet(&self, &context, count, base)
        } else if !context.isObserved || beginObserved(&context, continuesLine: false) {
            answered = Execute.answerPackets(&self, &context, count, base)
        } else if phase != .parked {
            answered = count
        }
        if answered != count { giveBack(context.batch.keys + answered, isFirst: answered == 0) }
        budget &-= answered &* Self.requestCost
    }

    @inline(never)
    private mutating func giveBack(_ key: UnsafePointer<RetrievalKey>, isFirst: Bool) {
        if case .binary = dialect {
            input.start = key.pointee.requestStart
        } else {
            parser.giveBack(key.pointee, isFirst: isFirst, cursor: &input.start)
        }
    }

    /// Logs a key's request, and finds its cache; false when it has to wait for its store, or was refused.
    @inline(never)
    private mutating func beginObserved(_ context: inout WorkerContext, continuesLine: Bool) -> Bool {
        if context.waitsForStore {
            phase = .parked
            return false
        }
        let base = UnsafePointer(input.base)
        if context.verbosity > 1, !continuesLine { logLine(base) }
        if context.routesKeys { route(base, context.batch.keys.pointee, &context) }
        return !context.limits.isReplicated || !refusesTouch(continuesLine: continuesLine, &context)
    }

    /// As above, of any other request; false if it waits, or was handed to the thread of a replicated cache.
    @inline(never)
    private mutating func beginObserved(
        _ step: ParseStep, from start: Int, _ base: UnsafePointer<UInt8>, _ context: inout WorkerContext
    ) -> Bool {
        if context.waitsForStore, request.verb.needsStore {
            // It stays in the input, and is read again when the store is there.
            input.start = start
            phase = .parked
            return false
        }
        if context.verbosity > 1 { logLine(base) }
        if context.routesKeys, dialect != .uwsgi { route(base, &context) }
        guard context.limits.isReplicated, case .request = step else { return true }
        // SAFETY: the parser's offsets lie inside the input buffer.
        return !replicate(key: base + request.keyStart, value: base + request.valueStart, &context)
    }

    /// Carries out what the parser has found, what comes in batches excepted.
    @inline(never)
    mutating func carryOut(
        _ step: ParseStep, from start: Int, _ context: inout WorkerContext, _ budget: inout Int
    ) -> Bool {
        let base = UnsafePointer(input.base)
        switch step {
        case .request, .value:
            if context.isObserved, !beginObserved(step, from: start, base, &context) { return true }
            budget &-= Self.requestCost
            if case .value = step {
                beginBody(&context)
            } else {
                // SAFETY: the parser's offsets lie inside the input buffer.
                Execute.run(
                    &self, &context, request, key: base + request.keyStart, value: base + request.valueStart)
            }
        case .retrieval, .sets, .needMore: return false
        case .reject:
            budget &-= Self.requestCost
            if context.verbosity > 1 { logLine(base) }
            reject(rejection, &context)
        case .close:
            closeReason = .error
            phase = .closing
        }
        return true
    }

    private var rejection: Rejection {
        switch dialect {
        case .binary: binaryParser.rejection
        case .uwsgi: uwsgiParser.rejection
        case .text, .undecided: parser.rejection
        }
    }
}
