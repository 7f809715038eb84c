internal import CLarderWire

/// `get`, `gets`, `gat`, `gats`: the keys of a line, or of lines of one key that follow each other.
extension TextParser {
    /// Takes the lines `get <key>\r\n` from the cursor on, where `get ` stands. What else comes is left to `nextLine`.
    @inline(never)
    mutating func takeLines(
        _ base: UnsafePointer<UInt8>, _ cursor: inout Int, _ end: Int, _ request: inout Request, _ room: StepRoom,
        _ countMax: Int
    ) -> ParseStep {
        let keys = room.keys
        var count = 0
        // "get k\n" is the shortest.
        repeat {
            let line = base + cursor
            let rest = end &- cursor &- 4
            // SAFETY: "get " and two bytes more are there.
            var length = larder_find_break(line + 4, rest)
            guard length < rest, length > 0, line[4 &+ length] == UInt8(ascii: "\n") else { break }
            let lineLength = length &+ 5
            if line[3 &+ length] == UInt8(ascii: "\r") { length &-= 1 }
            guard length > 0, length <= Self.keyLengthMax else { break }
            keys[count].requestStart = cursor
            keys[count].start = cursor &+ 4
            keys[count].length = length
            keys[count].isLast = true
            count &+= 1
            cursor &+= lineLength
        } while count < countMax && end &- cursor >= 6
            // SAFETY: six bytes and more are there.
            && UInt32(littleEndian: UnsafeRawPointer(base + cursor).loadUnaligned(as: UInt32.self)) == Self.getWord
        guard count > 0 else { return nextLine(base, &cursor, end, &request, room, countMax) }
        didTakeLines(count, .get, wantsCas: false)
        return .retrieval
    }

    /// Takes note of keys that had a line each.
    @inline(__always)
    mutating func didTakeLines(_ count: Int, _ form: RetrievalForm, wantsCas: Bool) {
        forgetLine()
        batchTerminator = 0
        taken.count = count
        taken.form = form
        taken.wantsCas = wantsCas
        taken.touches = false
        taken.shareLine = false
        taken.continuesLine = false
    }

    /// `gat` and `gats`: an exptime before the keys.
    mutating func beginTouchingRetrieval(
        _ base: UnsafePointer<UInt8>, _ cursor: inout Int, _ line: TextLine,
        _ arguments: UnsafePointer<UInt8>, wantsCas: Bool, _ request: inout Request
    ) -> ParseStep? {
        var tokens = TextTokens(from: arguments, to: line.contentEnd)
        let exptime = tokens.next()
        let seconds = DecimalText.exactInt32(exptime.start, exptime.length)
        // A missing key is noticed before a wrong exptime, and an overlong one after it.
        if seconds == nil, tokens.skipSpaces() {
            cursor &+= line.length
            return reject(.invalidExptime)
        }
        request.exptime = Int64(seconds ?? 0)
        return beginRetrieval(base, &cursor, line, keys: tokens.position, wantsCas: wantsCas, touches: true)
    }

    /// Checks the keys of a retrieval; nil when they can be taken. `cursor` is at the line.
    mutating func beginRetrieval(
        _ base: UnsafePointer<UInt8>, _ cursor: inout Int, _ line: TextLine, keys: UnsafePointer<UInt8>,
        wantsCas: Bool, touches: Bool
    ) -> ParseStep? {
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
        retrieval.form = wantsCas || touches ? .classic : .get
        retrieval.shareLine = true
        retrieval.wantsCas = wantsCas
        retrieval.touches = touches
        retrieval.continuesLine = false
        return nil
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

    /// Takes keys of the line at hand; `cursor` is at the first of them.
    @inline(never)
    mutating func takeKeysOfLine(
        _ base: UnsafePointer<UInt8>, _ cursor: inout Int, _ end: Int, _ request: inout Request, _ room: StepRoom,
        _ countMax: Int
    ) -> ParseStep {
        // An item may move when it gets a new time, so the next one is looked up after that.
        let limit = retrieval.touches ? 1 : countMax
        let keys = room.keys
        var left = retrievalLength
        // Lines are far shorter than 4 GB.
        batchEnd = UInt32(truncatingIfNeeded: cursor &+ left)
        batchTerminator = retrievalTerminator
        batchContinuesLine = retrieval.continuesLine
        var count = 0
        // SAFETY: the line was whole when the retrieval began, and the connection keeps what is behind the cursor: so
        // what is left of the line is there, and begins with a key.
        while count < limit, left > 0 {
            let length = larder_find_break(base + cursor, left)
            keys[count].start = cursor
            keys[count].length = length
            keys[count].isLast = false
            count &+= 1
            var taken = length
            while taken < left, base[cursor &+ taken] == UInt8(ascii: " ") { taken &+= 1 }
            cursor &+= taken
            left &-= taken
        }
        retrievalLength = left
        if left == 0 {
            keys[count &- 1].isLast = true
            cursor &+= Int(retrievalTerminator)
            retrievalTerminator = 0
        }
        taken = retrieval
        taken.count = count
        retrieval.continuesLine = true
        return .retrieval
    }

    /// Gives a key of the last step back, and those behind it: the next one taken is that key.
    /// - Parameter isFirst: whether it is the first of the step.
    package mutating func giveBack(_ key: RetrievalKey, isFirst: Bool, cursor: inout Int) {
        if batchTerminator != 0 {
            cursor = key.start
            retrievalLength = Int(batchEnd) &- key.start
            retrievalTerminator = batchTerminator
            if isFirst { retrieval.continuesLine = batchContinuesLine }
        } else {
            cursor = key.requestStart
        }
    }
}
