/// What kept a cache from answering. A key that is not there is no error, and neither is a value that a
/// cache did not take: see what each call returns.
public struct CacheError: Error, CustomStringConvertible {
    /// What went wrong; more kinds may come.
    public struct Code: Sendable, Hashable {
        private enum Kind {
            case unknownNamespace, badKey, cannotEncode, cannotDecode, notANumber, badConfiguration,
                unavailable
            case cancelled, tooLarge
            case timedOut, closed, authenticationFailed, tls, notSupported
        }
        private let kind: Kind
        private init(_ kind: Kind) { self.kind = kind }

        /// A namespace that no cache was given for.
        public static let unknownNamespace = Code(.unknownNamespace)
        /// A key that can be none.
        public static let badKey = Code(.badKey)
        /// A value that has no bytes: JSON knows no NaN, for instance.
        public static let cannotEncode = Code(.cannotEncode)
        /// Bytes that are no value of the type that was asked for.
        public static let cannotDecode = Code(.cannotDecode)
        /// `incr` and `decr` of something else than a decimal number.
        public static let notANumber = Code(.notANumber)
        /// A cache cannot be made like this.
        public static let badConfiguration = Code(.badConfiguration)
        /// The servers, or the file, did not do it, for a reason that has no code of its own.
        public static let unavailable = Code(.unavailable)
        /// The servers did not answer in time; whether it was done is not known.
        public static let timedOut = Code(.timedOut)
        /// The connection, pool or group was closed by its owner.
        public static let closed = Code(.closed)
        /// The servers want another name or password.
        public static let authenticationFailed = Code(.authenticationFailed)
        /// No encrypted connection could be made: a certificate that is not trusted, or is another server's.
        public static let tls = Code(.tls)
        /// The servers' dialect has no word for it.
        public static let notSupported = Code(.notSupported)
        /// The task was cancelled meanwhile.
        public static let cancelled = Code(.cancelled)
        /// A value that a level of a `LayeredCache` never takes.
        public static let tooLarge = Code(.tooLarge)
    }

    /// What went wrong.
    public let code: Code
    /// The same in words, with what to do about it where there is something.
    public let message: String
    /// The error that this one came of.
    public let underlying: (any Error)?

    /// Makes an error, for caches of one's own.
    public init(_ code: Code, _ message: String, underlying: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.underlying = underlying
    }

    /// The message.
    public var description: String { message }

    /// Whether the cache could not be asked: it is down, or lets nobody in. A value that can be made is made then.
    public var isOutage: Bool {
        [.unavailable, .timedOut, .closed, .authenticationFailed, .tls].contains(code)
    }
}

extension CacheError {
    /// The same error, saying which key's value it is about.
    func about(_ key: String) -> CacheError {
        CacheError(code, "\(key.prefix(40).debugDescription): \(message)", underlying: underlying)
    }

    static func badKey(_ key: String) -> CacheError {
        CacheError(
            .badKey, "a key has 1 to 250 bytes, and \(key.prefix(40).debugDescription) has \(key.utf8.count)")
    }

    static func notANumber(_ key: String) -> CacheError {
        CacheError(
            .notANumber, "what is under \(key.debugDescription) is no decimal number: store one, or delete it"
        )
    }
}
