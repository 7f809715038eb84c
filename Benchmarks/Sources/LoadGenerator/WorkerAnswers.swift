import Glibc

/// Reading and checking answers: what the protocols have in common.
///
/// SAFETY: every read lies between `start` and `end` of one receive, or in the 8 bytes behind `end`
/// that the input buffer has to spare.
extension Worker {
    typealias Cursor = UnsafeMutablePointer<UInt8>

    /// Takes what came, and keeps a line or head that is not whole yet.
    @inline(__always)
    mutating func readAnswers(
        _ connection: UnsafeMutablePointer<Connection>, _ start: Cursor, _ end: Cursor, now: UInt64
    ) {
        var cursor = start
        while cursor < end && fault == nil {
            if connection.pointee.valueLeft > 0 {
                cursor = readValue(connection, cursor, end, now: now)
                continue
            }
            guard connection.pointee.answered < connection.pointee.requestCount else {
                fault = "the server answered what nobody asked: \(line(cursor, end))"
                return
            }
            let next: Cursor?
            switch options.dialect {
            case .text: next = readTextAnswer(connection, cursor, end, now: now)
            case .meta: next = readMetaAnswer(connection, cursor, end, now: now)
            case .binary: next = readBinaryAnswer(connection, cursor, end, now: now)
            }
            guard let next else {
                keepPartial(connection, cursor, end)
                return
            }
            cursor = next
        }
    }

    @inline(__always)
    func request(_ connection: UnsafeMutablePointer<Connection>) -> PendingRequest {
        connection.pointee.requests[connection.pointee.answered]
    }

    /// The request at hand is answered; the next one's keys begin behind its own.
    @inline(__always)
    mutating func answer(_ connection: UnsafeMutablePointer<Connection>, now: UInt64) {
        let answered = request(connection)
        let elapsed = now &- (isOpenLoop ? answered.due : connection.pointee.sentAt)
        if answered.kind == .set {
            totals.setLatency.record(elapsed)
        } else {
            totals.getLatency.record(elapsed)
        }
        connection.pointee.keysSeen = connection.pointee.keysOfAnswer
        connection.pointee.answered &+= 1
        if connection.pointee.answered < connection.pointee.requestCount {
            connection.pointee.keysOfAnswer &+= Int(request(connection).keyCount)
        }
    }

    /// The end of a get: keys without a value are misses.
    @inline(__always)
    mutating func answerGet(_ connection: UnsafeMutablePointer<Connection>, now: UInt64) {
        totals.misses &+= UInt64(connection.pointee.keysOfAnswer &- connection.pointee.keysSeen)
        answer(connection, now: now)
    }

    /// A value of `length` bytes follows, with `trailer` bytes behind it.
    @inline(__always)
    mutating func beginValue(
        _ connection: UnsafeMutablePointer<Connection>, length: UInt64, trailer: Int, now: UInt64
    ) {
        connection.pointee.valueLength = Int(truncatingIfNeeded: length)
        connection.pointee.valueLeft = connection.pointee.valueLength &+ trailer
        if options.verify && (length == 0 || length > UInt64(values.longest)) {
            let key = connection.pointee.keys[connection.pointee.keysSeen]
            fault = "wrong value: key \(options.keyPrefix)\(key) has \(length) bytes, which nobody stored"
        }
        if connection.pointee.valueLeft == 0 { endValue(connection, now: now) }
    }

    /// Takes as much of a value and its line end as there is.
    @inline(__always)
    private mutating func readValue(
        _ connection: UnsafeMutablePointer<Connection>, _ start: Cursor, _ end: Cursor, now: UInt64
    ) -> Cursor {
        let length = connection.pointee.valueLength
        let trailer = options.dialect == .binary ? 0 : 2
        let taken = min(connection.pointee.valueLeft, end - start)
        let offset = length &+ trailer &- connection.pointee.valueLeft
        let ofValue = max(0, min(taken, length &- offset))
        let key = connection.pointee.keys[connection.pointee.keysSeen]
        if options.verify && ofValue > 0
            && !values.matches(key: key, length: length, offset: offset, start, ofValue)
        {
            let place = "the \(ofValue) bytes from byte \(offset) on"
            fault = "wrong value: key \(options.keyPrefix)\(key), \(length) bytes, in \(place)"
            return end
        }
        for index in ofValue..<taken {
            let isFirst = offset &+ index == length
            if start[index] != (isFirst ? 0x0d : 0x0a) {
                fault = "no line end behind the value of key \(options.keyPrefix)\(key)"
            }
        }
        connection.pointee.valueLeft &-= taken
        if connection.pointee.valueLeft == 0 { endValue(connection, now: now) }
        return start + taken
    }

    /// A value has come; in the text protocol, and behind quiet gets, an end follows.
    @inline(__always)
    private mutating func endValue(_ connection: UnsafeMutablePointer<Connection>, now: UInt64) {
        totals.hits &+= 1
        connection.pointee.keysSeen &+= 1
        if options.dialect != .text && request(connection).kind == .get { answer(connection, now: now) }
    }

    /// A line that is no answer to what was asked: an error of the server, or the end of the run.
    mutating func readErrorLine(
        _ connection: UnsafeMutablePointer<Connection>, _ start: Cursor, _ next: Cursor, now: UInt64
    ) {
        let count = next - start
        let isError =
            (count >= 12
                && (memcmp(start, "SERVER_ERROR", 12) == 0 || memcmp(start, "CLIENT_ERROR", 12) == 0))
            || (count >= 5 && memcmp(start, "ERROR", 5) == 0)
            || (count >= 4 && memcmp(start, "NS\r\n", 4) == 0)
        guard isError else {
            fault = "an answer that does not fit the request: \(line(start, next))"
            return
        }
        totals.errors &+= 1
        if totals.firstError == nil { totals.firstError = line(start, next) }
        // Of quiet gets only one has failed: the end is still to come.
        if request(connection).kind != .quietGets { answer(connection, now: now) }
    }

    mutating func keepPartial(_ connection: UnsafeMutablePointer<Connection>, _ start: Cursor, _ end: Cursor) {
        guard end - start <= Connection.partialMax else {
            fault = "a line without end: \(line(start, end))"
            return
        }
        memcpy(connection.pointee.partial, start, end - start)
        connection.pointee.partialCount = end - start
    }

    /// For messages: the line that begins at `start`, shortened, and without what a terminal would act on.
    func line(_ start: Cursor, _ end: Cursor) -> String {
        let bytes = UnsafeBufferPointer(start: start, count: min(end - start, 120))
        let line = bytes.prefix { $0 != 0x0d && $0 != 0x0a }.map { $0 < 0x20 || $0 > 0x7e ? 0x2e : $0 }
        return String(decoding: line, as: UTF8.self)
    }
}
