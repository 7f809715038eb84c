/// A value as servers keep it.
public struct StoredItem: Sendable, Hashable {
    /// The value itself.
    public var bytes: [UInt8]
    /// What the bytes mean: the server only keeps it.
    public var flags: UInt32
    /// The number of the write that made it.
    public var cas: UInt64

    /// A value, for servers of one's own.
    public init(bytes: [UInt8], flags: UInt32 = 0, cas: UInt64 = 0) {
        self.bytes = bytes
        self.flags = flags
        self.cas = cas
    }
}

/// A value that is to be stored under a key.
public struct NewItem: Sendable, Hashable {
    /// 1 to 250 bytes.
    public var key: String
    /// The value itself.
    public var bytes: [UInt8]
    /// What the bytes mean, for whoever reads them.
    public var flags: UInt32

    /// A value under a key.
    public init(key: String, bytes: [UInt8], flags: UInt32 = 0) {
        self.key = key
        self.bytes = bytes
        self.flags = flags
    }
}

/// What has to be there already for a value to be stored.
public enum StoreMode: Sendable, Hashable {
    /// Nothing, or anything.
    case set
    /// Only where there is none.
    case add
    /// Only where there is one.
    case replace
}

/// Where bytes are added to a value.
public enum ValueEnd: Sendable, Hashable {
    /// Before what there is.
    case front
    /// Behind what there is.
    case back
}

/// One server, or many that share keys among them: all that caches over the network ask for.
///
/// Connections throw `MemcacheError`, and `CancellationError` where the task was cancelled.
public protocol ItemServers: Sendable {
    /// The items of those keys that have one.
    func items(for keys: [String]) async throws -> [String: StoredItem]
    /// The items of the keys whose servers answer, and an error for each other key. By default, an error of `items` is
    /// the error of every key.
    func partialItems(for keys: [String]) async -> PartialItems
    /// The item of a key, and how long it has left. What does not say otherwise cannot tell.
    func timedItem(for key: String) async throws -> Timed<StoredItem>?
    /// - Returns: the keys of the items that were not stored.
    func store(_ mode: StoreMode, _ items: [NewItem], expiration: Expiration) async throws -> [String]
    /// Stores over what has this cas only.
    func replace(_ item: NewItem, cas: UInt64, expiration: Expiration) async throws -> Bool
    /// - Returns: the keys that had an item.
    func delete(_ keys: [String]) async throws -> Set<String>
    /// Adds to a decimal number, or takes away from it, down to 0.
    /// - Parameter initial: the number to begin with where there is none, to which the delta is not added.
    /// - Returns: the new number; nil where there is none and no `initial`.
    func add(_ delta: Int64, to key: String, initial: UInt64?, expiration: Expiration) async throws -> UInt64?
    /// Adds bytes to a value, whose flags and end stay. Bytes of a value that was deflated mean nothing behind or before
    /// others: add to what was stored as it is only.
    /// - Returns: false where there is none.
    /// - Throws: with the code `notSupported` where nothing else is said.
    func extend(_ key: String, at end: ValueEnd, with bytes: [UInt8]) async throws -> Bool
    /// Gives an item another end.
    /// - Returns: false where there is none.
    func touch(_ key: String, expiration: Expiration) async throws -> Bool
    /// Asks for a key's value, or for the right to make it.
    /// - Parameter seconds: how long the right holds.
    func lease(_ key: String, seconds: Int) async throws -> Lease<StoredItem>
    /// Removes everything.
    func flushAll() async throws
}

extension ItemServers {
    /// Adds bytes behind a value: see `extend`.
    @discardableResult
    public func append(_ bytes: [UInt8], to key: String) async throws -> Bool {
        try await extend(key, at: .back, with: bytes)
    }

    /// Adds bytes before a value: see `extend`.
    @discardableResult
    public func prepend(_ bytes: [UInt8], to key: String) async throws -> Bool {
        try await extend(key, at: .front, with: bytes)
    }

    /// Not supported.
    public func extend(_ key: String, at end: ValueEnd, with bytes: [UInt8]) async throws -> Bool {
        throw MemcacheError(.notSupported, "these servers cannot add to a value")
    }

    /// All items, or one error for all keys.
    public func partialItems(for keys: [String]) async -> PartialItems {
        await PartialItems(for: keys) { try await items(for: keys) }
    }

    /// The item, of which is not known how long it has left.
    public func timedItem(for key: String) async throws -> Timed<StoredItem>? {
        try await items(for: [key])[key].map { Timed($0, left: .unknown) }
    }
}
