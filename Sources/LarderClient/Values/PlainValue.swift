/// Types with a form that other clients know, rather than JSON.
protocol PlainValue {
    var encoded: EncodedValue { get }
    /// The flags of `encoded`; an optional has those of what it wraps, but for nil.
    static var flags: UInt32 { get }
    /// nil when that is no value of this type.
    init?(decoding value: EncodedValue)
}

extension EncodedValue {
    fileprivate static let nothing = EncodedValue(bytes: Array("null".utf8), flags: Flags.text | Flags.json)

    /// Whether the bytes are the value's text: neither pickled, deflated nor JSON.
    fileprivate var isPlainText: Bool { flags & (Flags.pickle | Flags.zlib | Flags.json) == 0 }

    /// Whether values of this type are encoded with flags like these: `decoded` reads more than that.
    package func isEncoded(as type: Any.Type) -> Bool {
        if self == .nothing, type is any ExpressibleByNilLiteral.Type { return true }
        return flags == (type as? any PlainValue.Type)?.flags ?? (Flags.text | Flags.json)
    }
}

extension Optional: PlainValue where Wrapped: PlainValue {
    var encoded: EncodedValue { self?.encoded ?? .nothing }
    static var flags: UInt32 { Wrapped.flags }

    init?(decoding value: EncodedValue) {
        if value.flags & EncodedValue.Flags.json != 0, value.bytes == EncodedValue.nothing.bytes {
            self = .none
        } else {
            guard let wrapped = Wrapped(decoding: value) else { return nil }
            self = .some(wrapped)
        }
    }
}

extension Array: PlainValue where Element == UInt8 {
    var encoded: EncodedValue { EncodedValue(bytes: self, flags: Self.flags) }
    static var flags: UInt32 { 0 }

    init?(decoding value: EncodedValue) { self = value.bytes }
}

extension String: PlainValue {
    var encoded: EncodedValue { EncodedValue(bytes: Array(utf8), flags: Self.flags) }
    static var flags: UInt32 { EncodedValue.Flags.text }

    init?(decoding value: EncodedValue) {
        guard value.isPlainText, let text = String(validating: value.bytes, as: UTF8.self) else { return nil }
        self = text
    }
}

extension Bool: PlainValue {
    var encoded: EncodedValue { EncodedValue(bytes: [self ? 0x31 : 0x30], flags: Self.flags) }
    static var flags: UInt32 { EncodedValue.Flags.integer }

    init?(decoding value: EncodedValue) {
        guard let number = Int64(decoding: value) else { return nil }
        self = number != 0
    }
}

extension PlainValue where Self: FixedWidthInteger {
    var encoded: EncodedValue {
        EncodedValue(bytes: Array(String(self).utf8), flags: Self.flags)
    }
    static var flags: UInt32 { EncodedValue.Flags.integer }

    init?(decoding value: EncodedValue) {
        guard value.isPlainText, let number = DecimalNumber.parse(value.bytes, as: Self.self) else {
            return nil
        }
        self = number
    }
}

extension Int: PlainValue {}
extension Int8: PlainValue {}
extension Int16: PlainValue {}
extension Int32: PlainValue {}
extension Int64: PlainValue {}
extension UInt: PlainValue {}
extension UInt8: PlainValue {}
extension UInt16: PlainValue {}
extension UInt32: PlainValue {}
extension UInt64: PlainValue {}

/// Numbers as caches keep them.
enum DecimalNumber {
    /// The longest has a sign and 20 digits.
    private static let bytesMax = 64

    /// nil when that is no number, or one that the type cannot hold. memcached leaves spaces behind a number
    /// that `decr` made shorter.
    static func parse<Number: FixedWidthInteger>(_ bytes: [UInt8], as type: Number.Type) -> Number? {
        guard bytes.count <= bytesMax else { return nil }
        let space: UInt8 = 0x20
        let digits = bytes.prefix(bytes.count - bytes.reversed().prefix { $0 == space }.count)
        return Number(String(decoding: digits, as: UTF8.self))
    }

    /// As servers do it: round the end upwards, down to 0 and no further.
    static func adding(_ delta: Int64, to number: UInt64) -> UInt64 {
        if delta >= 0 { return number &+ delta.magnitude }
        return number > delta.magnitude ? number - delta.magnitude : 0
    }
}
