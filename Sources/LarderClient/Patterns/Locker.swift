/// Makes lockouts that keep their counts in a cache, where all processes of an application see them.
public struct Locker: Sendable {
    private let cache: any Cache
    private let namespace: String?
    private let keyPrefix: String

    /// Lockouts in a cache.
    /// - Parameters:
    ///   - namespace: the part of the cache.
    ///   - keyPrefix: what all keys begin with.
    public init(_ cache: any Cache, namespace: String? = nil, keyPrefix: String = "c") {
        self.cache = cache
        self.namespace = namespace
        self.keyPrefix = keyPrefix
    }

    /// A lockout.
    /// - Parameters:
    ///   - name: what is locked; part of the keys, spaces as underscores.
    ///   - counters: its terms.
    public func define<Context: Sendable>(_ name: String, _ counters: [LockoutCounter<Context>]) -> Lockout<
        Context
    > {
        let word = String(name.map { $0 == " " ? "_" : $0 })
        return Lockout(
            name: name, counters: counters, cache: cache, namespace: namespace,
            keyPrefix: "\(keyPrefix):\(word):")
    }
}

/// Makes lockouts that lock nothing: for tests, and for where terms do not apply.
public struct NullLocker: Sendable {
    /// All of them are alike.
    public init() {}

    /// A lockout that locks nothing.
    public func define<Context: Sendable>(_ name: String, _ counters: [LockoutCounter<Context>]) -> Lockout<
        Context
    > {
        Lockout(name: name, counters: counters, cache: nil, namespace: nil, keyPrefix: "")
    }
}
