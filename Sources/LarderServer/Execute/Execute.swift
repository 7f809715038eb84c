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
        // Keys that are asked for come together: see `retrieve`.
        case .retrieve: break
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
        case .fetch: fetch(&connection, &context, request, key)
        case .contains: contains(&connection, &context, request, key)
        case .dump: connection.handOverForDump(&context)
        case .noOperation: connection.reply(.noOperation, &context)
        case .listMechanisms: listMechanisms(&connection, &context)
        case .authenticate: authenticate(&connection, &context, request, key, value)
        }
        if context.damages != context.damagesNoted, context.noteDamage(), request.verb.readsItems,
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

    /// The exptime of a time that is relative to now, however large: memcached's are Unix times beyond 30 days.
    static func exptime(inSeconds seconds: Int64, now: Int64) -> Int64 {
        guard seconds > relativeSecondsMax else { return max(seconds, -1) }
        let centuries: Int64 = 10_000_000_000
        return now / 1000 &+ min(seconds, centuries)
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
        valueLength > valueBytesMax(keyLength: keyLength, clientFlags: clientFlags, context)
    }

    /// The largest value that may be stored under a key.
    @inline(__always)
    static func valueBytesMax(keyLength: Int, clientFlags: UInt32, _ context: borrowing WorkerContext) -> Int {
        let header = 59 &+ (clientFlags != 0 ? 4 : 0) &- (context.casIsEnabled ? 0 : 8)
        return context.limits.sizeMax &- ((header &+ keyLength) & context.limits.overheadMask)
    }
}
