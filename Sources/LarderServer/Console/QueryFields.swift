/// The fields of a URL's query. Names and values are bytes in percent-encoding. A `+` stands for a plus, because keys
/// may contain it.
struct QueryFields {
    private var fields: [(name: [UInt8], value: [UInt8])] = []

    /// Nil if a `%` is not followed by two hexadecimal digits.
    init?(_ query: String) {
        for part in query.utf8.split(separator: UInt8(ascii: "&")) {
            let pieces = part.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
            let text = pieces.count > 1 ? pieces[1] : part.suffix(0)
            guard let name = Self.decoded(pieces[0]), let value = Self.decoded(text) else { return nil }
            fields.append((name, value))
        }
    }

    /// The value of the first field of that name.
    subscript(name: String) -> [UInt8]? {
        fields.first { $0.name.elementsEqual(name.utf8) }?.value
    }

    private static func decoded(_ text: some Collection<UInt8>) -> [UInt8]? {
        var bytes: [UInt8] = []
        var rest = text.makeIterator()
        while let byte = rest.next() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let high = rest.next().flatMap(digit), let low = rest.next().flatMap(digit) else { return nil }
            bytes.append(high << 4 | low)
        }
        return bytes
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
