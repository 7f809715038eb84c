import Glibc
import LarderStore
import LarderWire

extension MetaFlags {
    /// Whether a flag was given: `has(UInt8(ascii: "v"))`.
    @inline(__always)
    func has(_ letter: UInt8) -> Bool { bits &>> UInt64(letter &- 64) & 1 != 0 }
}

/// The key of a meta command as its item has it, and what its answer takes up.
struct MetaKey {
    var bytes: UnsafePointer<UInt8>
    var length: Int
    /// The name of a routed key's cache, in front of it.
    var prefixLength: Int
    var isBinary: Bool
    /// The flags of the request.
    var flags: UnsafePointer<UInt8>
    var flagsLength: Int

    /// What there is to say of an item before anything is known of it.
    @inline(__always)
    var facts: MetaFacts {
        var facts = MetaFacts(key: bytes - prefixLength, keyLength: length &+ prefixLength)
        facts.keyIsBinary = isBinary
        return facts
    }
}

extension Execute {
    /// Works on the key that a meta request means: as it was sent, or decoded.
    @inline(__always)
    static func withMetaKey(
        _ connection: inout Connection, _ context: inout WorkerContext, _ request: Request,
        _ key: UnsafePointer<UInt8>,
        _ body: (inout Connection, inout WorkerContext, MetaKey) -> Void
    ) {
        // SAFETY: the parser's offsets are of one buffer, which the connection keeps in place.
        var metaKey = MetaKey(
            bytes: key, length: request.keyLength, prefixLength: connection.routePrefixLength, isBinary: false,
            flags: key - request.keyStart + Int(request.meta.flagsStart), flagsLength: Int(request.meta.flagsLength))
        guard request.meta.flags.has(UInt8(ascii: "b")) else { return body(&connection, &context, metaKey) }
        withDecodedKey(&connection, &context, request, &metaKey, body)
    }

    @inline(never)
    private static func withDecodedKey(
        _ connection: inout Connection, _ context: inout WorkerContext, _ request: Request,
        _ metaKey: inout MetaKey, _ body: (inout Connection, inout WorkerContext, MetaKey) -> Void
    ) {
        let key = metaKey.bytes
        metaKey.isBinary = true
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: TextParser.keyLengthMax) { buffer in
            // SAFETY: a decoded key is shorter than its text, which has at most `keyLengthMax` bytes.
            guard let decoded = buffer.baseAddress else { return }
            metaKey.bytes = UnsafePointer(decoded)
            metaKey.length = Base64Key.decode(key, request.keyLength, into: decoded)
            if context.routesKeys {
                metaKey.prefixLength = connection.route(decodedKey: decoded, metaKey.length, &context)
                metaKey.bytes += metaKey.prefixLength
                metaKey.length -= metaKey.prefixLength
                // Its name was not known when the request could have been handed to its thread.
                if metaKey.prefixLength > 0, context.limits.isReplicated {
                    return connection.reply(.notReplicated, &context)
                }
            }
            body(&connection, &context, metaKey)
        }
    }

    // MARK: What the flags come to

    /// The cas that clients see: 0 where there is none (`-C`).
    @inline(__always)
    static func visible(_ cas: UInt64, _ context: borrowing WorkerContext) -> UInt64 {
        context.casIsEnabled ? cas : 0
    }

    /// `E`
    @inline(__always)
    static func newCas(_ request: Request, _ context: borrowing WorkerContext) -> UInt64? {
        request.meta.flags.has(UInt8(ascii: "E")) && context.casIsEnabled ? request.meta.newCas : nil
    }

    /// `C` of `md` and `ma`. Without cas values (`-C`) every item has 0, which no item has otherwise.
    static func wantedCas(_ request: Request, _ context: borrowing WorkerContext) -> UInt64? {
        guard request.meta.flags.has(UInt8(ascii: "C")) else { return nil }
        if context.casIsEnabled { return request.cas }
        return request.cas == 0 ? nil : 0
    }

    /// Seconds until a time, a begun one counting as one; `Int64.max`: never.
    @inline(__always)
    static func secondsLeft(until expiry: Int64, now: Int64) -> Int64 {
        expiry == Int64.max ? expiry : (max(now, expiry) &- now &+ 999) / 1000
    }

    /// `T` and `N`
    @inline(__always)
    static func touchedExpiry(_ request: Request, _ context: borrowing WorkerContext) -> Int64 {
        expiry(ofSeconds: request.exptime, now: context.now)
    }
    @inline(__always)
    static func vivifiedExpiry(_ request: Request, _ context: borrowing WorkerContext) -> Int64 {
        expiry(ofSeconds: Int64(request.meta.vivifyExptime), now: context.now)
    }
    /// How long an item lives that the request makes: of `T` and `N` the one that stands behind.
    static func createdExpiry(_ request: Request, _ context: borrowing WorkerContext) -> Int64 {
        request.meta.touchIsLast ? touchedExpiry(request, context) : vivifiedExpiry(request, context)
    }
}

extension Connection {
    /// The answer to a command that finds no item, or must not touch the one there is.
    mutating func replyMeta(_ code: MetaCode, _ key: MetaKey, _ context: inout WorkerContext) {
        guard let out = output.room(MetaEncoder.answerLengthMax, &context.pool) else {
            return outOfReplyMemory(&context)
        }
        output.didWrite(
            MetaEncoder.encodeCode(code, key.facts, flags: key.flags, flagsLength: key.flagsLength, at: out))
    }
}
