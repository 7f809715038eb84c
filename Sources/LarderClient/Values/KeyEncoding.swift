/// How an application's keys become a server's, which have 1 to 250 bytes and, for most clients, no spaces.
public struct KeyEncoding: Sendable {
    private let form: @Sendable (String) -> String

    /// A way of one's own. Two keys must not become one.
    public init(_ form: @escaping @Sendable (String) -> String) { self.form = form }

    /// As they are, in UTF-8.
    public static let plain = KeyEncoding { $0 }

    /// Base64 with the alphabet for URLs: any key of up to 187 bytes.
    public static let base64 = KeyEncoding { Base64URL.encode(Array($0.utf8)) }

    /// The SHA-256 of the key, in base64: any key of any length becomes one of 44 bytes.
    public static let sha256 = KeyEncoding { Base64URL.encode(Digest.sha256(Array($0.utf8))) }

    /// The key for the servers.
    /// - Throws: `CacheError` with the code `badKey`.
    public func encode(_ key: String) throws(CacheError) -> String {
        // Before it is encoded: an empty key's hash is none of an empty key.
        guard !key.isEmpty else { throw .badKey(key) }
        let encoded = form(key)
        guard (1...250).contains(encoded.utf8.count) else { throw .badKey(encoded) }
        return encoded
    }

    /// The servers' keys, with what each stands for.
    func encode(_ keys: [String]) throws(CacheError) -> [String: String] {
        var encoded: [String: String] = [:]
        for key in keys { encoded[try encode(key)] = key }
        return encoded
    }
}

/// Base64 with `-` and `_`, padded (RFC 4648, section 5): what Python's urlsafe_b64encode writes.
enum Base64URL {
    private static let alphabet = Array(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)

    static func encode(_ bytes: [UInt8]) -> String {
        var text: [UInt8] = []
        text.reserveCapacity((bytes.count + 2) / 3 * 4)
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let group = bytes[start..<min(start + 3, bytes.count)]
            let bits = group.reduce(0) { $0 << 8 | UInt32($1) } << UInt32(8 * (3 - group.count))
            for place in 0..<4 {
                let isPadding = place > group.count
                text.append(isPadding ? 0x3d : alphabet[Int(bits >> UInt32(18 - 6 * place) & 63)])
            }
        }
        return String(decoding: text, as: UTF8.self)
    }
}
