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

/// The yes-or-no parts of a request. Stored one by one rather than as a set of bits: the executing
/// module then reads them without a call.
package struct RequestOptions: Sendable {
    /// `noreply`: no answer of any kind, errors of execution included.
    package var noReply = false
    /// The answer to a retrieval carries the cas (`gets`, `gats`).
    package var wantsCas = false
    /// The retrieval also sets a new exptime (`gat`, `gats`).
    package var touches = false
    /// `decr` rather than `incr`.
    package var decrements = false
    /// The request named an exptime (`flush_all 10`).
    package var hasExptime = false
    /// This key begins a retrieval (for the log).
    package var firstOfRetrieval = false
    /// This key ends a retrieval: `END` follows its value.
    package var lastOfRetrieval = false

    package init(noReply: Bool = false) { self.noReply = noReply }
}

/// One request. Offsets are relative to the buffer that the parser was given; they are
/// valid until that buffer is read into again.
package struct Request: Sendable {
    package var verb: Verb = .quit
    package var storeMode: StoreMode = .set
    package var options = RequestOptions()
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
