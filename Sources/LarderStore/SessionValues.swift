// SAFETY: the bytes of an array or a string are used within the call that lends them.

/// Single operations at a given time, each as a section of its own: for tests and measurements. `StoreSession` is the
/// public form, with a clock of its own.
extension Session {
    /// Stores a value; the store drops others when it is full.
    /// - Parameters:
    ///   - key: 1 byte to `HashedKey.lengthMax`, or to the limit of a store with limits.
    ///   - expiry: absolute milliseconds, `Int64.max` for never.
    @discardableResult
    package func set(_ key: String, to value: [UInt8], expiry: Int64 = Int64.max, now: Int64) -> StoreOutcome {
        turn(key, now) { key in
            value.withUnsafeBytes { bytes in
                // An empty array has no address, and no byte is read.
                store(
                    .set, key, value: bytes.baseAddress ?? key.bytes, valueLength: bytes.count,
                    clientFlags: 0,
                    expiry: expiry, now: now
                ).outcome
            }
        } ?? .notStored
    }

    /// The value under a key, if there is one.
    package func value(of key: String, now: Int64) -> [UInt8]? {
        let value: [UInt8]?? = turn(key, now) { key in
            guard let item = find(key, now: now) else { return nil }
            markUsed(item, now: now)
            return item.valueBytes
        }
        return value ?? nil
    }

    /// - Returns: false when there was nothing to remove.
    @discardableResult
    package func remove(_ key: String, now: Int64) -> Bool {
        turn(key, now) { delete($0, now: now) == .stored } ?? false
    }

    /// nil for a key that can be none.
    private func turn<Result>(_ key: String, _ now: Int64, _ body: (HashedKey) -> Result) -> Result? {
        var key = key
        return key.withUTF8 { bytes in
            guard let start = bytes.baseAddress, (1...HashedKey.lengthMax).contains(bytes.count) else { return nil }
            repair()
            begin(now: now)
            defer { end() }
            return body(hashed(start, length: bytes.count))
        }
    }
}
