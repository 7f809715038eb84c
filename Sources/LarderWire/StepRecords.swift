/// What a retrieval is called, and so what its answers look like.
package enum RetrievalForm: UInt8, Sendable {
    /// `get`
    case get
    /// `gets`, `gat`, `gats`
    case classic
    /// `mg`
    case meta
    /// The binary `get`, `gat` and `touch`.
    case packet
}

/// The flags of an `mg` that its answer repeats with what they ask for, in their order: up to four letters of `k f s c`,
/// the first in the lowest byte.
package struct ToldFlags: Sendable {
    package var letters: UInt32 = 0

    /// There is an opaque among them: they have to be read from the line.
    package static var inLine: ToldFlags { ToldFlags(letters: UInt32.max) }
    package var areInLine: Bool { letters == UInt32.max }

    package init(letters: UInt32 = 0) { self.letters = letters }
}

/// A key that is asked for. Offsets count from the start of the buffer that the parser was given.
package struct RetrievalKey: Sendable {
    package var start = 0
    package var length = 0
    /// Where its line, or its packet, begins, unless its line has other keys as well.
    package var requestStart = 0
    /// `END` follows its value (`get`).
    package var isLast = false
    /// Nothing is said of a miss (`mg` with `q`, binary quiet gets).
    package var isQuiet = false
    /// The answer repeats the key (binary).
    package var wantsKey = false
    /// What an `mg` asks to be told beside the value.
    package var told = ToldFlags()
    package var flagsLength: UInt16 = 0
    package var flagsStart = 0
    /// All flags of an `mg`.
    package var flags = MetaFlags()
    /// What a binary answer repeats.
    package var tag = PacketTag()

    package init() {}
}

/// What the keys of a step have in common, beside `ParseStep.retrieval`.
package struct TakenKeys: Sendable {
    package var count = 0
    package var form = RetrievalForm.classic
    /// At least one answer carries the cas.
    package var wantsCas = false
    /// There is one key, whose item gets the request's exptime.
    package var touches = false
    /// The keys stand in one line, and that may have more.
    package var shareLine = false
    /// The keys go on with a line of which some were taken before.
    package var continuesLine = false

    package init() {}
}

/// A `set` whose value is there already. Offsets count from the start of the buffer that the parser was given.
package struct ArrivedSet: Sendable {
    package var keyStart = 0
    package var keyLength = 0
    package var clientFlags: UInt32 = 0
    /// Seconds as sent, not negative.
    package var exptime: Int64 = 0
    package var valueStart = 0
    package var valueLength = 0

    package init() {}
}

/// Where a parser notes what it takes in one step: keys, or sets. One pointer, since it is handed from call to call.
package struct StepRoom {
    /// As many as cover a cache miss: more would only fill the processor's cache.
    package static let countMax = 16
    private let base: UnsafeMutableRawPointer

    // SAFETY: the memory has room for `countMax` of both, and is bound and initialized by `init`.
    package var keys: UnsafeMutablePointer<RetrievalKey> { base.assumingMemoryBound(to: RetrievalKey.self) }
    package var sets: UnsafeMutablePointer<ArrivedSet> {
        (base + Self.keyBytes).assumingMemoryBound(to: ArrivedSet.self)
    }

    private static var keyBytes: Int { countMax * MemoryLayout<RetrievalKey>.stride }

    package init() {
        base = .allocate(
            byteCount: Self.keyBytes + Self.countMax * MemoryLayout<ArrivedSet>.stride,
            alignment: MemoryLayout<ArrivedSet>.alignment)
        base.initializeMemory(as: RetrievalKey.self, repeating: RetrievalKey(), count: Self.countMax)
        (base + Self.keyBytes).initializeMemory(as: ArrivedSet.self, repeating: ArrivedSet(), count: Self.countMax)
    }

    package func deallocate() { base.deallocate() }
}
