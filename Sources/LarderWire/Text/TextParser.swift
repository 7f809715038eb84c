import Glibc

/// Parses the text protocol of memcached 1.6.45, classic and meta, one request for each call.
///
/// The parser holds no bytes and no pointer: it reads the connection's buffer in place, and
/// remembers only lengths counted from the cursor. So the connection may move the unread
/// bytes about between calls, as long as it keeps those behind the cursor.
///
/// A line of retrieval with many keys is handed out key by key. The cursor then stands at
/// the next key of that line, and the rest of the line counts as unread input.
package struct TextParser: Sendable {
    /// The longest key.
    package static let keyLengthMax = 250

    /// A line that has grown longer than this without an end is no command, unless it is a
    /// `get` or a `gets`, which may be of any length.
    package static let lineLengthMax = 2048

    /// What `.reject` is about.
    package internal(set) var rejection = Rejection(reply: .unknownCommand)

    /// Where the last parsed line began in the buffer, good until the next call. With
    /// `lineLength` this is what a log prints.
    package internal(set) var lineStart = 0

    /// The length of the last parsed line, without its line end.
    package internal(set) var lineLength = 0

    /// How many bytes from the cursor on are known to hold no newline. Set it to 0 where other bytes are put there.
    package var scannedLength = 0

    /// How many bytes of keys and spaces are left in the retrieval at hand.
    var retrievalLength = 0

    /// 1 or 2 bytes of line end behind those keys; 0 when no retrieval is at hand.
    package internal(set) var retrievalTerminator: UInt8 = 0

    /// Of the keys taken last by `takeKeys`: 0 when each had a line to itself; else where the keys of their
    /// line end, and the bytes of line end behind them.
    var batchTerminator: UInt8 = 0
    var batchEnd: UInt32 = 0

    var lastMetaFlags = PlainMetaFlags()

    /// The options of the next key of the retrieval at hand.
    private var retrievalOptions = RequestOptions()

    package init() {}

    /// Whether the next step is another key of a retrieval begun before.
    package var isInRetrieval: Bool { retrievalTerminator != 0 }

    /// Whether that retrieval is a `get`.
    var isInPlainRetrieval: Bool { !retrievalOptions.touches && !retrievalOptions.wantsCas }

    /// Nothing is known of what is behind the cursor.
    mutating func forgetLine() { scannedLength = 0 }

    /// Takes the next request from the buffer.
    ///
    /// - Parameters:
    ///   - base: the start of the read buffer.
    ///   - cursor: the offset of the first unread byte; moved past what was taken.
    ///   - end: the offset behind the last byte held, at least `cursor`.
    ///   - request: filled for `.request` and `.value`. The keys of one retrieval must be
    ///     given the same record, since only what differs is filled in after the first.
    package mutating func next(
        _ base: UnsafePointer<UInt8>, cursor: inout Int, end: Int, request: inout Request
    ) -> ParseStep {
        // SAFETY: the caller holds base[0..<end], and `cursor` is an offset into it that only
        // this function and the connection move. `TextLine` bounds whatever comes after.
        if isInRetrieval { return nextKey(base, &cursor, &request) }
        let start = base + cursor
        let available = end &- cursor
        // Only bytes that were not here the last time can hold the newline.
        guard available > scannedLength,
            let newline = memchr(start + scannedLength, 0x0a, available &- scannedLength)
        else { return incompleteLine(start, available) }
        scannedLength = 0
        let line = TextLine(start: start, newline: UnsafePointer(newline.assumingMemoryBound(to: UInt8.self)))
        lineStart = cursor
        lineLength = line.contentEnd - start
        let lineCursor = cursor
        cursor &+= line.length
        request = Request()
        // Two letters and a line end are the least; memcached answers less before it looks.
        guard line.length >= 4 else { return reject(.badCommandLine) }
        // SAFETY: the line has at least four bytes.
        switch UInt32(littleEndian: UnsafeRawPointer(start).loadUnaligned(as: UInt32.self)) {
        case 0x20_74_65_67:  // "get "
            cursor = lineCursor
            return beginRetrieval(base, &cursor, line, keys: start + 4, RequestOptions(), &request)
        case 0x20_74_65_73:  // "set "
            return store(base, &cursor, end, line, arguments: start + 4, .set, &request)
        case let word where word & 0xff_ffff == 0x20_67_6d:  // "mg "
            return meta(.metaGet, base, line, start + 3, &request)
        case let word where word & 0xff_ffff == 0x20_73_6d:  // "ms "
            return metaStore(base, &cursor, end, line, start + 3, &request)
        default:
            return dispatch(base, &cursor, end, line, &request)
        }
    }

    // MARK: Lines

    /// There is no newline in the `available` bytes at `start`.
    private mutating func incompleteLine(_ start: UnsafePointer<UInt8>, _ available: Int) -> ParseStep {
        scannedLength = available
        guard available > Self.lineLengthMax else { return .needMore }
        // At most this many spaces may precede the word.
        let indentMax = 100
        var indent = 0
        while indent <= indentMax, start[indent] == UInt8(ascii: " ") { indent &+= 1 }
        let word = start + indent
        // SAFETY: `available` is over 2,048, `indent` at most 101.
        let isGet = memcmp(word, "get ", 4) == 0 || memcmp(word, "gets ", 5) == 0
        return indent <= indentMax && isGet ? .needMore : .close
    }

    /// Anything but a plain `get`, `set`, `mg` or `ms`.
    private mutating func dispatch(
        _ base: UnsafePointer<UInt8>, _ cursor: inout Int, _ end: Int, _ line: TextLine,
        _ request: inout Request
    ) -> ParseStep {
        let (command, arguments) = line.command()
        switch command {
        case .get, .gets, .gat, .gats:
            cursor = line.start - base
            var options = RequestOptions()
            options.wantsCas = command == .gets || command == .gats
            guard command == .gat || command == .gats else {
                return beginRetrieval(base, &cursor, line, keys: arguments, options, &request)
            }
            options.touches = true
            return beginTouchingRetrieval(base, &cursor, line, arguments, options, &request)
        case .set: return store(base, &cursor, end, line, arguments: arguments, .set, &request)
        case .add: return store(base, &cursor, end, line, arguments: arguments, .add, &request)
        case .replace: return store(base, &cursor, end, line, arguments: arguments, .replace, &request)
        case .append: return store(base, &cursor, end, line, arguments: arguments, .append, &request)
        case .prepend: return store(base, &cursor, end, line, arguments: arguments, .prepend, &request)
        case .cas: return store(base, &cursor, end, line, arguments: arguments, .compareAndSwap, &request)
        case .delete: return delete(base, line, arguments, &request)
        case .incr: return arithmetic(base, line, arguments, decrements: false, &request)
        case .decr: return arithmetic(base, line, arguments, decrements: true, &request)
        case .touch: return touch(base, line, arguments, &request)
        case .mg: return meta(.metaGet, base, line, arguments, &request)
        case .ms: return metaStore(base, &cursor, end, line, arguments, &request)
        case .md: return meta(.metaDelete, base, line, arguments, &request)
        case .ma: return meta(.metaArithmetic, base, line, arguments, &request)
        case .me: return metaDebug(base, line, arguments, &request)
        case .mn:
            request.verb = .noOperation
            return .request
        default: return administer(command, base, line, arguments, &request)
        }
    }

    // MARK: Retrievals

    /// `gat` and `gats`: an exptime before the keys.
    private mutating func beginTouchingRetrieval(
        _ base: UnsafePointer<UInt8>, _ cursor: inout Int, _ line: TextLine,
        _ arguments: UnsafePointer<UInt8>,
        _ options: RequestOptions, _ request: inout Request
    ) -> ParseStep {
        var tokens = TextTokens(from: arguments, to: line.contentEnd)
        let exptime = tokens.next()
        let seconds = DecimalText.exactInt32(exptime.start, exptime.length)
        // A missing key is noticed before a wrong exptime, and an overlong one after it.
        if seconds == nil, tokens.skipSpaces() {
            cursor &+= line.length
            return reject(.invalidExptime)
        }
        request.exptime = Int64(seconds ?? 0)
        return beginRetrieval(base, &cursor, line, keys: tokens.position, options, &request)
    }

    /// Checks the keys of a retrieval and hands out the first; `cursor` is at the line.
    private mutating func beginRetrieval(
        _ base: UnsafePointer<UInt8>, _ cursor: inout Int, _ line: TextLine, keys: UnsafePointer<UInt8>,
        _ options: RequestOptions, _ request: inout Request
    ) -> ParseStep {
        var tokens = TextTokens(from: keys, to: line.contentEnd)
        // A key that is too long spoils the answers before it as well, so it has to be found
        // before the first of them is given. Few lines are long enough to hold one.
        guard tokens.skipSpaces(), !hasOverlongKey(tokens, within: line.contentEnd - keys) else {
            cursor &+= line.length
            return reject(.badCommandLine)
        }
        cursor = tokens.position - base
        retrievalLength = line.contentEnd - tokens.position
        retrievalTerminator = UInt8(truncatingIfNeeded: line.terminatorLength)
        retrievalOptions = options
        retrievalOptions.firstOfRetrieval = true
        return nextKey(base, &cursor, &request)
    }

    /// Wherever one stands at the start of a key, one of the next 251 bytes is a space: the last of those
    /// begins the next look.
    private func hasOverlongKey(_ keys: TextTokens, within length: Int) -> Bool {
        guard length > Self.keyLengthMax else { return false }
        var start = keys.position
        // SAFETY: no more is looked at than there is up to the end of the line.
        while keys.end - start > Self.keyLengthMax {
            var next = start + (Self.keyLengthMax + 1)
            while next > start, (next - 1).pointee != UInt8(ascii: " ") { next -= 1 }
            if next == start { return true }
            start = next
        }
        return false
    }

    /// The next key of the retrieval at hand; `cursor` is at that key.
    private mutating func nextKey(
        _ base: UnsafePointer<UInt8>, _ cursor: inout Int, _ request: inout Request
    ) -> ParseStep {
        // SAFETY: the line was whole when the retrieval began, and the connection keeps what
        // is behind the cursor: `retrievalLength + retrievalTerminator` bytes are there.
        let start = base + cursor
        var tokens = TextTokens(from: start, to: start + retrievalLength)
        let key = tokens.next()
        let isLast = !tokens.skipSpaces()
        request.verb = .retrieve
        request.options = retrievalOptions
        request.keyStart = cursor
        request.keyLength = key.length
        retrievalOptions.firstOfRetrieval = false
        let taken = tokens.position - start
        cursor &+= taken
        retrievalLength &-= taken
        if isLast {
            request.options.lastOfRetrieval = true
            cursor &+= Int(retrievalTerminator)
            retrievalTerminator = 0
        }
        return .request
    }

    // MARK: Rejections

    /// Notes what is wrong with a line.
    mutating func reject(_ reply: Reply, silently: Bool = false, swallow: Int = 0) -> ParseStep {
        rejection = Rejection(reply: reply, isSilent: silently, swallowBytes: swallow)
        return .reject
    }
}
