/// What each reply is called in the binary protocol.
extension BinaryEncoder {
    /// The status that stands for `reply` in the answer to a packet of this opcode.
    package static func status(of reply: Reply, opcode: UInt8) -> BinaryStatus {
        switch reply {
        case .stored, .deleted, .touched, .ok, .reset, .noOperation: .success
        case .notStored: notStored(opcode)
        case .exists: .keyExists
        case .notFound: .keyNotFound
        case .tooLarge: .tooLarge
        case .nonNumericValue: .nonNumericValue
        // A `flush` under `-F` is not permitted.
        case .authenticationFailure, .flushNotAllowed: .authenticationError
        case .noSuchStatistics, .tooFewArguments, .detailUsage, .detailNotAllowed, .cachedumpNotAllowed,
            .illegalSlabClass:
            .keyNotFound
        case .unknownCommand: .unknownCommand
        case .outOfMemoryStoring, .outOfMemory, .tooManyConnections: .outOfMemory
        case .logUnavailable, .writeOutcomeUnknown, .writeNotApplied, .tooManyConflicts: .temporaryFailure
        case .hasNoExpiry, .notReplicated: .notSupported
        // The others answer text commands that have no packet.
        default: .invalidArguments
        }
    }

    /// What was in the way of an `add` or a `replace` is known; of others it is not.
    private static func notStored(_ opcode: UInt8) -> BinaryStatus {
        switch BinaryOpcode(rawValue: opcode) {
        case .add, .addQuietly: .keyExists
        case .replace, .replaceQuietly: .keyNotFound
        default: .notStored
        }
    }

    /// The text that goes with a status other than success.
    static func text(of status: BinaryStatus, _ reply: Reply) -> StaticString {
        switch status {
        case .success, .authenticationContinues: ""
        case .keyNotFound: "Not found"
        case .keyExists: "Data exists for key."
        case .tooLarge: "Too large."
        case .invalidArguments: "Invalid arguments"
        case .notStored: "Not stored."
        case .nonNumericValue: "Non-numeric server-side value for incr or decr"
        case .authenticationError: "Auth failure."
        case .unknownCommand: "Unknown command"
        case .notSupported: "Not supported"
        case .temporaryFailure: "Temporary failure"
        case .outOfMemory: reply == .outOfMemoryStoring ? "Out of memory allocating item" : "Out of memory"
        }
    }
}
