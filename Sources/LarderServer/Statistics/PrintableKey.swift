import LarderWire

/// Keys as text.
enum PrintableKey {
    /// A key in percent-encoding, as in the dumps of keys.
    static func percentEncoded(_ key: [UInt8]) -> String {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: KeyText.lengthMax) { out in
            key.withUnsafeBytes { key in
                // SAFETY: `out` has room for the longest spelling.
                guard let start = out.baseAddress, let first = key.baseAddress else { return "" }
                let length = KeyText.writePercentEncoded(first, key.count, at: start)
                return String(decoding: out[..<length], as: UTF8.self)
            }
        }
    }
}
