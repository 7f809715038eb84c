import Glibc

/// Parses the text protocol of memcached 1.6.45, classic and meta, one request for each call; of retrievals, which are
/// most of all requests, as many keys as are there.
///
/// The parser holds no bytes and no pointer: it reads the connection's buffer in place, and
/// remembers only lengths counted from the cursor. So the connection may move the unread
/// bytes about between calls, as long as it keeps those behind the cursor.
///
/// A line of retrieval with many keys is handed out in steps. The cursor then stands at
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

    /// What the keys of that retrieval have in common.
    var retrieval = TakenKeys()

    /// What `.retrieval` is about.
    package internal(set) var taken = TakenKeys()

    /// Of the keys taken last: 0 when each had a line to itself; else where the keys of their line end, the bytes of line
    /// end behind them, and whether some of the line were taken before.
    var batchTerminator: UInt8 = 0
    var batchContinuesLine = false
    var batchEnd: UInt32 = 0

    var lastMetaFlags = PlainMetaFlags()

    package init() {}

    /// Whether the next step is another key of a retrieval begun before.
    package var isInRetrieval: Bool { retrievalTerminator != 0 }

    /// Nothing is known of what is behind the cursor.
    mutating func forgetLine() { scannedLength = 0 }

    /// Takes the next request from the buffer, or the next keys that are asked for.
    ///
    /// - Parameters:
    ///   - base: the start of the read buffer.
    ///   - cursor: the offset of the first unread byte; moved past what was taken.
    ///   - end: the offset behind the last byte held, at least `cursor`.
    ///   - request: filled for `.request` and `.value`; of a `.retrieval` that touches, its exptime is. The steps of one
    ///     retrieval must be given the same record.
    ///   - room: where the keys of a `.retrieval` go, and the sets of `.sets`.
    ///   - countMax: at most `StepRoom.countMax`; with 1 each key, and each set, is a step of its own.
    package mutating func next(
        _ base: UnsafePointer<UInt8>, cursor: inout Int, end: Int, request: inout Request, room: StepRoom,
        countMax: Int
    ) -> ParseStep {
        // What is called here takes the same parameters, so that the calls are jumps.
        if retrievalTerminator != 0 { return takeKeysOfLine(base, &cursor, end, &request, room, countMax) }
        guard countMax > 1, end &- cursor >= 6 else {
            return nextLine(base, &cursor, end, &request, room, countMax)
        }
        // SAFETY: six bytes are there.
        let word = UInt32(littleEndian: UnsafeRawPointer(base + cursor).loadUnaligned(as: UInt32.self))
        if word == Self.getWord { return takeLines(base, &cursor, end, &request, room, countMax) }
        if word == Self.setWord { return takeSets(base, &cursor, end, &request, room, countMax) }
        if word & 0xff_ffff == Self.metaGetWord {
            return takeMetaGets(base, &cursor, end, &request, room, countMax)
        }
        return nextLine(base, &cursor, end, &request, room, countMax)
    }

    // The first bytes of a line, read as a number: "get ", "set ", "mg ".
    static var getWord: UInt32 { 0x20_74_65_67 }
    static var setWord: UInt32 { 0x20_74_65_73 }
    static var metaGetWord: UInt32 { 0x20_67_6d }

    /// The request of a whole line; of a retrieval its first keys.
    @inline(never)
    mutating func nextLine(
        _ base: UnsafePointer<UInt8>, _ cursor: inout Int, _ end: Int, _ request: inout Request, _ room: StepRoom,
        _ countMax: Int
    ) -> ParseStep {
        // SAFETY: the caller holds base[0..<end], and `cursor` is an offset into it that only
        // this function and the connection move. `TextLine` bounds whatever comes after.
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
        case Self.getWord:
            cursor = lineCursor
            if let step = beginRetrieval(base, &cursor, line, keys: start + 4, wantsCas: false, touches: false) {
                return step
            }
            return takeKeysOfLine(base, &cursor, end, &request, room, countMax)
        case Self.setWord:
            return store(base, &cursor, end, line, arguments: start + 4, .set, &request)
        case let word where word & 0xff_ffff == Self.metaGetWord:
            return meta(.metaGet, base, line, start + 3, &request)
        case let word where word & 0xff_ffff == 0x20_73_6d:  // "ms "
            return metaStore(base, &cursor, end, line, start + 3, &request)
        default:
            return dispatch(base, &cursor, end, line, &request, room, countMax)
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
        _ request: inout Request, _ room: StepRoom,
        _ countMax: Int
    ) -> ParseStep {
        let (command, arguments) = line.command()
        switch command {
        case .get, .gets, .gat, .gats:
            cursor = line.start - base
            let wantsCas = command == .gets || command == .gats
            let wrong =
                command == .gat || command == .gats
                ? beginTouchingRetrieval(base, &cursor, line, arguments, wantsCas: wantsCas, &request)
                : beginRetrieval(base, &cursor, line, keys: arguments, wantsCas: wantsCas, touches: false)
            return wrong ?? takeKeysOfLine(base, &cursor, end, &request, room, countMax)
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

    // MARK: Rejections

    /// Notes what is wrong with a line.
    mutating func reject(_ reply: Reply, silently: Bool = false, swallow: Int = 0) -> ParseStep {
        rejection = Rejection(reply: reply, isSilent: silently, swallowBytes: swallow)
        return .reject
    }
}
