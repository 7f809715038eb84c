/// Parses packets of the uwsgi protocol for caches, which uWSGI's own client sends: `cache_get("k", "NAME@HOST:PORT")`.
///
/// A packet is a header of 4 bytes and a body; the value of a dictionary's `set` or `update` follows the body:
///
/// ```
/// 0       1             3           4
/// | 111   | body length | modifier2 | body
/// ```
///
/// Numbers are little endian. A dictionary repeats the length of a key in 2 bytes, the key, and the same for its value.
/// A connection carries one packet. Like `TextParser` this holds no bytes and no pointer.
package struct UwsgiParser: Sendable {
    /// How a packet is answered, which its modifier2 decides.
    package enum Form: UInt8, Sendable {
        /// 17: a dictionary, and the value behind it.
        case dictionary
        /// 0: a header with the value's length, and the value.
        case headerAndValue
        /// 1 and 2: nothing. 6: a dump, which is sent by a thread of its own.
        case nothing
        /// 3: the value alone.
        case value
        /// 4: the value alone, or an HTTP answer with status 404.
        case valueOrPage
        /// 5: a header that tells whether there is a value, and the value.
        case stream
    }

    package static let headerLength = 4

    /// The longest body: uWSGI's own default (`--buffer-size`), unless longer keys are served. It fits a buffer of the
    /// server, so half a packet takes no other memory.
    package static let bodyLengthMax = 4096
    /// What a body has beside a key, at most.
    private static let fieldsLengthMax = 1024

    static let modifier: UInt8 = 111
    static let dictionaryModifier: UInt8 = 17

    /// How the last packet is answered.
    package private(set) var form = Form.dictionary
    /// The name of its cache, as an offset and a length; length 0: it names none.
    package private(set) var cacheStart = 0
    package private(set) var cacheLength = 0
    /// What `.reject` is about.
    package private(set) var rejection = Rejection(reply: .unknownCommand, closes: true)

    package init() {}

    /// Takes the packet from the buffer. The request's `exptime` is relative to now, however large it is. The other
    /// parameters are those of `TextParser.next`.
    /// - Parameter keyLengthMax: the longest key that is served. A longer one is rejected.
    package mutating func next(
        _ base: UnsafePointer<UInt8>, cursor: inout Int, end: Int, keyLengthMax: Int, request: inout Request
    ) -> ParseStep {
        // SAFETY: the caller holds base[0..<end], and `cursor` is an offset into it. Each byte is read after a check
        // that it is there.
        guard end &- cursor > 0 else { return .needMore }
        guard base[cursor] == Self.modifier else { return .close }
        guard end &- cursor >= Self.headerLength else { return .needMore }
        let length = Self.length(base, cursor &+ 1)
        let body = cursor &+ Self.headerLength
        guard length <= max(Self.bodyLengthMax, keyLengthMax &+ Self.fieldsLengthMax),
            let form = Self.form(of: base[cursor &+ 3])
        else { return .close }
        guard end &- body >= length else { return .needMore }
        cursor = body &+ length
        request = Request()
        self.form = form
        cacheStart = body
        cacheLength = 0
        switch base[body &- 1] {
        case Self.dictionaryModifier: return dictionary(base, body, &cursor, end, keyLengthMax, &request)
        case 1: return array(base, body, cursor, keyLengthMax, &request)
        case 3: return lookup(base, body, cursor, named: "key", keyLengthMax, &request)
        case 4: return lookup(base, body, cursor, named: "get", keyLengthMax, &request)
        case 2: request.verb = .delete
        case DumpPacket.requestModifier:
            request.verb = .dump
            cacheLength = length
            return .request
        default: request.verb = .fetch
        }
        return take(key: (body, length), keyLengthMax, &request)
    }

    private static func form(of modifier: UInt8) -> Form? {
        switch modifier {
        case dictionaryModifier: .dictionary
        case 0: .headerAndValue
        case 1, 2, DumpPacket.requestModifier: .nothing
        case 3: .value
        case 4: .valueOrPage
        case 5: .stream
        default: nil
        }
    }

    // MARK: Bodies

    /// modifier2 17.
    private mutating func dictionary(
        _ base: UnsafePointer<UInt8>, _ start: Int, _ cursor: inout Int, _ end: Int, _ keyLengthMax: Int,
        _ request: inout Request
    ) -> ParseStep {
        guard let fields = UwsgiFields(base, start, cursor) else { return .close }
        (cacheStart, cacheLength) = fields.value(of: "cache", base)
        let command = UwsgiCommand(base, fields.value(of: "cmd", base))
        switch command {
        case .get: request.verb = .fetch
        case .exists: request.verb = .contains
        case .delete: request.verb = .delete
        case .clear:
            request.verb = .flushAll
            return .request
        case .set, .update:
            request.verb = .store
            request.storeMode = command == .set ? .add : .set
            request.valueStart = cursor
            request.valueLength = Self.number(base, fields.value(of: "size", base))
            request.exptime = Int64(Self.number(base, fields.value(of: "expires", base)))
            // uWSGI stores no empty value.
            guard request.valueLength > 0 else { return reject(.badDataChunk) }
            guard case .request = take(key: fields.value(of: "key", base), keyLengthMax, &request) else {
                return .reject
            }
            guard end &- cursor >= request.valueLength else { return .value }
            cursor &+= request.valueLength
            return .request
        case nil: return reject(.unknownCommand)
        }
        return take(key: fields.value(of: "key", base), keyLengthMax, &request)
    }

    /// modifier2 1: a key and a value, stored if there is no such key.
    private mutating func array(
        _ base: UnsafePointer<UInt8>, _ start: Int, _ end: Int, _ keyLengthMax: Int, _ request: inout Request
    ) -> ParseStep {
        var position = start
        guard let key = UwsgiFields.string(base, &position, end), let value = UwsgiFields.string(base, &position, end)
        else { return .close }
        request.verb = .store
        request.storeMode = .add
        request.valueStart = value.start
        request.valueLength = value.length
        guard value.length > 0 else { return reject(.badDataChunk) }
        return take(key: key, keyLengthMax, &request)
    }

    /// modifier2 3 and 4: one field of a dictionary is the key.
    private mutating func lookup(
        _ base: UnsafePointer<UInt8>, _ start: Int, _ end: Int, named name: StaticString, _ keyLengthMax: Int,
        _ request: inout Request
    ) -> ParseStep {
        guard let fields = UwsgiFields(base, start, end) else { return .close }
        request.verb = .fetch
        return take(key: fields.value(of: name, base), keyLengthMax, &request)
    }

    private mutating func take(
        key: (start: Int, length: Int), _ keyLengthMax: Int, _ request: inout Request
    ) -> ParseStep {
        guard key.length > 0, key.length <= keyLengthMax else { return reject(.badCommandLine) }
        request.keyStart = key.start
        request.keyLength = key.length
        return .request
    }

    private mutating func reject(_ reply: Reply) -> ParseStep {
        rejection = Rejection(reply: reply, closes: true)
        return .reject
    }

    // MARK: Numbers

    /// Two bytes, little endian.
    @inline(__always)
    static func length(_ base: UnsafePointer<UInt8>, _ start: Int) -> Int {
        Int(base[start]) | Int(base[start &+ 1]) &<< 8
    }

    /// The longest number that is read; more digits are a larger number than any that has a meaning.
    private static let digitsMax = 18

    /// A decimal number as uWSGI reads it: any byte counts by its distance from "0", so "-1" is -29 and "1x" is 82.
    static func number(_ base: UnsafePointer<UInt8>, _ text: (start: Int, length: Int)) -> Int {
        guard text.length <= digitsMax else { return Int.max }
        var value = 0
        for place in 0..<text.length {
            value = value &* 10 &+ (Int(Int8(bitPattern: base[text.start &+ place])) &- 48)
        }
        return value
    }
}
