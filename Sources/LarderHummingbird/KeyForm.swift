#if Hummingbird
    import LarderClient

    /// How an application's keys, which may be any strings, are written in a cache, whose keys have 1 to 250 bytes.
    ///
    /// A key is written as it is, behind the prefix, if both together have up to 180 bytes, none of them a space or a
    /// control character, and the key is not empty and does not begin with `~`. Any other is written as the prefix, `~`,
    /// and 44 bytes: the SHA-256 of prefix and key, in base64. So no two keys have one name. A prefix that cannot stand
    /// there is left out.
    struct KeyForm: Sendable {
        /// Leaves room for caches that write keys in base64.
        private static let nameBytesMax = 180
        private static let mark = UInt8(ascii: "~")
        private static let hashBytes = 44

        private let prefix: String
        /// What stands before a hash.
        private let hashPrefix: String

        init(prefix: String) {
            self.prefix = prefix
            let fits = Self.isPlain(prefix) && prefix.utf8.count < Self.nameBytesMax - Self.hashBytes
            hashPrefix = fits ? prefix : ""
        }

        func name(of key: String) throws(CacheError) -> String {
            let name = prefix + key
            if let first = key.utf8.first, first != Self.mark, name.utf8.count <= Self.nameBytesMax,
                Self.isPlain(name)
            {
                return name
            }
            // The length, so that nothing else has the same text.
            return hashPrefix + "~" + (try KeyEncoding.sha256.encode("\(prefix.utf8.count):\(name)"))
        }

        private static func isPlain(_ text: String) -> Bool {
            text.utf8.allSatisfy { $0 > 0x20 && $0 != 0x7F }
        }
    }
#endif
