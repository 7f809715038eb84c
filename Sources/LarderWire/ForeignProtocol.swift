/// Protocols that are not memcached's, told by the first bytes of a connection. No request of memcached's begins so.
///
/// A parser of lines would take such bytes for commands: the value of a uwsgi packet may well be `flush_all`.
package enum ForeignProtocol: UInt8, Sendable, CaseIterable {
    case uwsgi, http, tls, redis, ssh, proxy

    /// What the first bytes of a connection come to.
    package enum Recognition: Sendable, Equatable {
        case foreign(ForeignProtocol)
        /// They are the beginning of a foreign protocol, or of a line.
        case needMore
        /// An empty line, which says nothing: what follows it tells.
        case emptyLine
        case memcached
    }

    /// Looks at the first bytes of a connection, or at those behind empty lines.
    ///
    /// - Parameter bytes: at least one.
    package static func recognise(_ bytes: UnsafeBufferPointer<UInt8>) -> Recognition {
        switch bytes[0] {
        case UInt8(ascii: "o"): return recogniseUwsgi(bytes)
        case 0x16: return recogniseTLS(bytes)
        case UInt8(ascii: "*"): return recogniseRedis(bytes)
        case UInt8(ascii: "\r"):
            guard bytes.count > 1 else { return .needMore }
            return bytes[1] == UInt8(ascii: "\n") ? .emptyLine : .memcached
        // A PROXY header of version 2, behind two empty lines. These are answered: their sender may wait for that.
        case 0: return recognise(bytes, by: ["\0\r\nQUIT\n"], as: .proxy)
        case UInt8(ascii: "S"): return recognise(bytes, by: ["SSH-"], as: .ssh)
        case UInt8(ascii: "A")...UInt8(ascii: "Z"):
            let found = recognise(bytes, by: requestLines, as: .http)
            return found == .memcached ? recognise(bytes, by: ["PROXY "], as: .proxy) : found
        default: return .memcached
        }
    }

    /// How HTTP requests begin, the preface of HTTP/2 included.
    private static let requestLines: [StaticString] = [
        "GET /", "POST /", "HEAD /", "PUT /", "DELETE /", "OPTIONS /", "OPTIONS *", "PATCH /", "TRACE /", "CONNECT ",
        "GET http", "POST http", "PRI * HTTP/2",
    ]

    private static func recognise(
        _ bytes: UnsafeBufferPointer<UInt8>, by beginnings: [StaticString], as kind: ForeignProtocol
    ) -> Recognition {
        var isPart = false
        for beginning in beginnings {
            // SAFETY: the text is a constant of that length.
            let text = UnsafeBufferPointer(start: beginning.utf8Start, count: beginning.utf8CodeUnitCount)
            if bytes.starts(with: text) { return .foreign(kind) }
            if text.starts(with: bytes) { isPart = true }
        }
        return isPart ? .needMore : .memcached
    }

    /// A packet for a cache, or one of the four modifiers that uWSGI's caches send each other: 111, a length, modifier2.
    ///
    /// The first three bytes may be a line (`o`, and a length of 10 or 13 in the next byte), so they are not taken for
    /// one: a client that chooses the length of the key in its packet chooses these bytes, too.
    private static func recogniseUwsgi(_ bytes: UnsafeBufferPointer<UInt8>) -> Recognition {
        guard bytes.count >= 4 else { return .needMore }
        switch bytes[3] {
        case 0...6, 17: return .foreign(.uwsgi)
        case 10, 11:
            // uWSGI sends these in datagrams only, and "ok\r\n" is a line.
            let isText = bytes[3] == 10 && bytes[1] >= 0x20 && (bytes[2] >= 0x20 || bytes[2] == UInt8(ascii: "\r"))
            return isText ? .memcached : .foreign(.uwsgi)
        default: return .memcached
        }
    }

    /// A handshake record of SSL 3.0 to TLS 1.3.
    private static func recogniseTLS(_ bytes: UnsafeBufferPointer<UInt8>) -> Recognition {
        guard bytes.count > 1 else { return .needMore }
        guard bytes[1] == 3 else { return .memcached }
        guard bytes.count > 2 else { return .needMore }
        return bytes[2] <= 4 ? .foreign(.tls) : .memcached
    }

    /// `*`, the number of words, and a line end: a request of Redis.
    private static func recogniseRedis(_ bytes: UnsafeBufferPointer<UInt8>) -> Recognition {
        let digitsMax = 7
        var end = 1
        while end < bytes.count, DecimalText.isDigit(bytes[end]) { end &+= 1 }
        guard end &- 1 <= digitsMax else { return .memcached }
        guard end < bytes.count else { return .needMore }
        guard end > 1, bytes[end] == UInt8(ascii: "\r") else { return .memcached }
        guard end &+ 1 < bytes.count else { return .needMore }
        return bytes[end &+ 1] == UInt8(ascii: "\n") ? .foreign(.redis) : .memcached
    }
}
