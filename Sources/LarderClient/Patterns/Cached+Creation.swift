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
        if let value = try await present(key, as: Value.self) { return value }
        let value = try await create()
        guard !isNil(value) else { return value }
        try await keep(key, dependsOn: masterKey(value)) { () async throws(CacheError) in
            try await cache.set(key, value, expiration: expiration, namespace: namespace)
        }
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
        if let value = try await present(key, as: Value.self) { return value }
        let value = try await create()
        guard !isNil(value) else { return value }
        try await keep(key, dependsOn: masterKey(value)) { () async throws(CacheError) in
            try await cache.add(key, value, expiration: expiration, namespace: namespace)
        }
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
        let found: [String: Value]
        do {
            found = try await cache.getMulti(arguments.map(key), as: Value.self, namespace: namespace)
        } catch {
            guard error.isOutage else { throw error }
            found = [:]
        }
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
        do {
            try await cache.setMulti(stored, expiration: expiration, namespace: namespace)
        } catch {
            guard error.isOutage else { throw error }
            // They are made anew the next time.
        }
        return values.merging(made) { _, new in new }
    }

    /// The value in the cache; nil also where the cache is down.
    private func present<Value: Codable & Sendable>(
        _ key: String, as type: Value.Type
    ) async throws(CacheError) -> Value? {
        do {
            return try await cache.get(key, as: type, namespace: namespace)
        } catch {
            guard error.isOutage else { throw error }
            return nil
        }
    }

    /// Stores what was made, and lets its key depend on a master key; where the cache is down neither is done.
    /// - Parameter store: whether it was stored.
    func keep(
        _ key: String, dependsOn masterKey: String?, _ store: () async throws(CacheError) -> Bool
    ) async throws(CacheError) {
        do {
            guard try await store() else { return }
        } catch {
            guard error.isOutage else { throw error }
            return
        }
        guard let failure = try await tryDepend(key, masterKey) else { return }
        guard failure.error.isOutage, failure.isRemoved else { throw failure.error }
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
