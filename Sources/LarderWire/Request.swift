/// What a client asks for, in the words of the store and of no dialect.
///
/// Every parser fills this one record, and
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
    /// Answered, and nothing else: binary `noop`, which ends a batch of quiet requests.
    case noOperation
    /// Binary only: the names of the ways to authenticate.
    case listMechanisms
    /// Binary only: SASL. The key is the mechanism's name, the value what it takes; `continues`
    /// tells a later step from the first.
    case authenticate
    /// `mg`: one key, with `meta` to say what is asked of it. So the four below.
    case metaGet
    /// `ms`; `storeMode` stays `.set`, and `meta.mode` tells the mode.
    case metaStore
    case metaDelete
    /// `ma`: `number` is the delta.
    case metaArithmetic
    case metaDebug
    /// uwsgi `get`: one key, answered with its value and when it expires.
    case fetch
    /// uwsgi `exists`: whether there is an item; asking does not count as a use.
    case contains
    /// uwsgi: all items of a cache.
    case dump
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
    /// Success is not answered, but every error is.
    package var isQuiet = false
    /// A retrieval that finds nothing is answered.
    package var answersMiss = false
    /// The answer to a retrieval carries the key although the dialect need not say it.
    package var wantsKey = false
    /// The answer to a retrieval leaves the value out.
    package var omitsValue = false
    /// Arithmetic on a key that is not there stores `initialValue`, to expire at `exptime`.
    package var createsItem = false
    /// A further step of an authentication that has begun.
    package var continues = false
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
    /// The delta of `.arithmetic`.
    package var number: UInt64 = 0
    /// The cas to compare with. Of a `.store` that is no `compareAndSwap`, of a `.delete` and of
    /// `.arithmetic`, 0 compares nothing.
    package var cas: UInt64 = 0
    /// What `.arithmetic` stores under a key that is not there, if it `createsItem`.
    package var initialValue: UInt64 = 0
    /// The rest of a meta command.
    package var meta = MetaArguments()
    /// What the answer repeats of a binary request.
    package var packetTag = PacketTag()

    package init() {}
}

/// What a binary answer repeats of its request.
package struct PacketTag: Sendable, Equatable {
    package var opcode: UInt8 = 0
    /// As it lay in the packet, whatever the order of its bytes.
    package var opaque: UInt32 = 0

    package init(opcode: UInt8 = 0, opaque: UInt32 = 0) {
        self.opcode = opcode
        self.opaque = opaque
    }
}
