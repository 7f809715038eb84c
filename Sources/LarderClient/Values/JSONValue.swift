import FoundationEssentials

/// `Codable` values as JSON: every language reads it, and a program that looks into the cache too.
enum JSONValue {
    static func encode<Value: Codable & Sendable>(_ value: Value) throws(CacheError) -> EncodedValue {
        do {
            return EncodedValue(
                bytes: Array(try JSONEncoder().encode(value)),
                flags: EncodedValue.Flags.text | EncodedValue.Flags.json)
        } catch {
            throw CacheError(
                .cannotEncode, "a \(Value.self) cannot be written as JSON: \(error)", underlying: error)
        }
    }

    static func decode<Value: Codable & Sendable>(
        _ value: EncodedValue, as type: Value.Type
    ) throws(CacheError) -> Value {
        do {
            return try JSONDecoder().decode(type, from: Data(value.bytes))
        } catch {
            throw EncodedValue.undecodable(type, value.flags, underlying: error)
        }
    }
}

extension Data: PlainValue {
    var encoded: EncodedValue { EncodedValue(bytes: Array(self), flags: Self.flags) }
    static var flags: UInt32 { 0 }

    init?(decoding value: EncodedValue) { self.init(value.bytes) }
}
