import Glibc

/// `HD`, `VA`, `EN`, and `MN` behind quiet gets.
extension Worker {
    private static var stored: UInt32 { UInt32(littleEndian: 0x0a0d_4448) }
    private static var notFound: UInt32 { UInt32(littleEndian: 0x0a0d_4e45) }
    private static var noOperation: UInt32 { UInt32(littleEndian: 0x0a0d_4e4d) }

    /// The place behind one line; nil when it is not whole.
    @inline(__always)
    mutating func readMetaAnswer(
        _ connection: UnsafeMutablePointer<Connection>, _ start: Cursor, _ end: Cursor, now: UInt64
    ) -> Cursor? {
        let kind = request(connection).kind
        let expected =
            switch kind {
            case .set: Self.stored
            case .get: Self.notFound
            case .quietGets: Self.noOperation
            }
        if end - start >= 4 && UnsafeRawPointer(start).loadUnaligned(as: UInt32.self) == expected {
            if kind == .set { answer(connection, now: now) } else { answerGet(connection, now: now) }
            return start + 4
        }
        guard let newline = memchr(start, 0x0a, end - start) else { return nil }
        let next = newline.assumingMemoryBound(to: UInt8.self) + 1
        if kind == .set || !readValueLine(connection, kind, start, next, now: now) {
            readErrorLine(connection, start, next, now: now)
        }
        return next
    }

    /// Reads `VA length`, then the client flags if they are not 0, and behind quiet gets the key: `VA length f12345 kKEY`.
    /// False when the line is something else.
    @inline(__always)
    private mutating func readValueLine(
        _ connection: UnsafeMutablePointer<Connection>, _ kind: PendingRequest.Kind, _ start: Cursor,
        _ next: Cursor,
        now: UInt64
    ) -> Bool {
        guard next - start >= 6, memcmp(start, "VA ", 3) == 0 else { return false }
        var cursor = start + 3
        let last: UInt8 = kind == .get ? 0x0d : 0x20
        let hasFlags = options.clientFlags != 0
        guard let length = readNumber(&cursor, before: hasFlags ? 0x20 : last), length <= UInt64(Int32.max) else {
            return false
        }
        if hasFlags {
            guard next - cursor > 3, cursor[0] == 0x66 else { return false }
            cursor += 1
            guard readNumber(&cursor, before: last) == UInt64(options.clientFlags) else { return false }
        }
        if kind == .quietGets {
            guard next - cursor > keyPrefixLength &+ 3, cursor[0] == 0x6b,
                memcmp(cursor + 1, keyPrefix, keyPrefixLength) == 0
            else { return false }
            cursor += 1 &+ keyPrefixLength
            guard let key = readNumber(&cursor, before: 0x0d), cursor + 1 == next else { return false }
            guard findKey(connection, key, start, next) else { return true }
        } else if cursor + 1 != next {
            return false
        }
        beginValue(connection, length: length, trailer: 2, now: now)
        return true
    }
}
