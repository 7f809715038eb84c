/// A cache: values under keys, until they end or the room is needed.
///
/// The requirements are those of a cache of one's own: they take and give values as bytes. What an
/// application calls (`get`, `set`, `add`, `incr` …) is built on them, and is the same for every cache.
///
/// `namespace` says which part of a cache is meant, for caches that have parts (`CacheClient`); the others
/// take no notice of it. It is no prefix of the keys.
///
/// A key has 1 to 250 bytes. Keys are Swift strings: two that are canonically equivalent (one with é as one scalar, one
/// with an accent of its own) are one key in a call for many keys, though their bytes differ.
public protocol Cache: Sendable {
    /// The values of those keys that have one.
    func values(of keys: [String], namespace: String?) async throws(CacheError) -> [String: EncodedValue]

    /// The values of the keys that can be read, and an error for each other key. By default, an error of `values` is
    /// the error of every key.
    func valuesResult(of keys: [String], namespace: String?) async -> MultiResult<EncodedValue>

    /// A value, and how long it has left. Caches that do not say otherwise cannot tell.
    func timedValue(of key: String, namespace: String?) async throws(CacheError) -> Timed<EncodedValue>?

    /// Stores values, each for itself.
    /// - Returns: the keys whose values were not stored.
    func store(
        _ mode: StoreMode, _ values: [String: EncodedValue], expiration: Expiration, namespace: String?
    ) async throws(CacheError) -> [String]

    /// Removes values.
    /// - Returns: the keys that had one.
    func remove(_ keys: [String], namespace: String?) async throws(CacheError) -> Set<String>

    /// Adds to a decimal number, beyond the largest of 64 bits beginning at 0 again, or takes away from it,
    /// down to 0. When it ends does not change.
    /// - Parameters:
    ///   - initial: the number to begin with where there is none, to which `delta` is not added.
    ///   - expiration: when a number that begins so ends.
    /// - Returns: the new number; nil where there is none and no `initial`.
    func count(
        _ delta: Int64, key: String, initial: UInt64?, expiration: Expiration, namespace: String?
    ) async throws(CacheError) -> UInt64?

    /// Gives a value another end.
    /// - Returns: false where there is no value.
    func touch(_ key: String, expiration: Expiration, namespace: String?) async throws(CacheError) -> Bool

    /// Removes everything, of all namespaces.
    /// - Returns: whether all of it is gone.
    func flushAll() async throws(CacheError) -> Bool

    /// Asks for a value, or for the right to make it: of all who ask for a key that is missing, one gets it.
    ///
    /// Until the lease is fulfilled, abandoned or over, `get` finds nothing, and `add` may fail. Over servers it is the
    /// server's own in the meta dialect, and an empty item with a mark in the binary one (`Dialect`). Caches that
    /// do not say otherwise keep a marker under a key of its own: see `markerPrefix`.
    /// - Parameter duration: how long the right holds; at least a second.
    func lease(_ key: String, duration: Duration, namespace: String?) async throws(CacheError) -> Lease<EncodedValue>

    /// Stores the value that a lease was given for, unless the lease is over. RemoteCache, MemoryCache and
    /// what is made of them also store nothing when the key was stored or deleted since, so that a value
    /// made of what was true before a change never stays.
    /// - Returns: whether it was stored.
    func fulfil(
        _ ticket: LeaseTicket, _ key: String, _ value: EncodedValue, expiration: Expiration,
        namespace: String?
    ) async throws(CacheError) -> Bool

    /// Gives a lease back without a value, so that the next who asks gets it.
    func abandon(_ ticket: LeaseTicket, _ key: String, namespace: String?) async throws(CacheError)
}

extension Cache {
    /// The value, of which is not known how long it has left.
    public func timedValue(of key: String, namespace: String?) async throws(CacheError) -> Timed<EncodedValue>? {
        try await values(of: [key], namespace: namespace)[key].map { Timed($0, left: .unknown) }
    }
}
