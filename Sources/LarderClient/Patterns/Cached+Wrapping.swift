/// Functions whose results are cached.
extension Cached {
    /// How a missing value is made.
    public enum Creation: Sendable, Hashable {
        /// `getOrSet`
        case set
        /// `getOrAdd`
        case add
        /// `getOrCreate`
        case onePass
    }

    /// A function that looks into the cache first.
    ///
    ///     let items = cached.wrapped("list_items", keys: KeyBuilder("repo")) { (locale: String, page: Int) in
    ///         try await loadItems(locale, page)
    ///     }
    ///     try await items("en", 1)  // under the key repo-list_items:'en':1
    ///
    /// - Parameters:
    ///   - name: the function's, in the keys.
    ///   - keys: makes the keys.
    ///   - creation: how a missing value is made.
    ///   - body: makes the value for its arguments; nil is not stored.
    public func wrapped<each Argument: KeyArgument & Sendable, Value: Codable & Sendable>(
        _ name: String, keys: KeyBuilder = KeyBuilder(), creation: Creation = .set,
        _ body: @escaping @Sendable (repeat each Argument) async throws -> Value
    ) -> @Sendable (repeat each Argument) async throws -> Value {
        { (argument: repeat each Argument) in
            var arguments: [any KeyArgument] = []
            repeat arguments.append(each argument)
            let key = keys.key(name, arguments)
            switch creation {
            case .set: return try await getOrSet(key) { try await body(repeat each argument) }
            case .add: return try await getOrAdd(key) { try await body(repeat each argument) }
            case .onePass: return try await getOrCreate(key) { try await body(repeat each argument) }
            }
        }
    }
}
