/// A cache that keeps nothing: what is stored and deleted is done with success, and nothing is ever found.
public struct NullCache: Cache {
    /// All of them are alike.
    public init() {}

    /// Nothing.
    public func values(of keys: [String], namespace: String?) -> [String: EncodedValue] { [:] }

    /// No failed key.
    public func store(
        _ mode: StoreMode, _ values: [String: EncodedValue], expiration: Expiration, namespace: String?
    ) -> [String] { [] }

    /// All of the keys.
    public func remove(_ keys: [String], namespace: String?) -> Set<String> { Set(keys) }

    /// nil: there is no number.
    public func count(
        _ delta: Int64, key: String, initial: UInt64?, expiration: Expiration, namespace: String?
    ) -> UInt64? { nil }

    /// True, as of every change.
    public func touch(_ key: String, expiration: Expiration, namespace: String?) -> Bool { true }

    /// True.
    public func flushAll() -> Bool { true }

    /// Everybody makes a value of their own.
    public func lease(_ key: String, duration: Duration, namespace: String?) async -> Lease<EncodedValue> {
        .won(LeaseTicket(0))
    }

    /// True, as of every change.
    public func fulfil(
        _ ticket: LeaseTicket, _ key: String, _ value: EncodedValue, expiration: Expiration,
        namespace: String?
    ) async -> Bool { true }

    /// Nothing happens.
    public func abandon(_ ticket: LeaseTicket, _ key: String, namespace: String?) async {}
}
