/// Why a request came to nothing.
public struct MemcacheError: Error, Sendable, CustomStringConvertible {
    /// The kinds of failure; there may be more one day.
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        /// The kind in words.
        public let description: String

        /// The server cannot be reached.
        public static let cannotConnect = Code(description: "cannot connect")
        /// The server could not be reached a moment ago, and is not tried again yet.
        public static let backingOff = Code(description: "waiting before the next attempt to connect")
        /// The connection ended before the answer came: whether the request was carried out is not known.
        public static let connectionLost = Code(description: "connection lost")
        /// No answer within the time; whether the request was carried out is not known.
        public static let timedOut = Code(description: "timed out")
        /// The server sent what is no answer to what was asked.
        public static let protocolViolation = Code(description: "protocol violation")
        /// The server wants another name or password, or lets nobody log in this way.
        public static let authenticationFailed = Code(description: "authentication failed")
        /// The server says that it cannot do it.
        public static let serverError = Code(description: "server error")
        /// The server says that the request is wrong.
        public static let clientError = Code(description: "client error")
        /// Keys have 1 to 250 bytes; in the meta dialect those with spaces or control characters up to 186.
        public static let invalidKey = Code(description: "invalid key")
        /// The dialect has no word for it.
        public static let notSupported = Code(description: "not supported")
        /// The connection, pool or group was closed by its owner.
        public static let closed = Code(description: "closed")
        /// There is no server to ask.
        public static let noServer = Code(description: "no server")
    }

    /// What kind of failure it is.
    public let code: Code
    /// What happened, in words.
    public let message: String
    /// What the system or a library said.
    public let underlying: (any Error)?

    init(_ code: Code, _ message: String, underlying: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.underlying = underlying
    }

    /// Whether it is the server's failure, or the network's, and not the caller's: what `FailurePolicy` is for.
    public var isServerFailure: Bool {
        switch code {
        case .cannotConnect, .backingOff, .connectionLost, .timedOut, .protocolViolation, .serverError,
            .noServer:
            true
        default: false
        }
    }

    /// The kind, what happened, and what lies beneath.
    public var description: String {
        let words = "\(code): \(message)"
        return underlying.map { "\(words) (\($0))" } ?? words
    }
}
