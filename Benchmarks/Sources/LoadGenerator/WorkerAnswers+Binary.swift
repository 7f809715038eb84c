import Glibc

/// Answers with a head of 24 bytes.
extension Worker {
    /// The place behind one head, or behind an answer without a value; nil when it is not whole.
    @inline(__always)
    mutating func readBinaryAnswer(
        _ connection: UnsafeMutablePointer<Connection>, _ start: Cursor, _ end: Cursor, now: UInt64
    ) -> Cursor? {
        guard end - start >= BinaryOpcode.headerSize else { return nil }
        let words = UnsafeRawPointer(start)
        let first = UInt64(bigEndian: words.loadUnaligned(as: UInt64.self))
        let second = UInt64(bigEndian: words.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        let opaque = Int(truncatingIfNeeded: second & 0xffff_ffff)
        let bodyLength = second &>> 32
        let opcode = UInt8(truncatingIfNeeded: first &>> 48)
        guard first &>> 56 == 0x81, isExpected(connection, opcode: opcode, opaque: opaque) else {
            fault =
                "an answer that does not fit the request: magic \(start[0]), opcode \(opcode), opaque \(opaque)"
            return end
        }
        if first & 0xffff != 0 {
            return readBinaryStatus(
                connection, start, end, first, opaque: opaque, bodyLength: bodyLength, now: now)
        }
        if opcode == BinaryOpcode.get || opcode == BinaryOpcode.getQuietly {
            return readBinaryHit(
                connection, start, end, first, opaque: opaque, bodyLength: bodyLength, now: now)
        }
        guard bodyLength == 0, first & 0xffff_ffff_0000 == 0 else {
            fault = "an answer to opcode \(opcode) with bytes that nobody asked for"
            return end
        }
        if opcode == BinaryOpcode.set {
            answer(connection, now: now)
        } else {
            answerGet(connection, now: now)
        }
        return start + BinaryOpcode.headerSize
    }

    /// Whether the request at hand can be answered like this.
    @inline(__always)
    private func isExpected(_ connection: UnsafeMutablePointer<Connection>, opcode: UInt8, opaque: Int)
        -> Bool
    {
        let isOfRequest = opaque == connection.pointee.answered
        return switch request(connection).kind {
        case .set: opcode == BinaryOpcode.set && isOfRequest
        case .get: opcode == BinaryOpcode.get && isOfRequest
        case .quietGets:
            (opcode == BinaryOpcode.noOperation && isOfRequest)
                || (opcode == BinaryOpcode.getQuietly && opaque >= connection.pointee.keysSeen
                    && opaque < connection.pointee.keysOfAnswer)
        }
    }

    /// A head, four bytes of flags, and the value behind them.
    @inline(__always)
    private mutating func readBinaryHit(
        _ connection: UnsafeMutablePointer<Connection>, _ start: Cursor, _ end: Cursor, _ first: UInt64,
        opaque: Int,
        bodyLength: UInt64, now: UInt64
    ) -> Cursor? {
        let headLength = BinaryOpcode.headerSize &+ 4
        guard end - start >= headLength else { return nil }
        let flags = UnsafeRawPointer(start).loadUnaligned(
            fromByteOffset: BinaryOpcode.headerSize, as: UInt32.self)
        // No key, four bytes of extras, no data type.
        guard first & 0xffff_ffff_0000 == 0x0000_0400_0000, bodyLength >= 4,
            UInt32(bigEndian: flags) == options.clientFlags
        else {
            fault = "a value with a key, with other client flags, or cut short"
            return end
        }
        if request(connection).kind == .quietGets {
            totals.misses &+= UInt64(opaque &- connection.pointee.keysSeen)
            connection.pointee.keysSeen = opaque
        }
        beginValue(connection, length: bodyLength &- 4, trailer: 0, now: now)
        return start + headLength
    }

    /// A miss, or an error.
    private mutating func readBinaryStatus(
        _ connection: UnsafeMutablePointer<Connection>, _ start: Cursor, _ end: Cursor, _ first: UInt64,
        opaque: Int,
        bodyLength: UInt64, now: UInt64
    ) -> Cursor? {
        let room = UInt64(Connection.partialMax - BinaryOpcode.headerSize)
        guard bodyLength <= room else {
            fault = "an error with a text of \(bodyLength) bytes"
            return end
        }
        let next = start + (BinaryOpcode.headerSize + Int(bodyLength))
        guard next <= end else { return nil }
        let status = Int(first & 0xffff)
        let kind = request(connection).kind
        if status == 1 && kind == .get {
            answerGet(connection, now: now)
            return next
        }
        // A quiet get says nothing of a miss; that one does is an error like others.
        totals.errors &+= 1
        if totals.firstError == nil {
            totals.firstError = "status \(status): \(line(start + BinaryOpcode.headerSize, next))"
        }
        if kind != .quietGets { answer(connection, now: now) }
        return next
    }
}
