/// Values that are made when they are missing.
extension Cached {
    /// The value under a key. A missing one is made and set; whoever makes it at the same time does so too, and the
    /// last one stays.
    /// - Parameters:
    ///   - masterKey: names, for a value that was made, the master key that it depends on.
    ///   - create: makes the value; nil is not stored.
    public func getOrSet<Value: Codable & Sendable>(
        _ key: String, dependsOn masterKey: (Value) -> String? = { _ in nil },
        create: () async throws -> Value
    ) async throws -> Value {
        if let value = try await cache.get(key, as: Value.self, namespace: namespace) { return value }
        let value = try await create()
        if !isNil(value) { try await set(key, value, dependsOn: masterKey(value)) }
        return value
    }

    /// The value under a key. A missing one is made and added: of those who make it at the same time the first one's
    /// stays, and each gets its own.
    /// - Parameters:
    ///   - masterKey: names, for a value that was made, the master key that it depends on.
    ///   - create: makes the value; nil is not stored.
    public func getOrAdd<Value: Codable & Sendable>(
        _ key: String, dependsOn masterKey: (Value) -> String? = { _ in nil },
        create: () async throws -> Value
    ) async throws -> Value {
        if let value = try await cache.get(key, as: Value.self, namespace: namespace) { return value }
        let value = try await create()
        if !isNil(value) { try await add(key, value, dependsOn: masterKey(value)) }
        return value
    }

    /// Stores a value where there is none, and tells which one there is then: of those who call this at the same time all get the
    /// same.
    public func setOrAdd<Value: Codable & Sendable>(
        _ key: String, _ value: Value, dependsOn masterKey: String? = nil
    ) async throws(CacheError) -> Value {
        if try await add(key, value, dependsOn: masterKey) { return value }
        if let present = try await cache.get(key, as: Value.self, namespace: namespace) { return present }
        // It ended between the two, or somebody else is making one.
        try await set(key, value, dependsOn: masterKey)
        return value
    }

    /// The values for arguments. `create` is asked once for all that are missing, and what it makes is set.
    /// - Parameters:
    ///   - arguments: what values are wanted for.
    ///   - key: the key of an argument.
    ///   - create: makes what it can of the missing ones.
    /// - Returns: the values that were there or could be made.
    public func getOrSetMulti<Argument: Hashable & Sendable, Value: Codable & Sendable>(
        _ arguments: [Argument], key: (Argument) -> String,
        create: ([Argument]) async throws -> [Argument: Value]
    ) async throws -> [Argument: Value] {
        if arguments.isEmpty { return [:] }
        let found = try await cache.getMulti(arguments.map(key), as: Value.self, namespace: namespace)
        var values: [Argument: Value] = [:]
        var missing: [Argument] = []
        for argument in Set(arguments) {
            if let value = found[key(argument)] { values[argument] = value } else { missing.append(argument) }
        }
        if missing.isEmpty { return values }
        let made = try await create(missing)
        if made.isEmpty { return values }
        var stored: [String: Value] = [:]
        for (argument, value) in made { stored[key(argument)] = value }
        try await cache.setMulti(stored, expiration: expiration, namespace: namespace)
        return values.merging(made) { _, new in new }
    }
}

/// Whether a value of some type is an optional's nil.
func isNil(_ value: some Any) -> Bool { (value as? any OptionalValue)?.isNone ?? false }

private protocol OptionalValue { var isNone: Bool { get } }

extension Optional: OptionalValue {
    fileprivate var isNone: Bool {
        if case .none = self { true } else { false }
    }
}
