/// What applications call.
///
/// Values are bytes (`[UInt8]`, `Data`, `ByteBuffer`), `String`, integers, `Bool`, or anything `Codable`; `EncodedValue`
/// says how they are written. `get` gives nil for a key that has no value. A nil that was stored is a value: ask for it
/// as an optional, and it comes as one inside another.
extension Cache {
    /// The value under a key, or nil.
    /// - Throws: `CacheError` with the code `cannotDecode` for a value that is no `Value`.
    public func get<Value: Codable & Sendable>(
        _ key: String, as type: Value.Type = Value.self, namespace: String? = nil
    ) async throws(CacheError) -> Value? {
        try await values(of: [key], namespace: namespace)[key]?.decoded(as: type)
    }

    /// The value under a key and how long it has left, or nil.
    /// - Throws: `CacheError` with the code `cannotDecode` for a value that is no `Value`.
    public func getWithTimeLeft<Value: Codable & Sendable>(
        _ key: String, as type: Value.Type = Value.self, namespace: String? = nil
    ) async throws(CacheError) -> Timed<Value>? {
        guard let found = try await timedValue(of: key, namespace: namespace) else { return nil }
        return Timed(try found.value.decoded(as: type), left: found.left)
    }

    /// The values of those keys that have one.
    public func getMulti<Value: Codable & Sendable>(
        _ keys: [String], as type: Value.Type = Value.self, namespace: String? = nil
    ) async throws(CacheError) -> [String: Value] {
        var decoded: [String: Value] = [:]
        for (key, value) in try await values(of: keys, namespace: namespace) {
            decoded[key] = try value.decoded(as: type)
        }
        return decoded
    }

    /// Stores a value.
    /// - Returns: false when the cache did not take it, being full or the value too large.
    @discardableResult
    public func set<Value: Codable & Sendable>(
        _ key: String, _ value: Value, expiration: Expiration = .never, namespace: String? = nil
    ) async throws(CacheError) -> Bool {
        try await store(.set, key, value, expiration, namespace)
    }

    /// Stores values.
    /// - Returns: the keys whose values the cache did not take, in order.
    @discardableResult
    public func setMulti<Value: Codable & Sendable>(
        _ values: [String: Value], expiration: Expiration = .never, namespace: String? = nil
    ) async throws(CacheError) -> [String] {
        try await store(.set, values, expiration, namespace)
    }

    /// Stores a value where there is none.
    /// - Returns: false where there is one.
    @discardableResult
    public func add<Value: Codable & Sendable>(
        _ key: String, _ value: Value, expiration: Expiration = .never, namespace: String? = nil
    ) async throws(CacheError) -> Bool {
        try await store(.add, key, value, expiration, namespace)
    }

    /// Stores values under those keys that have none.
    /// - Returns: the keys that have one already, in order.
    @discardableResult
    public func addMulti<Value: Codable & Sendable>(
        _ values: [String: Value], expiration: Expiration = .never, namespace: String? = nil
    ) async throws(CacheError) -> [String] {
        try await store(.add, values, expiration, namespace)
    }

    /// Stores a value where there is one.
    /// - Returns: false where there is none.
    @discardableResult
    public func replace<Value: Codable & Sendable>(
        _ key: String, _ value: Value, expiration: Expiration = .never, namespace: String? = nil
    ) async throws(CacheError) -> Bool {
        try await store(.replace, key, value, expiration, namespace)
    }

    /// Stores values under those keys that have one.
    /// - Returns: the keys that have none, in order.
    @discardableResult
    public func replaceMulti<Value: Codable & Sendable>(
        _ values: [String: Value], expiration: Expiration = .never, namespace: String? = nil
    ) async throws(CacheError) -> [String] {
        try await store(.replace, values, expiration, namespace)
    }

    /// Removes a value.
    /// - Returns: whether there was one.
    @discardableResult
    public func delete(_ key: String, namespace: String? = nil) async throws(CacheError) -> Bool {
        !(try await remove([key], namespace: namespace)).isEmpty
    }

    /// Removes values.
    /// - Returns: true: none of them is there any more.
    @discardableResult
    public func deleteMulti(_ keys: [String], namespace: String? = nil) async throws(CacheError) -> Bool {
        if !keys.isEmpty { _ = try await remove(keys, namespace: namespace) }
        return true
    }

    /// Adds to a number.
    /// - Parameters:
    ///   - initial: what `delta` is added to where there is no number.
    ///   - expiration: when a number that begins so ends.
    /// - Returns: the new number; nil where there is none and no `initial`.
    @discardableResult
    public func incr(
        _ key: String, by delta: Int64 = 1, initial: UInt64? = nil, expiration: Expiration = .never,
        namespace: String? = nil
    ) async throws(CacheError) -> UInt64? {
        try await count(
            delta, key: key, initial: initial.map { DecimalNumber.adding(delta, to: $0) },
            expiration: expiration,
            namespace: namespace)
    }

    /// Takes away from a number, down to 0.
    /// - Parameters:
    ///   - initial: what `delta` is taken away from where there is no number.
    ///   - expiration: when a number that begins so ends.
    /// - Returns: the new number; nil where there is none and no `initial`.
    @discardableResult
    public func decr(
        _ key: String, by delta: Int64 = 1, initial: UInt64? = nil, expiration: Expiration = .never,
        namespace: String? = nil
    ) async throws(CacheError) -> UInt64? {
        // The one number whose negative there is not.
        try await incr(
            key, by: delta == .min ? .max : -delta, initial: initial, expiration: expiration,
            namespace: namespace)
    }

    /// Gives a value another end.
    /// - Returns: false where there is no value.
    @discardableResult
    public func touch(_ key: String, expiration: Expiration) async throws(CacheError) -> Bool {
        try await touch(key, expiration: expiration, namespace: nil)
    }

    private func store<Value: Codable & Sendable>(
        _ mode: StoreMode, _ key: String, _ value: Value, _ expiration: Expiration, _ namespace: String?
    ) async throws(CacheError) -> Bool {
        let encoded = try EncodedValue(encoding: value)
        return try await store(mode, [key: encoded], expiration: expiration, namespace: namespace).isEmpty
    }

    private func store<Value: Codable & Sendable>(
        _ mode: StoreMode, _ values: [String: Value], _ expiration: Expiration, _ namespace: String?
    ) async throws(CacheError) -> [String] {
        if values.isEmpty { return [] }
        var encoded: [String: EncodedValue] = [:]
        for (key, value) in values { encoded[key] = try EncodedValue(encoding: value) }
        return try await store(mode, encoded, expiration: expiration, namespace: namespace).sorted()
    }
}
