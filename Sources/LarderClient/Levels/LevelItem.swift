/// What a level keeps under a key.
public struct LevelItem: Sendable, Hashable {
    /// Its key.
    public var key: String
    /// Its value.
    public var payload: [UInt8]
    /// When it ends, in milliseconds since 1970; nil: never.
    public var endMilliseconds: Int64?

    /// Makes an item.
    public init(key: String, payload: [UInt8], endMilliseconds: Int64? = nil) {
        self.key = key
        self.payload = payload
        self.endMilliseconds = endMilliseconds
    }

    func hasEnded(at now: Int64) -> Bool { endMilliseconds.map { $0 <= now } ?? false }
}

/// What a lookup tells of an item.
public struct LevelEntry: Sendable, Hashable {
    /// The item's key.
    public var key: String
    /// The size of its value.
    public var payloadBytes: Int
    /// When it ends, in milliseconds since 1970; nil: never.
    public var endMilliseconds: Int64?

    /// Makes an entry.
    public init(key: String, payloadBytes: Int, endMilliseconds: Int64? = nil) {
        self.key = key
        self.payloadBytes = payloadBytes
        self.endMilliseconds = endMilliseconds
    }

    init(_ item: LevelItem) {
        self.init(
            key: item.key, payloadBytes: item.payload.count, endMilliseconds: item.endMilliseconds)
    }

    func hasEnded(at now: Int64) -> Bool { endMilliseconds.map { $0 <= now } ?? false }
}

/// How much a level may hold. Values alone are counted, neither keys nor what is kept about them.
public struct LevelLimits: Sendable, Hashable {
    /// How many items; nil or 0: any number.
    public var itemsMax: Int?
    /// How many bytes of values together; nil or 0: any number.
    public var footprintBytesMax: Int?
    /// How many bytes one value may have; nil or 0: any number.
    public var payloadBytesMax: Int?

    /// Limits, or none.
    public init(itemsMax: Int? = nil, footprintBytesMax: Int? = nil, payloadBytesMax: Int? = nil) {
        self.itemsMax = itemsMax
        self.footprintBytesMax = footprintBytesMax
        self.payloadBytesMax = payloadBytesMax
    }

    /// Whether so much is within them.
    public func admit(itemCount: Int, footprintBytes: Int) -> Bool {
        itemCount <= Self.limit(itemsMax) && footprintBytes <= Self.limit(footprintBytesMax)
    }

    /// Whether one value can be within them, when it is the only one.
    public func admit(payloadBytes: Int) -> Bool {
        payloadBytes <= min(Self.limit(payloadBytesMax), Self.limit(footprintBytesMax))
    }

    static func limit(_ number: Int?) -> Int { number.map { $0 > 0 ? $0 : .max } ?? .max }
}

/// Why an item leaves a level.
public enum RemovalReason: Sendable, Hashable {
    /// Its time is over.
    case expired
    /// Its room was needed.
    case evicted
    /// Its key is written anew.
    case overwritten
    /// By `remove`.
    case removed
    /// By `expunge`.
    case expunged
    /// By `destroy`, at levels that keep nothing beyond it.
    case destroyed
}

/// An item that leaves a level.
public struct LevelRemoval: Sendable, Hashable {
    /// The level's place: 0 is L1, and the largest the last level.
    public var depth: Int
    /// The level's name.
    public var level: String
    /// The item.
    public var item: LevelItem
    /// Why it leaves.
    public var reason: RemovalReason

    /// Makes a removal, for tests of one's own.
    public init(depth: Int, level: String, item: LevelItem, reason: RemovalReason) {
        self.depth = depth
        self.level = level
        self.item = item
        self.reason = reason
    }
}

/// What a level is given by the cache that it belongs to.
public struct LevelContext: Sendable {
    /// The time, and how to wait.
    public let clock: CacheClock
    /// Whether anybody wants to know what leaves. A level that has to read an item only to report it need not, if
    /// not.
    public let isObserved: Bool
    private let report: @Sendable (LevelItem, RemovalReason) -> Void

    /// A context of one's own, for a level without a cache.
    public init(
        clock: CacheClock = .system, isObserved: Bool = true,
        report: @escaping @Sendable (LevelItem, RemovalReason) -> Void = { _, _ in }
    ) {
        self.clock = clock
        self.isObserved = isObserved
        self.report = report
    }

    /// To be called once for each item that has left the level, with no lock held.
    public func removed(_ item: LevelItem, _ reason: RemovalReason) { report(item, reason) }
}
