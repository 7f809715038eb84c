import Glibc
import LarderStore
import LarderWire

/// Deletion, arithmetic, touch.
extension Execute {
    static func delete(
        _ connection: inout Connection, _ context: inout WorkerContext, _ request: Request,
        _ key: UnsafePointer<UInt8>
    ) {
        let hashed = context.session.hashed(key, length: request.keyLength)
        if context.detailIsEnabled {
            context.state.detail.record(hashed.bytes, length: hashed.length) { $0.deletes += 1 }
        }
        let size = context.isWatched ? context.logLookup(hashed, connection.number) : nil
        let answer: Reply
        switch context.session.delete(hashed, cas: request.cas, now: context.now) {
        case .stored:
            context.counters.add(.deleteHits)
            if let size { context.logDeletion(hashed, size: size, command: "delete") }
            answer = .deleted
        case .exists:
            answer = .exists
        default:
            context.counters.add(.deleteMisses)
            answer = .notFound
        }
        if !request.options.noReply { connection.reply(answer, &context) }
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
        if context.isWatched { _ = context.logLookup(hashed, connection.number) }
        while true {
            let number: UInt64
            let result: StoreResult
            if let item = context.session.find(hashed, now: context.now) {
                // What is empty or long is no number before its cas is looked at, anything else after that.
                guard item.valueLength > 0, item.valueLength <= numberLengthMax else {
                    return answer(&connection, &context, request, .nonNumericValue)
                }
                guard request.cas == 0 || request.cas == context.session.cas(of: item) else {
                    return answer(&connection, &context, request, .exists)
                }
                guard let old = storedNumber(item) else {
                    return answer(&connection, &context, request, .nonNumericValue)
                }
                number = decrements ? old &- min(old, request.number) : old &+ request.number
                result = storeNumber(number, over: item, hashed, WriteOptions(), &context)
                if result.outcome == .stored { context.counters.add(decrements ? .decrHits : .incrHits) }
            } else if request.options.createsItem {
                number = request.initialValue
                let expiry = expiry(ofSeconds: request.exptime, now: context.now)
                result = createNumber(number, expiry: expiry, hashed, WriteOptions(), &context)
            } else if let initial = context.limits.mathInitial {
                number = decrements ? initial &- min(initial, request.number) : initial &+ request.number
                result = createNumber(number, expiry: Int64.max, hashed, WriteOptions(), &context)
                if result.outcome != .notStored { context.counters.add(decrements ? .decrMisses : .incrMisses) }
            } else {
                context.counters.add(decrements ? .decrMisses : .incrMisses)
                return answer(&connection, &context, request, .notFound)
            }
            switch result.outcome {
            case .stored:
                let cas = context.casIsEnabled ? result.cas : 0
                if !request.options.noReply { connection.writeNumber(number, cas: cas, &context) }
                return
            case .noMemory, .tooLarge:
                return answer(&connection, &context, request, .outOfMemory)
            // Another client was quicker.
            default: continue
            }
        }
    }

    private static func answer(
        _ connection: inout Connection, _ context: inout WorkerContext, _ request: Request, _ reply: Reply
    ) {
        if !request.options.noReply { connection.reply(reply, &context) }
    }

    /// The number that an item holds; nil when it holds none.
    static func storedNumber(_ item: Item) -> UInt64? {
        // As in memcached, what is long enough to lie in pieces there is no number.
        guard item.valueLength <= numberLengthMax else { return nil }
        let bytes = UnsafePointer(item.value.assumingMemoryBound(to: UInt8.self))
        return DecimalText.unsigned64(bytes, item.valueLength)
    }

    /// Stores a number under a key that is not there.
    static func createNumber(
        _ number: UInt64, expiry: Int64, _ key: HashedKey, _ options: WriteOptions,
        _ context: inout WorkerContext
    ) -> StoreResult {
        withText(of: number, paddedTo: 0) { text, length in
            context.session.store(
                .add, key, value: text, valueLength: length, clientFlags: 0, expiry: expiry, options,
                now: context.now)
        }
    }

    /// Stores a number as text over an item that is still the same; a shorter one keeps the old length,
    /// with spaces behind it. Client flags and marks stay.
    /// - Parameter expiry: nil: it stays, too.
    static func storeNumber(
        _ number: UInt64, over item: Item, _ key: HashedKey, expiry: Int64? = nil,
        _ options: WriteOptions, _ context: inout WorkerContext
    ) -> StoreResult {
        var options = options
        options.version = context.session.version(of: item)
        options.keepsMarks = true
        options.setsExpiry = expiry != nil
        return withText(of: number, paddedTo: item.valueLength) { text, length in
            // memcached writes such a number over the old one.
            options.isCountedAsChange = length == item.valueLength
            return context.session.store(
                .replace, key, value: text, valueLength: length, clientFlags: 0, expiry: expiry ?? Int64.max,
                options, now: context.now)
        }
    }

    /// Calls `body` with a number's digits, and spaces behind them up to a length.
    private static func withText(
        of number: UInt64, paddedTo length: Int, _ body: (UnsafeRawPointer, Int) -> StoreResult
    ) -> StoreResult {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: max(length, DecimalText.lengthMax) + 8) { text in
            // SAFETY: room for the most digits there are, and for the padding; so there is an address.
            let start = text.baseAddress.unsafelyUnwrapped
            let digits = DecimalText.write(number, at: start)
            if digits < length { memset(start + digits, 0x20, length - digits) }
            return body(UnsafeRawPointer(start), max(digits, length))
        }
    }

    static func touch(
        _ connection: inout Connection, _ context: inout WorkerContext, _ request: Request,
        _ key: UnsafePointer<UInt8>
    ) {
        let hashed = context.session.hashed(key, length: request.keyLength)
        context.counters.add(.cmdTouch)
        if context.isWatched { _ = context.logLookup(hashed, connection.number) }
        let expiry = expiry(ofSeconds: request.exptime, now: context.now)
        let answer: Reply
        switch context.session.touch(hashed, expiry: expiry, isUse: true, now: context.now) {
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
}
