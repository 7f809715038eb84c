/// A live item without its value.
package struct ItemFacts: Sendable {
    package let valueBytes: Int
    /// Bytes of the arena that the item takes.
    package let memoryBytes: Int
    package let clientFlags: UInt32
    package let cas: UInt64
    /// Absolute milliseconds; `Int64.max`: it never expires.
    package let expiryMilliseconds: Int64
    /// As `Session.secondsSinceAccess`.
    package let secondsSinceAccess: Int
    package let wasFetched: Bool
    package let isStale: Bool
    package let isWinSent: Bool
    package let keyIsBinary: Bool
}

extension Store {
    /// The live item under a key; nil if there is none. The look does not count as a use: neither the item's place in
    /// the order of use nor a count changes. It has a session of its own, so any thread may call it. The store must be
    /// ready.
    /// - Parameter key: 1 byte to `HashedKey.lengthMax`.
    /// - Throws: `.tooManySessions` while all places of sessions are taken.
    package func facts(of key: [UInt8], now: Int64) throws(StoreError) -> ItemFacts? {
        guard (1...HashedKey.lengthMax).contains(key.count) else { return nil }
        let session = try makeSession()
        return key.withUnsafeBytes { bytes in
            // SAFETY: the key has bytes, so it has an address. The bytes are used within this closure only.
            guard let start = bytes.baseAddress else { return nil }
            session.begin(now: now)
            defer { session.end() }
            guard let item = session.find(session.hashed(start, length: bytes.count), now: now) else { return nil }
            let facts = ItemFacts(
                valueBytes: item.valueLength, memoryBytes: session.size(of: item), clientFlags: item.clientFlags,
                cas: session.cas(of: item), expiryMilliseconds: session.expiry(of: item),
                secondsSinceAccess: session.secondsSinceAccess(item, now: now), wasFetched: item.wasFetched,
                isStale: item.isStale, isWinSent: item.isWinSent, keyIsBinary: item.keyIsBinary)
            return session.isCondemned ? nil : facts
        }
    }
}
