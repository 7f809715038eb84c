import LarderWire

/// The fields of a URL's query. Names and values are bytes in percent-encoding. A `+` stands for a plus, because keys
/// may contain it.
struct QueryFields {
    private var fields: [(name: [UInt8], value: [UInt8])] = []

    /// Nil if a `%` is not followed by two hexadecimal digits.
    init?(_ query: String) {
        for part in query.utf8.split(separator: UInt8(ascii: "&")) {
            let pieces = part.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
            let text = pieces.count > 1 ? pieces[1] : part.suffix(0)
            guard let name = KeyText.percentDecoded(pieces[0]), let value = KeyText.percentDecoded(text) else {
                return nil
            }
            fields.append((name, value))
        }
    }

    /// The field as a decimal number; the default if the field is absent, nil if it is no number in the range.
    func number(_ name: String, default value: UInt64, in range: ClosedRange<UInt64>) -> UInt64? {
        guard let digits = self[name] else { return value }
        // `UInt64` would take a sign.
        guard digits.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
            let number = UInt64(String(decoding: digits, as: UTF8.self)), range.contains(number)
        else { return nil }
        return number
    }

    /// The value of the first field of that name.
    subscript(name: String) -> [UInt8]? {
        fields.first { $0.name.elementsEqual(name.utf8) }?.value
    }
}
