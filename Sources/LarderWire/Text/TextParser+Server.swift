/// The commands that concern the server and not an item, and those that do not exist.
extension TextParser {
    /// Any command that is not about items.
    mutating func administer(
        _ command: TextCommand, _ base: UnsafePointer<UInt8>, _ line: TextLine,
        _ arguments: UnsafePointer<UInt8>, _ request: inout Request
    ) -> ParseStep {
        switch command {
        case .version:
            request.verb = .version
        case .quit:
            request.verb = .quit
        case .stats:
            request.verb = .statistics
            setArguments(&request, base, line, arguments)
        case .watch:
            setLine(&request, base, line)
        case .flushAll:
            return flushAll(line, arguments, &request)
        case .verbosity:
            return verbosity(line, arguments, &request)
        case .shutdown:
            request.verb = .shutdown
            request.options = RequestOptions(noReply: line.endsWithNoReply)
            setArguments(&request, base, line, arguments)
        case .machinery:
            setLine(&request, base, line)
            request.options = RequestOptions(noReply: line.endsWithNoReply)
        default:
            return unknown(line)
        }
        return .request
    }

    /// `flush_all [<exptime>] [noreply]`
    private mutating func flushAll(
        _ line: TextLine, _ arguments: UnsafePointer<UInt8>, _ request: inout Request
    ) -> ParseStep {
        let isSilent = line.endsWithNoReply
        request.verb = .flushAll
        request.options = RequestOptions(noReply: isSilent)
        var tokens = TextTokens(from: arguments, to: line.contentEnd)
        let exptime = tokens.next()
        let isOnlyNoReply = exptime.equals("noreply") && tokens.next().isAbsent
        if exptime.isAbsent || isOnlyNoReply { return .request }
        guard let seconds = DecimalText.exactInt32(exptime.start, exptime.length) else {
            return reject(.invalidExptime, silently: isSilent)
        }
        request.options.hasExptime = true
        request.exptime = Int64(seconds)
        return .request
    }

    /// `verbosity <level> [noreply]`
    private mutating func verbosity(
        _ line: TextLine, _ arguments: UnsafePointer<UInt8>, _ request: inout Request
    ) -> ParseStep {
        let isSilent = line.endsWithNoReply
        var tokens = TextTokens(from: arguments, to: line.contentEnd)
        let token = tokens.next()
        guard let level = DecimalText.exactUInt32(token.start, token.length) else {
            return reject(.badCommandLine, silently: isSilent)
        }
        request.verb = .verbosity
        request.options = RequestOptions(noReply: isSilent)
        request.exptime = Int64(level)
        return .request
    }

    /// A command that does not exist. A browser, or a page in it that was tricked into
    /// talking to this port, is hung up on: its next lines could well be commands.
    private mutating func unknown(_ line: TextLine) -> ParseStep {
        let last = TextTokens.last(line.start, line.contentEnd)
        var first = TextTokens(from: line.start, to: line.contentEnd)
        let isOnlyWord = first.next().start == last.start
        if !isOnlyWord, TextTokens.Token(start: last.start, length: min(last.length, 5)).equals("HTTP/") {
            return .close
        }
        return reject(.unknownCommand, silently: line.endsWithNoReply)
    }

    /// The words behind the command, with the spaces around them left out.
    private func setArguments(
        _ request: inout Request, _ base: UnsafePointer<UInt8>, _ line: TextLine,
        _ arguments: UnsafePointer<UInt8>
    ) {
        var tokens = TextTokens(from: arguments, to: line.contentEnd)
        _ = tokens.skipSpaces()
        let last = TextTokens.last(tokens.position, line.contentEnd)
        request.keyStart = tokens.position - base
        request.keyLength = last.start + last.length - tokens.position
    }

    /// The whole line, for `TextAdministration`.
    private func setLine(_ request: inout Request, _ base: UnsafePointer<UInt8>, _ line: TextLine) {
        request.verb = .administration
        request.keyStart = line.start - base
        request.keyLength = line.contentEnd - line.start
    }
}
