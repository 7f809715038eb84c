import Glibc

/// Reading and checking answers.
///
/// SAFETY: every read lies between `start` and `end` of one receive, or in the 8 bytes behind `end`
/// that the input buffer has to spare.
extension Worker {
    private typealias Cursor = UnsafeMutablePointer<UInt8>
    private static var stored: UInt64 { UInt64(littleEndian: 0x0a0d_4445_524f_5453) }
    /// The five bytes of `END\r\n`, with the mask for them.
    private static var end: UInt64 { UInt64(littleEndian: 0x0a_0d44_4e45) }
    private static var fiveBytes: UInt64 { UInt64(littleEndian: 0xff_ffff_ffff) }

    /// Takes what came, and keeps a line that is not whole yet.
    @inline(__always)
    mutating func readAnswers(
        _ connection: UnsafeMutablePointer<Connection>, _ start: UnsafeMutablePointer<UInt8>,
        _ end: UnsafeMutablePointer<UInt8>, elapsed: UInt64
    ) {
        connection.pointee.partialCount = 0
        var cursor = start
        while cursor < end && fault == nil {
            if connection.pointee.valueLeft > 0 {
                cursor = readValue(connection, cursor, end)
                continue
            }
            guard connection.pointee.answered < connection.pointee.requestCount else {
                fault = "the server answered what nobody asked: \(line(cursor, end))"
                return
            }
            let isSet = connection.pointee.requests[connection.pointee.answered].isSet
            let eight = UnsafeRawPointer(cursor).loadUnaligned(as: UInt64.self)
            if isSet {
                if end - cursor >= 8 && eight == Self.stored {
                    totals.setLatency.record(elapsed)
                    answer(connection)
                    cursor += 8
                    continue
                }
            } else if end - cursor >= 5 && eight & Self.fiveBytes == Self.end {
                totals.misses &+= UInt64(connection.pointee.keysOfAnswer &- connection.pointee.keysSeen)
                totals.getLatency.record(elapsed)
                answer(connection)
                cursor += 5
                continue
            }
            guard let newline = memchr(cursor, 0x0a, end - cursor) else {
                keepPartial(connection, cursor, end)
                return
            }
            let next = newline.assumingMemoryBound(to: UInt8.self) + 1
            if isSet || !readHeader(connection, cursor, next) {
                readError(connection, cursor, next, isSet: isSet, elapsed: elapsed)
            }
            cursor = next
        }
    }

    /// The request at hand is answered; the next one's keys begin behind its own.
    @inline(__always)
    private func answer(_ connection: UnsafeMutablePointer<Connection>) {
        connection.pointee.keysSeen = connection.pointee.keysOfAnswer
        connection.pointee.answered &+= 1
        if connection.pointee.answered < connection.pointee.requestCount {
            connection.pointee.keysOfAnswer &+= Int(
                connection.pointee.requests[connection.pointee.answered].keyCount)
        }
    }

    /// Reads `VALUE key flags length`; false when the line is something else.
    @inline(__always)
    private mutating func readHeader(
        _ connection: UnsafeMutablePointer<Connection>, _ start: UnsafeMutablePointer<UInt8>,
        _ next: UnsafeMutablePointer<UInt8>
    ) -> Bool {
        guard next - start > keyPrefixLength &+ 12, memcmp(start, "VALUE ", 6) == 0,
            memcmp(start + 6, keyPrefix, keyPrefixLength) == 0
        else { return false }
        var cursor = start + (6 &+ keyPrefixLength)
        guard let key = readNumber(&cursor, before: 0x20), let flags = readNumber(&cursor, before: 0x20),
            let length = readNumber(&cursor, before: 0x0d), cursor + 1 == next, flags == 0,
            length <= UInt64(Int32.max)
        else { return false }
        var seen = connection.pointee.keysSeen
        while seen < connection.pointee.keysOfAnswer && connection.pointee.keys[seen] != key {
            totals.misses &+= 1
            seen &+= 1
        }
        connection.pointee.keysSeen = seen
        guard seen < connection.pointee.keysOfAnswer else {
            fault = "a value for a key that was not asked for here: \(line(start, next))"
            return true
        }
        connection.pointee.valueLength = Int(length)
        connection.pointee.valueLeft = Int(length) &+ 2
        return true
    }

    /// Takes as much of a value and its line end as there is.
    @inline(__always)
    private mutating func readValue(
        _ connection: UnsafeMutablePointer<Connection>, _ start: UnsafeMutablePointer<UInt8>,
        _ end: UnsafeMutablePointer<UInt8>
    ) -> UnsafeMutablePointer<UInt8> {
        let length = connection.pointee.valueLength
        let taken = min(connection.pointee.valueLeft, end - start)
        let offset = length &+ 2 &- connection.pointee.valueLeft
        let ofValue = max(0, min(taken, length &- offset))
        let key = connection.pointee.keys[connection.pointee.keysSeen]
        if options.verify && length > values.longest {
            fault = "key \(options.keyPrefix)\(key) has \(length) bytes, more than --data-size says"
            return end
        }
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
        if connection.pointee.valueLeft == 0 {
            totals.hits &+= 1
            connection.pointee.keysSeen &+= 1
        }
        return start + taken
    }

    /// A line that is no answer to what was asked: an error of the server, or the end of the run.
    private mutating func readError(
        _ connection: UnsafeMutablePointer<Connection>, _ start: UnsafeMutablePointer<UInt8>,
        _ next: UnsafeMutablePointer<UInt8>, isSet: Bool, elapsed: UInt64
    ) {
        let text = line(start, next)
        guard ["SERVER_ERROR", "CLIENT_ERROR", "ERROR"].contains(where: text.hasPrefix) else {
            fault = "an answer that does not fit the request: \(text)"
            return
        }
        totals.errors += 1
        totals.firstError = totals.firstError ?? text
        if isSet { totals.setLatency.record(elapsed) } else { totals.getLatency.record(elapsed) }
        answer(connection)
    }

    private mutating func keepPartial(
        _ connection: UnsafeMutablePointer<Connection>, _ start: UnsafeMutablePointer<UInt8>,
        _ end: UnsafeMutablePointer<UInt8>
    ) {
        guard end - start <= Connection.partialMax else {
            fault = "a line without end: \(line(start, end))"
            return
        }
        memcpy(connection.pointee.partial, start, end - start)
        connection.pointee.partialCount = end - start
    }

    /// For messages: the line that begins at `start`, shortened.
    private func line(_ start: UnsafeMutablePointer<UInt8>, _ end: UnsafeMutablePointer<UInt8>) -> String {
        let bytes = UnsafeBufferPointer(start: start, count: min(end - start, 120))
        return String(decoding: bytes.prefix { $0 != 0x0d && $0 != 0x0a }, as: UTF8.self)
    }
}

/// Reads digits up to `terminator` and steps over it; nil where there are none, other bytes, a zero in
/// front or too many of them. A line ends in a line feed, which is no digit: it cannot be overrun.
@inline(__always)
private func readNumber(_ cursor: inout UnsafeMutablePointer<UInt8>, before terminator: UInt8) -> UInt64? {
    var number: UInt64 = 0
    var digits = 0
    let leadingZero = cursor[0] == 0x30
    while true {
        let byte = cursor[0]
        cursor += 1
        let digit = byte &- 0x30
        guard digit < 10 else { return byte == terminator && digits > 0 ? number : nil }
        digits &+= 1
        if digits > 19 || (leadingZero && digits > 1) { return nil }
        number = number &* 10 &+ UInt64(digit)
    }
}
