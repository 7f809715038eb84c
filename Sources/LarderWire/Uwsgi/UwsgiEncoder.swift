import Glibc

/// Writes answers in the bytes of the uwsgi protocol.
///
/// Every function writes at `out`, where the caller has made the room that the function names, and returns the number
/// of bytes written.
package enum UwsgiEncoder {
    /// Room for any answer but a value.
    package static let answerLengthMax = 128

    /// Writes what stands before a found value; nil when this form of answer cannot tell the value's length.
    ///
    /// - Parameters:
    ///   - expires: Unix time; nil: never.
    ///   - out: room for `answerLengthMax` bytes.
    package static func encodeValueHeader(
        _ form: UwsgiParser.Form, valueLength: Int, expires: Int64?, at out: UnsafeMutablePointer<UInt8>
    ) -> Int? {
        switch form {
        case .dictionary:
            var dictionary = UwsgiDictionary(at: out)
            dictionary.add("status", "ok")
            dictionary.add("size", UInt64(truncatingIfNeeded: valueLength))
            if let expires { dictionary.add("expires", UInt64(clamping: expires)) }
            return dictionary.finish()
        case .headerAndValue:
            guard valueLength <= Int(UInt16.max) else { return nil }
            return writeHeader(bodyLength: valueLength, modifier: 0, at: out)
        case .stream: return writeHeader(bodyLength: 0, modifier: 1, at: out)
        case .nothing, .value, .valueOrPage: return 0
        }
    }

    /// Writes `reply`; `out` has room for `answerLengthMax` bytes.
    package static func encode(_ reply: Reply, _ form: UwsgiParser.Form, at out: UnsafeMutablePointer<UInt8>) -> Int {
        switch form {
        case .dictionary:
            var dictionary = UwsgiDictionary(at: out)
            dictionary.add("status", status(of: reply))
            return dictionary.finish()
        case .stream: return writeHeader(bodyLength: 0, modifier: 0, at: out)
        case .valueOrPage:
            let page: StaticString =
                "HTTP/1.0 404 Not Found\r\nConnection: close\r\nContent-Type: text/plain\r\n\r\nNot Found"
            // SAFETY: the text is shorter than the room that the caller has made.
            memcpy(out, page.utf8Start, page.utf8CodeUnitCount)
            return page.utf8CodeUnitCount
        case .headerAndValue, .nothing, .value: return 0
        }
    }

    private static func status(of reply: Reply) -> StaticString {
        switch reply {
        case .stored, .deleted, .ok: "ok"
        case .notFound: "notfound"
        default: "error"
        }
    }

    static func writeHeader(bodyLength: Int, modifier: UInt8, at out: UnsafeMutablePointer<UInt8>) -> Int {
        // SAFETY: four bytes, which every caller has room for.
        out[0] = UwsgiParser.modifier
        out[1] = UInt8(truncatingIfNeeded: bodyLength)
        out[2] = UInt8(truncatingIfNeeded: bodyLength &>> 8)
        out[3] = modifier
        return UwsgiParser.headerLength
    }
}

/// A dictionary that is written field by field, and its header.
private struct UwsgiDictionary {
    private let out: UnsafeMutablePointer<UInt8>
    private var end = UwsgiParser.headerLength

    /// - Parameter out: room for `UwsgiEncoder.answerLengthMax` bytes: three fields of at most 31.
    init(at out: UnsafeMutablePointer<UInt8>) { self.out = out }

    mutating func add(_ name: StaticString, _ value: StaticString) {
        add(name.utf8Start, name.utf8CodeUnitCount)
        add(value.utf8Start, value.utf8CodeUnitCount)
    }

    mutating func add(_ name: StaticString, _ number: UInt64) {
        add(name.utf8Start, name.utf8CodeUnitCount)
        // SAFETY: as in `init`, room for the most digits there are.
        let length = DecimalText.write(number, at: out + end + 2)
        addLength(length)
        end &+= length
    }

    /// The whole packet's length.
    func finish() -> Int {
        _ = UwsgiEncoder.writeHeader(
            bodyLength: end &- UwsgiParser.headerLength, modifier: UwsgiParser.dictionaryModifier, at: out)
        return end
    }

    private mutating func add(_ bytes: UnsafePointer<UInt8>, _ length: Int) {
        addLength(length)
        // SAFETY: as in `init`.
        memcpy(out + end, bytes, length)
        end &+= length
    }

    private mutating func addLength(_ length: Int) {
        out[end] = UInt8(truncatingIfNeeded: length)
        out[end &+ 1] = UInt8(truncatingIfNeeded: length &>> 8)
        end &+= 2
    }
}
