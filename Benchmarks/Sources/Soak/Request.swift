/// What was asked and is not answered yet.
struct Expected {
    enum Kind: UInt8 {
        /// `count` keys from `first` of the keys asked for.
        case get
        case set, cas, append, increment, delete, touch, getAndTouch
        case flush
    }

    var kind: Kind
    /// The place among the owner's keys, or of a get the first of the keys asked for.
    var index: Int = 0
    var count: Int = 0
    /// What the key holds once it is done.
    var after = Contents()
    /// Seconds until it expires; 0: never.
    var lifetime: UInt32 = 0
    /// Of a get: whether the unique numbers come with it.
    var wantsUnique = false
}

/// A key of a get.
struct Asked {
    /// The client that owns it.
    var owner: UInt32
    var index: UInt32
    /// Of another's key: what was acknowledged before it was asked for.
    var lowest: UInt32
}

/// Which protocol a client speaks, and how it reaches a cache.
enum Dialect: String, CaseIterable, Sendable {
    case text, meta, binary
    /// Text through TLS.
    case tls
    /// Text at the main port, with the cache's name before the key.
    case routed

    var isBinary: Bool { self == .binary }
    var isMeta: Bool { self == .meta }
}
