/// A value as caches keep it: bytes, and flags that say what they mean.
///
/// The flags are those of pylibmc and python-memcached, which pymemcache and Django know too, so that either
/// side reads what the other wrote:
///
/// | value | flags | bytes |
/// | --- | --- | --- |
/// | `[UInt8]`, `Data`, `ByteBuffer` | 0 | as they are |
/// | integers, `Bool` (1 or 0) | 2 | decimal |
/// | `String` | 16 | UTF-8 |
/// | anything else that is `Codable` | 16, and `json` | JSON; others read it as text |
/// | a stored nil | 16, and `json` | `null` |
///
/// What a Python program pickled (flag 1) cannot be read here, only taken as bytes.
public struct EncodedValue: Sendable, Hashable {
    /// The value's bytes.
    public var bytes: [UInt8]
    /// What they mean.
    public var flags: UInt32

    /// A value that is encoded already.
    public init(bytes: [UInt8], flags: UInt32 = 0) {
        self.bytes = bytes
        self.flags = flags
    }

    /// Bits of `flags`.
    public enum Flags {
        /// Python's own serialisation.
        public static let pickle: UInt32 = 1 << 0
        /// A decimal number.
        public static let integer: UInt32 = 1 << 1
        /// A decimal number of any length.
        public static let long: UInt32 = 1 << 2
        /// Deflated, with zlib's header.
        public static let zlib: UInt32 = 1 << 3
        /// UTF-8.
        public static let text: UInt32 = 1 << 4
        /// JSON, always beside `text`: Larder's own, in a bit that the others pass over.
        public static let json: UInt32 = 1 << 9
    }

    /// Encodes a value.
    public init<Value: Codable & Sendable>(encoding value: Value) throws(CacheError) {
        if let plain = value as? any PlainValue {
            self = plain.encoded
        } else {
            self = try JSONValue.encode(value)
        }
    }

    /// The value, as a type.
    public func decoded<Value: Codable & Sendable>(as type: Value.Type = Value.self) throws(CacheError)
        -> Value
    {
        if let plain = type as? any PlainValue.Type {
            // In two steps: a failure would become a stored nil where Value is optional.
            if let made = plain.init(decoding: self), let value = made as? Value { return value }
            // A number inside JSON is a number as well.
            guard flags & Flags.json != 0 else { throw Self.undecodable(type, flags, underlying: nil) }
        }
        guard flags & (Flags.pickle | Flags.zlib) == 0 else {
            throw Self.undecodable(type, flags, underlying: nil)
        }
        return try JSONValue.decode(self, as: type)
    }

    static func undecodable<Value>(_ type: Value.Type, _ flags: UInt32, underlying: (any Error)?)
        -> CacheError
    {
        let kind =
            flags & Flags.pickle != 0
            ? "it was pickled by Python: store it as text, number or bytes there" : "its flags are \(flags)"
        return CacheError(
            .cannotDecode, "the value under the key is no \(type): \(kind)", underlying: underlying)
    }
}
