/// What a client asks for, in the words of the store and of no dialect.
///
/// Every parser (text now; meta and binary later) fills this one record, and
/// `Execute` switches over its verb. A retrieval of many keys is a sequence of
/// requests, one for each key, the last of them marked: so it can be cut anywhere, and a
/// slow reader of a million keys costs no more than of one.
package enum Verb: UInt8, Sendable {
    /// One key of `get`, `gets`, `gat`, `gats` (`wantsCas`, `touches` tell which).
    case retrieve
    /// `set add replace append prepend cas`: `storeMode` tells which.
    case store
    case delete
    /// `incr` and `decr` (`decrements`).
    case arithmetic
    case touch
    case flushAll
    case version
    case verbosity
    case statistics
    case shutdown
    case quit
    /// Commands about machinery that Larder does not have, answered as memcached answers
    /// when the feature is off. `keyStart`/`keyLength` span the whole line.
    case administration
}

/// How a `.store` request treats what is there already.
package enum StoreMode: UInt8, Sendable {
    case set, add, replace, append, prepend, compareAndSwap
}

/// The yes-or-no parts of a request.
///
/// Inlinable throughout: they are asked for several times in each request, in another module.
package struct RequestOptions: OptionSet, Sendable {
    package let rawValue: UInt16
    @inlinable @inline(__always)
    package init(rawValue: UInt16) { self.rawValue = rawValue }
    /// `noreply`: no answer of any kind, errors of execution included.
    @inlinable @inline(__always)
    package static var noReply: RequestOptions { RequestOptions(rawValue: 1 << 0) }
    /// The answer to a retrieval carries the cas (`gets`, `gats`).
    @inlinable @inline(__always)
    package static var wantsCas: RequestOptions { RequestOptions(rawValue: 1 << 1) }
    /// The retrieval also sets a new exptime (`gat`, `gats`).
    @inlinable @inline(__always)
    package static var touches: RequestOptions { RequestOptions(rawValue: 1 << 2) }
    /// `decr` rather than `incr`.
    @inlinable @inline(__always)
    package static var decrements: RequestOptions { RequestOptions(rawValue: 1 << 3) }
    /// The request named an exptime (`flush_all 10`).
    @inlinable @inline(__always)
    package static var hasExptime: RequestOptions { RequestOptions(rawValue: 1 << 4) }
    /// This key begins a retrieval (for the log and for counting commands).
    @inlinable @inline(__always)
    package static var firstOfRetrieval: RequestOptions { RequestOptions(rawValue: 1 << 5) }
    /// This key ends a retrieval: `END` follows its value.
    @inlinable @inline(__always)
    package static var lastOfRetrieval: RequestOptions { RequestOptions(rawValue: 1 << 6) }

    /// Whether all of `options` are set.
    @inlinable @inline(__always)
    package func contains(_ options: RequestOptions) -> Bool { rawValue & options.rawValue == options.rawValue }
}

/// One request. Offsets are relative to the buffer that the parser was given; they are
/// valid until that buffer is read into again.
package struct Request: Sendable {
    package var verb: Verb = .quit
    package var storeMode: StoreMode = .set
    package var options: RequestOptions = []
    /// Key: 1 to 250 bytes. For `.statistics` and `.shutdown` the arguments, and for
    /// `.administration` the whole line, unparsed.
    package var keyStart: Int = 0
    package var keyLength: Int = 0
    /// Value of a `.store`; its closing `\r\n` is checked and not counted.
    package var valueStart: Int = 0
    package var valueLength: Int = 0
    package var clientFlags: UInt32 = 0
    /// Seconds as sent: 0 never, negative at once, up to 30 days relative, else Unix time.
    /// For `.verbosity`: the level.
    package var exptime: Int64 = 0
    /// The cas to compare with, or the delta of `.arithmetic`.
    package var number: UInt64 = 0

    package init() {}
}
