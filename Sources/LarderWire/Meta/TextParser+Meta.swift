/// The meta commands: `mg`, `ms`, `md`, `ma`, `me`, and `mn`.
///
/// Each is a key, for `ms` the length of the value, and flags: a letter with its argument glued on. The
/// flags are read once; what they say goes into the request, and where they stand, since the answer
/// takes them up in their order.
extension TextParser {
    /// More words than this are too many, the command's name included.
    private static let wordsMax = 20
    /// The longest opaque, its `O` included.
    private static let opaqueLengthMax = 32

    /// All letters that are flags, whether they mean something to the command or not:
    /// `bcfhklqstuvxCDEFIJLMNOPRT`.
    static var knownFlags: UInt64 { 0x017a_194c_0015_f678 }

    /// `me <key> [b]`: more words say nothing.
    mutating func metaDebug(
        _ base: UnsafePointer<UInt8>, _ line: TextLine, _ arguments: UnsafePointer<UInt8>,
        _ request: inout Request
    ) -> ParseStep {
        var tokens = TextTokens(from: arguments, to: line.contentEnd)
        let key = tokens.next()
        guard !key.isAbsent, key.length <= Self.keyLengthMax else { return reject(.badCommandLine) }
        request.verb = .metaDebug
        request.keyStart = key.start - base
        request.keyLength = key.length
        guard tokens.next().equals("b") else { return .request }
        request.meta.flags.bits = 1 &<< UInt64(UInt8(ascii: "b") &- 64)
        request.meta.decodedKeyLength = decodedLength(key)
        return request.meta.decodedKeyLength > 0 ? .request : reject(.badCommandLine)
    }

    /// `mg|md|ma <key> <flags>*`
    mutating func meta(
        _ verb: Verb, _ base: UnsafePointer<UInt8>, _ line: TextLine, _ arguments: UnsafePointer<UInt8>,
        _ request: inout Request
    ) -> ParseStep {
        var tokens = TextTokens(from: arguments, to: line.contentEnd)
        let key = tokens.next()
        guard !key.isAbsent else { return reject(.badCommandLine) }
        request.verb = verb
        request.number = 1
        guard let reply = setKeyAndFlags(&request, base, key, tokens, wordsBefore: 2) else { return .request }
        return reject(reply)
    }

    /// `ms <key> <bytes> <flags>*`, and the value behind the line. `cursor` is at the value.
    mutating func metaStore(
        _ base: UnsafePointer<UInt8>, _ cursor: inout Int, _ end: Int, _ line: TextLine,
        _ arguments: UnsafePointer<UInt8>, _ request: inout Request
    ) -> ParseStep {
        var tokens = TextTokens(from: arguments, to: line.contentEnd)
        let key = tokens.next()
        guard let valueLength = tokens.nextValueLength() else { return reject(.badCommandLine) }
        request.verb = .metaStore
        request.valueStart = cursor
        request.valueLength = valueLength
        if let reply = setKeyAndFlags(&request, base, key, tokens, wordsBefore: 3) {
            return reject(reply, swallow: valueLength &+ 2)
        }
        return takeValue(base, &cursor, end, valueLength, false)
    }

    /// Fills in the key and what the flags say; what is wrong with them, or nil.
    @inline(__always)
    private func setKeyAndFlags(
        _ request: inout Request, _ base: UnsafePointer<UInt8>, _ key: TextTokens.Token, _ rest: TextTokens,
        wordsBefore: Int
    ) -> Reply? {
        request.keyStart = key.start - base
        request.keyLength = key.length
        guard key.length <= Self.keyLengthMax else { return wrong(.badCommandLine, request.verb) }
        var tokens = rest
        guard tokens.skipSpaces() else { return nil }
        // A line is in one buffer, whose size 32 bits hold.
        request.meta.flagsStart = UInt32(truncatingIfNeeded: tokens.position - base)
        request.meta.flagsLength = UInt32(truncatingIfNeeded: tokens.remaining)
        // This many flags take at least twice as many bytes, less one.
        let flagsMax = Self.wordsMax &- wordsBefore
        if tokens.remaining > 2 &* flagsMax, hasMoreWords(than: flagsMax, tokens) {
            return wrong(.tooManyFlags, request.verb)
        }
        if let reply = readFlags(&tokens, key, &request) { return wrong(reply, request.verb) }
        return request.meta.mode == 0 && !request.meta.opaqueIsTooLong ? nil : refusal(request)
    }

    /// `ma` has one text for all that is wrong with its flags.
    private func wrong(_ reply: Reply, _ verb: Verb) -> Reply {
        verb == .metaArithmetic ? .invalidOrDuplicateFlag : reply
    }

    private func hasMoreWords(than limit: Int, _ tokens: TextTokens) -> Bool {
        var tokens = tokens
        var count = 0
        while !tokens.next().isAbsent { count &+= 1 }
        return count > limit
    }

    // MARK: Flags

    /// Reads all flags. A letter that is none, or comes twice, ends the reading at once; of wrong
    /// arguments the last one has the word, as in memcached.
    @inline(__always)
    func readFlags(
        _ tokens: inout TextTokens, _ key: TextTokens.Token, _ request: inout Request
    ) -> Reply? {
        var seen: UInt64 = 0
        var wrong: Reply?
        repeat {
            let letter = tokens.position.pointee
            if letter >= 127 { return .duplicateFlag }
            let bit: UInt64 = letter < 64 ? 0 : 1 &<< UInt64(letter &- 64)
            if seen & bit != 0 { return .duplicateFlag }
            guard Self.knownFlags & bit != 0 else { return .invalidFlag }
            seen |= bit
            let token = tokens.nextFlag()
            // Capital letters have arguments, small ones have none.
            if letter < UInt8(ascii: "a") || letter == UInt8(ascii: "b") {
                if let reply = readArgument(of: letter, token, key, &request, earlier: wrong) { wrong = reply }
            }
        } while tokens.skipSpaces()
        request.meta.flags.bits = seen
        return wrong
    }

    /// What the flags say that only some commands mind; memcached looks at it after all of them.
    private func refusal(_ request: Request) -> Reply? {
        switch (request.verb, request.meta.mode) {
        case (.metaStore, let mode) where mode != 0:
            if !"EAPRS".utf8.contains(mode) { return .invalidStoreMode }
        case (.metaArithmetic, let mode) where mode != 0:
            if !"I+D-".utf8.contains(mode) { return .invalidArithmeticMode }
        default: break
        }
        return request.meta.opaqueIsTooLong ? .opaqueTooLong : nil
    }

    /// Reads a flag's argument into the request; what is wrong with it, or nil.
    @inline(never)
    private func readArgument(
        of letter: UInt8, _ token: TextTokens.Token, _ key: TextTokens.Token, _ request: inout Request,
        earlier: Reply?
    ) -> Reply? {
        // SAFETY: the token has at least its letter, so what is behind it lies within the line.
        let argument = TextTokens.Token(start: token.start + 1, length: token.length &- 1)
        switch letter {
        case UInt8(ascii: "T"):
            guard let seconds = exptime(argument) else { return .badToken }
            request.exptime = Int64(seconds)
            request.meta.touchIsLast = true
            request.meta.hasTouch = true
        case UInt8(ascii: "N"):
            guard let seconds = exptime(argument) else { return .badToken }
            request.meta.vivifyExptime = seconds
            request.meta.touchIsLast = false
        case UInt8(ascii: "R"):
            guard let seconds = exptime(argument) else { return .badToken }
            request.meta.recacheExptime = seconds
            request.meta.recacheFollowsTouch = request.meta.hasTouch
        case UInt8(ascii: "C"):
            guard let cas = number(argument) else { return .badToken }
            request.cas = cas
        case UInt8(ascii: "E"):
            guard let cas = number(argument) else { return .badToken }
            request.meta.newCas = cas
        case UInt8(ascii: "F"):
            // It has no text of its own: that of an earlier wrong flag stays.
            guard let flags = DecimalText.exactUInt32(argument.start, argument.length) else {
                return earlier ?? .badCommandLine
            }
            request.clientFlags = flags
        case UInt8(ascii: "D"):
            guard let delta = number(argument) else { return .invalidDeltaValue }
            request.number = delta
        case UInt8(ascii: "J"):
            guard let initial = number(argument) else { return .invalidInitialValue }
            request.initialValue = initial
        case UInt8(ascii: "M"):
            // A bare `M` is followed by a space or the line's end, which are no modes.
            request.meta.mode = argument.isAbsent ? UInt8(ascii: " ") : argument.start.pointee
        case UInt8(ascii: "O"):
            request.meta.opaqueIsTooLong = token.length > Self.opaqueLengthMax
        case UInt8(ascii: "b"):
            let length = decodedLength(key)
            guard length > 0 else { return .badBase64Key }
            request.meta.decodedKeyLength = length
        default: break
        }
        return nil
    }

    private func number(_ token: TextTokens.Token) -> UInt64? {
        DecimalText.exactUInt64(token.start, token.length)
    }
    private func exptime(_ token: TextTokens.Token) -> Int32? {
        DecimalText.exactInt32(token.start, token.length)
    }

    private func decodedLength(_ key: TextTokens.Token) -> UInt8 {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Self.keyLengthMax) { buffer in
            guard let out = buffer.baseAddress else { return 0 }
            return UInt8(truncatingIfNeeded: Base64Key.decode(key.start, key.length, into: out))
        }
    }
}

extension TextTokens {
    /// Bytes left in the line.
    @inline(__always)
    var remaining: Int { end - position }

    /// The next word byte by byte: flags are short.
    @inline(__always)
    mutating func nextFlag() -> Token {
        let start = position
        while position < end, position.pointee != UInt8(ascii: " ") { position += 1 }
        return Token(start: start, length: position - start)
    }
}
