import Glibc

/// A dictionary of a packet, whose lengths fit. It holds no bytes: all are offsets and lengths.
struct UwsgiFields {
    private let start: Int
    private let end: Int

    /// Checks `base[start..<end]`; nil when its lengths do not fit.
    init?(_ base: UnsafePointer<UInt8>, _ start: Int, _ end: Int) {
        self.start = start
        self.end = end
        var position = start
        while position < end {
            guard Self.string(base, &position, end) != nil, Self.string(base, &position, end) != nil else { return nil }
        }
    }

    /// The value of a field; length 0: it is not there. Of fields with one name the last one counts, as in uWSGI.
    func value(of name: StaticString, _ base: UnsafePointer<UInt8>) -> (start: Int, length: Int) {
        var found = (start: start, length: 0)
        var position = start
        while let key = Self.string(base, &position, end), let value = Self.string(base, &position, end) {
            if Self.equals(base, key, name) { found = value }
        }
        return found
    }

    /// A length and so many bytes; nil when they do not fit before `end`.
    static func string(
        _ base: UnsafePointer<UInt8>, _ position: inout Int, _ end: Int
    ) -> (start: Int, length: Int)? {
        // SAFETY: nothing is read but what lies before `end`, where the caller's body ends.
        guard end &- position >= 2 else { return nil }
        let length = UwsgiParser.length(base, position)
        let start = position &+ 2
        guard end &- start >= length else { return nil }
        position = start &+ length
        return (start, length)
    }

    static func equals(_ base: UnsafePointer<UInt8>, _ text: (start: Int, length: Int), _ word: StaticString) -> Bool {
        // SAFETY: both are `length` bytes long.
        text.length == word.utf8CodeUnitCount && memcmp(base + text.start, word.utf8Start, text.length) == 0
    }
}

/// `cmd` of a uwsgi dictionary.
enum UwsgiCommand {
    case get, exists, set, update, delete, clear

    init?(_ base: UnsafePointer<UInt8>, _ text: (start: Int, length: Int)) {
        if UwsgiFields.equals(base, text, "get") {
            self = .get
        } else if UwsgiFields.equals(base, text, "exists") {
            self = .exists
        } else if UwsgiFields.equals(base, text, "set") {
            self = .set
        } else if UwsgiFields.equals(base, text, "update") {
            self = .update
        } else if UwsgiFields.equals(base, text, "del") {
            self = .delete
        } else if UwsgiFields.equals(base, text, "clear") {
            self = .clear
        } else {
            return nil
        }
    }
}
