/// A request that has not been answered yet.
struct Expected {
    enum Kind: UInt8 {
        /// `count` of the asked keys, beginning at `index`.
        case get
        case set, cas, append, increment, delete, touch, getAndTouch
        case flush
    }

    var kind: Kind
    /// The index of the key among the owner's keys. For a get: the index of the first asked key.
    var index: Int = 0
    var count: Int = 0
    /// The contents of the key after the request.
    var after = Contents()
    /// Seconds until it expires; 0: never.
    var lifetime: UInt32 = 0
    /// For a get: whether it asks for the unique numbers.
    var wantsUnique = false
}

/// A key of a get.
struct Asked {
    /// The client that owns it.
    var owner: UInt32
    var index: UInt32
    /// For another client's key: the version that was acknowledged before the request.
    var lowest: UInt32
}

/// The protocol of a client, and its way to a cache.
enum Dialect: String, CaseIterable, Sendable {
    case text, meta, binary
    /// The text protocol over TLS.
    case tls
    /// The text protocol at the main port, with the cache's name before the key.
    case routed

    var isBinary: Bool { self == .binary }
    var isMeta: Bool { self == .meta }
}
