/// The commands that change one item.
///
/// The order of the checks is memcached's, since each has its own answer. A line that lacks
/// words is wrong whatever it says, `noreply` or not; from there on `noreply` is heard.
extension TextParser {
    /// `<key> <flags> <exptime> <bytes> [<cas>] [noreply]`, and the value behind the line.
    /// `cursor` is at the value.
    mutating func store(
        _ base: UnsafePointer<UInt8>, _ cursor: inout Int, _ end: Int, _ line: TextLine,
        arguments: UnsafePointer<UInt8>, _ mode: StoreMode, _ request: inout Request
    ) -> ParseStep {
        var tokens = TextTokens(from: arguments, to: line.contentEnd)
        let key = tokens.next()
        let clientFlags = tokens.nextClientFlags()
        let exptime = tokens.nextExptime()
        // Without a length there is no telling where the value ends: the bytes behind such a
        // line are read as commands.
        guard let valueLength = tokens.nextValueLength() else { return reject(.badCommandLine) }
        let isSilent = line.endsWithNoReply
        var cas: UInt64? = 0
        if mode == .compareAndSwap { cas = tokens.nextUnsigned64() }
        guard key.length <= Self.keyLengthMax, let clientFlags, let exptime, let cas else {
            return reject(.badCommandLine, silently: isSilent, swallow: valueLength &+ 2)
        }
        request.verb = .store
        request.storeMode = mode
        request.options = RequestOptions(noReply: isSilent)
        request.keyStart = key.start - base
        request.keyLength = key.length
        request.valueStart = cursor
        request.valueLength = valueLength
        request.clientFlags = clientFlags
        request.exptime = exptime
        request.cas = cas
        return takeValue(base, &cursor, end, valueLength, isSilent)
    }

    /// Steps over the value at `cursor` if all of it is there.
    @inline(__always)
    mutating func takeValue(
        _ base: UnsafePointer<UInt8>, _ cursor: inout Int, _ end: Int, _ length: Int, _ isSilent: Bool
    ) -> ParseStep {
        // `length` is below 2^31: no sum here comes near the end of an Int.
        guard end &- cursor >= length &+ 2 else { return .value }
        // SAFETY: the guard says that the two bytes behind the value are in the buffer.
        let terminator = base + cursor + length
        cursor &+= length &+ 2
        guard terminator[0] == UInt8(ascii: "\r"), terminator[1] == UInt8(ascii: "\n") else {
            return reject(.badDataChunk, silently: isSilent)
        }
        return .request
    }

    /// `delete <key> [anything] [noreply]`: some clients send a time, which memcached 1.6.45 does not read.
    mutating func delete(
        _ base: UnsafePointer<UInt8>, _ line: TextLine, _ arguments: UnsafePointer<UInt8>,
        _ request: inout Request
    ) -> ParseStep {
        var tokens = TextTokens(from: arguments, to: line.contentEnd)
        let key = tokens.next()
        guard !key.isAbsent else { return reject(.badCommandLine) }
        let isSilent = line.endsWithNoReply
        guard key.length <= Self.keyLengthMax else { return reject(.badCommandLine, silently: isSilent) }
        fill(&request, .delete, base, key, isSilent: isSilent)
        return .request
    }

    /// `incr <key> <delta> [noreply]` and `decr`
    mutating func arithmetic(
        _ base: UnsafePointer<UInt8>, _ line: TextLine, _ arguments: UnsafePointer<UInt8>,
        decrements: Bool, _ request: inout Request
    ) -> ParseStep {
        var tokens = TextTokens(from: arguments, to: line.contentEnd)
        let key = tokens.next()
        guard tokens.skipSpaces() else { return reject(.badCommandLine) }
        let isSilent = line.endsWithNoReply
        guard key.length <= Self.keyLengthMax else { return reject(.badCommandLine, silently: isSilent) }
        guard let delta = tokens.nextUnsigned64() else { return reject(.invalidDelta, silently: isSilent) }
        fill(&request, .arithmetic, base, key, isSilent: isSilent)
        request.options.decrements = decrements
        request.number = delta
        return .request
    }

    /// `touch <key> <exptime> [noreply]`
    mutating func touch(
        _ base: UnsafePointer<UInt8>, _ line: TextLine, _ arguments: UnsafePointer<UInt8>,
        _ request: inout Request
    ) -> ParseStep {
        var tokens = TextTokens(from: arguments, to: line.contentEnd)
        let key = tokens.next()
        guard tokens.skipSpaces() else { return reject(.badCommandLine) }
        let isSilent = line.endsWithNoReply
        guard key.length <= Self.keyLengthMax else { return reject(.badCommandLine, silently: isSilent) }
        let exptime = tokens.next()
        guard let seconds = DecimalText.exactInt32(exptime.start, exptime.length) else {
            return reject(.invalidExptime, silently: isSilent)
        }
        fill(&request, .touch, base, key, isSilent: isSilent)
        request.exptime = Int64(seconds)
        return .request
    }

    private func fill(
        _ request: inout Request, _ verb: Verb, _ base: UnsafePointer<UInt8>, _ key: TextTokens.Token,
        isSilent: Bool
    ) {
        request.verb = verb
        request.options = RequestOptions(noReply: isSilent)
        request.keyStart = key.start - base
        request.keyLength = key.length
    }
}

/// The numbers of these lines: nearly always a few digits, which need no second look.
extension TextTokens {
    /// nil when the next word is no number of 64 bits, or missing.
    @inline(__always)
    mutating func nextUnsigned64() -> UInt64? {
        let plain = nextPlainNumber()
        if plain >= 0 { return UInt64(plain) }
        let token = next()
        return DecimalText.exactUInt64(token.start, token.length)
    }

    /// nil when the next word is no number of 64 bits, or missing. Only 32 bits count, as in memcached.
    @inline(__always)
    mutating func nextClientFlags() -> UInt32? {
        let plain = nextPlainNumber()
        if plain >= 0 { return UInt32(truncatingIfNeeded: plain) }
        let token = next()
        return DecimalText.unsigned64(token.start, token.length).map { UInt32(truncatingIfNeeded: $0) }
    }

    /// nil when the next word is no signed number of 64 bits, or missing. Only 32 bits count, as in memcached.
    @inline(__always)
    mutating func nextExptime() -> Int64? {
        let plain = nextPlainNumber()
        if plain >= 0 { return plain <= Int64(Int32.max) ? plain : Self.wrapped(plain) }
        let token = next()
        return DecimalText.signed64(token.start, token.length).map { Self.wrapped($0) }
    }

    /// A Unix time from 2038 on is taken as it is, which memcached reads as negative: there the item is dead at
    /// once. The last numbers of 32 bits are negative here too: libmemcached sends -1 as 4294967295.
    private static func wrapped(_ seconds: Int64) -> Int64 {
        let negativeMin: Int64 = 0xffff_0000
        return (Int64(Int32.max)..<negativeMin).contains(seconds) ? seconds : Int64(Int32(truncatingIfNeeded: seconds))
    }

    /// nil when the next word is no length from 0 to 2^31 - 3, or missing.
    @inline(__always)
    mutating func nextValueLength() -> Int? {
        // Whatever is not a plain number of at most eleven digits is no length; but for "-0",
        // which memcached takes.
        let plain = nextPlainNumber(digitsMax: 11)
        if plain >= 0 { return plain <= Int64(Int32.max - 2) ? Int(plain) : nil }
        let token = next()
        return DecimalText.exactInt32(token.start, token.length) == 0 ? 0 : nil
    }
}
