import NIOCore

/// One answer of a server.
struct Answer: Sendable {
    enum Code: Sendable, Hashable {
        /// VA, HD, EN, NS, EX, NF and MN of the meta protocol.
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
    var opaque: UInt64?
    var key: ByteBufferView?
    /// The caller is to make the value (W).
    var isWon = false
    /// Somebody else has been told to (Z).
    var isTaken = false
    /// What an error or the version says.
    var text = ""

    init(_ code: Code) {
        self.code = code
    }

    /// Whether it carries the opaque of its request.
    var isMeta: Bool {
        switch code {
        case .value, .done, .miss, .notStored, .exists, .notFound: true
        default: false
        }
    }
}
