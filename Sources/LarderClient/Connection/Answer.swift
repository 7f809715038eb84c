import NIOCore

/// One answer of a server.
struct Answer: Sendable {
    enum Code: Sendable, Hashable {
        /// VA, HD, EN, NS, EX, NF and MN of the meta protocol, and what the binary one has in their place.
        case value, done, miss, notStored, exists, notFound, noOperation
        /// Lines of the classic protocol.
        case ok, stored, version, cluster
        /// The server does not know the command.
        case error
        case clientError, serverError
    }

    var code: Code
    /// The data of `value` and `cluster`.
    var bytes: [UInt8] = []
    var flags: UInt32 = 0
    var cas: UInt64 = 0
    /// How long the item has left, where that was asked for.
    var left = TimeLeft.unknown
    /// The length of the item's value, where that was asked for.
    var size: UInt64?
    var opaque: UInt64?
    /// The command that it answers, in the binary protocol.
    var opcode: UInt8 = 0
    var key: ByteBufferView?
    /// The flags of the meta protocol, as they stand in the line.
    var words: ByteBufferView?
    /// The caller is to make the value (W).
    var isWon = false
    /// Somebody else has been told to (Z).
    var isTaken = false
    /// What an error or the version says.
    var text = ""

    init(_ code: Code) {
        self.code = code
    }

    /// Whether it says why the command was not carried out.
    var isRefusal: Bool { code == .clientError || code == .serverError }

    /// Whether it is about an item: in the meta protocol those carry the opaque of their command, and only those.
    var isMeta: Bool {
        switch code {
        case .value, .done, .miss, .notStored, .exists, .notFound: true
        default: false
        }
    }
}
