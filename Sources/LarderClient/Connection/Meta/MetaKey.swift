/// A key as the meta protocol spells it.
///
/// Keys with spaces or control characters go in base64, which the server takes back before it looks: they are the
/// same items as for a client of the binary protocol.
struct MetaKey: Sendable, Hashable {
    let wire: String
    let isBase64: Bool

    init(_ key: String) throws(MemcacheError) {
        let isPlain = key.utf8.allSatisfy { $0 > 0x20 && $0 != 0x7F }
        wire = isPlain ? key : Self.base64(key.utf8)
        isBase64 = !isPlain
        try WireKey.check(bytes: wire.utf8.count, of: key)
    }

    static func base64(_ bytes: String.UTF8View) -> String {
        let digits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        var text: [UInt8] = []
        var bits: UInt32 = 0
        var bitCount: UInt32 = 0
        for byte in bytes {
            bits = bits << 8 | UInt32(byte)
            bitCount += 8
            while bitCount >= 6 {
                bitCount -= 6
                text.append(digits[Int(bits >> bitCount & 63)])
            }
        }
        if bitCount > 0 { text.append(digits[Int(bits << (6 - bitCount) & 63)]) }
        while text.count % 4 != 0 { text.append(UInt8(ascii: "=")) }
        return String(decoding: text, as: UTF8.self)
    }
}
