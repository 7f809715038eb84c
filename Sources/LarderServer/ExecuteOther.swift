import Glibc
import LarderStore
import LarderWire
import Synchronization

extension Execute {
    // MARK: Deletion, arithmetic, touch

    static func delete(
        _ connection: inout Connection, _ context: inout WorkerContext, _ request: Request,
        _ key: UnsafePointer<UInt8>
    ) {
        let hashed = context.session.hashed(key, length: request.keyLength)
        if context.detailIsEnabled {
            context.state.detail.record(hashed.bytes, length: hashed.length) { $0.deletes += 1 }
        }
        let isDeleted = context.session.delete(hashed, now: context.now) == .stored
        context.counters.add(isDeleted ? .deleteHits : .deleteMisses)
        if !request.options.noReply { connection.reply(isDeleted ? .deleted : .notFound, &context) }
    }

    /// A number may have this many bytes, the spaces behind it counted.
    private static let numberLengthMax = 512 << 10

    /// `incr` and `decr`: reads the number, and stores the new one if the item is still the same.
    static func arithmetic(
        _ connection: inout Connection, _ context: inout WorkerContext, _ request: Request,
        _ key: UnsafePointer<UInt8>
    ) {
        let hashed = context.session.hashed(key, length: request.keyLength)
        let decrements = request.options.decrements
        let answers = !request.options.noReply
        while true {
            guard let item = context.session.find(hashed, now: context.now) else {
                if let initial = context.limits.mathInitial {
                    guard create(from: initial, &connection, &context, request, hashed) else { continue }
                    return
                }
                context.counters.add(decrements ? .decrMisses : .incrMisses)
                if answers { connection.reply(.notFound, &context) }
                return
            }
            let bytes = UnsafePointer(item.value.assumingMemoryBound(to: UInt8.self))
            // As in memcached, what is long enough to lie in pieces there is no number.
            let isShort = item.valueLength <= numberLengthMax
            guard isShort, let old = DecimalText.unsigned64(bytes, item.valueLength) else {
                if answers { connection.reply(.nonNumericValue, &context) }
                return
            }
            let new = decrements ? old &- min(old, request.number) : old &+ request.number
            switch storeNumber(new, over: item, hashed, &context) {
            case .stored:
                context.counters.add(decrements ? .decrHits : .incrHits)
                if answers { connection.writeNumber(new, &context) }
                return
            case .noMemory, .tooLarge:
                if answers { connection.reply(.outOfMemory, &context) }
                return
            default: continue
            }
        }
    }

    /// Makes the number that is missing, from what `math_initial` says; false when somebody else has.
    private static func create(
        from initial: UInt64, _ connection: inout Connection, _ context: inout WorkerContext, _ request: Request,
        _ key: HashedKey
    ) -> Bool {
        let decrements = request.options.decrements
        let number = decrements ? initial &- min(initial, request.number) : initial &+ request.number
        let outcome = withUnsafeTemporaryAllocation(byteCount: DecimalText.lengthMax + 8, alignment: 8) { raw in
            // SAFETY: room for the most digits there are.
            guard let start = raw.baseAddress else { return StoreOutcome.noMemory }
            let digits = DecimalText.write(number, at: start.bindMemory(to: UInt8.self, capacity: raw.count))
            return context.session.store(
                .add, key, value: UnsafeRawPointer(start), valueLength: digits, clientFlags: 0, expiry: Int64.max,
                now: context.now
            ).outcome
        }
        guard outcome != .notStored else { return false }
        context.counters.add(decrements ? .decrMisses : .incrMisses)
        if !request.options.noReply {
            if outcome == .stored {
                connection.writeNumber(number, &context)
            } else {
                connection.reply(.outOfMemory, &context)
            }
        }
        return true
    }

    /// Stores a number as text; a shorter one keeps the old length, with spaces behind it.
    private static func storeNumber(
        _ number: UInt64, over item: Item, _ key: HashedKey, _ context: inout WorkerContext
    ) -> StoreOutcome {
        let oldLength = item.valueLength
        let length = max(DecimalText.length(of: number), oldLength)
        return withUnsafeTemporaryAllocation(byteCount: max(length, DecimalText.lengthMax) + 8, alignment: 8) { raw in
            // SAFETY: room for the most digits there are, and for the padding.
            guard let start = raw.baseAddress else { return .noMemory }
            let text = start.bindMemory(to: UInt8.self, capacity: raw.count)
            let digits = DecimalText.write(number, at: text)
            if digits < length { memset(text + digits, 0x20, length - digits) }
            var options = WriteOptions()
            options.version = context.session.version(of: item)
            options.keepsMarks = true
            options.setsExpiry = false
            return context.session.store(
                .replace, key, value: UnsafeRawPointer(text), valueLength: length, clientFlags: 0,
                expiry: Int64.max, options, now: context.now
            ).outcome
        }
    }

    static func touch(
        _ connection: inout Connection, _ context: inout WorkerContext, _ request: Request,
        _ key: UnsafePointer<UInt8>
    ) {
        let hashed = context.session.hashed(key, length: request.keyLength)
        context.counters.add(.cmdTouch)
        let expiry = expiry(ofSeconds: request.exptime, now: context.now)
        let answer: Reply
        switch context.session.touch(hashed, expiry: expiry, now: context.now) {
        case .notFound:
            context.counters.add(.touchMisses)
            answer = .notFound
        case .noMemory:
            // Only under `-M`: it would have had to move to where items of its new time lie.
            context.counters.add(.storeNoMemory)
            answer = .outOfMemory
        default:
            context.counters.add(.touchHits)
            answer = .touched
        }
        if !request.options.noReply { connection.reply(answer, &context) }
    }

    // MARK: The server as a whole

    static func flushAll(_ connection: inout Connection, _ context: inout WorkerContext, _ request: Request) {
        context.counters.add(.cmdFlush)
        let answers = !request.options.noReply
        guard context.state.settings.flushEnabled else {
            if answers { connection.reply(.flushNotAllowed, &context) }
            return
        }
        let time = request.options.hasExptime && request.exptime > 0
            ? expiry(ofSeconds: request.exptime, now: context.now) : context.now
        if time > context.now {
            context.session.flush(atMilliseconds: time)
        } else {
            context.session.flush()
        }
        if answers { connection.reply(.ok, &context) }
    }

    private static let verbosityMax: Int64 = 2

    static func verbosity(_ connection: inout Connection, _ context: inout WorkerContext, _ request: Request) {
        let level = Int(min(request.exptime, verbosityMax))
        context.state.verbosity.store(level, ordering: .relaxed)
        context.verbosity = level
        if !request.options.noReply { connection.reply(.ok, &context) }
    }

    static func statistics(
        _ connection: inout Connection, _ context: inout WorkerContext, _ request: Request,
        _ arguments: UnsafePointer<UInt8>
    ) {
        let bytes = UnsafeBufferPointer(start: arguments, count: request.keyLength)
        let words = String(decoding: bytes, as: UTF8.self).split(separator: " ")
        switch Statistics.answer(words, &context) {
        case .reply(let reply): connection.reply(reply, &context)
        case .stream(let stream): connection.begin(stream)
        case .list(let list):
            connection.write(list, &context)
            connection.writeEndOfStatistics(&context)
        }
    }

    /// `shutdown` stops at once what `-A` allows to be stopped; so does `shutdown graceful`, since
    /// requests in hand are always finished.
    static func shutdown(
        _ connection: inout Connection, _ context: inout WorkerContext, _ request: Request,
        _ arguments: UnsafePointer<UInt8>
    ) {
        let state = context.state
        guard state.settings.shutdownCommandEnabled else {
            return connection.reply(.shutdownNotEnabled, &context)
        }
        let argument = UnsafeBufferPointer(start: arguments, count: request.keyLength)
        guard argument.isEmpty || argument.elementsEqual("graceful".utf8) else {
            return connection.reply(.invalidShutdownMode, &context)
        }
        connection.phase = .closing
        state.requestStop()
    }

    static func administer(
        _ connection: inout Connection, _ context: inout WorkerContext, _ request: Request,
        _ line: UnsafePointer<UInt8>
    ) {
        let reply = TextAdministration.reply(to: line, length: request.keyLength)
        if !request.options.noReply { connection.reply(reply, &context) }
    }
}
