public import LarderStore

/// Why a replicated cache cannot carry out a call. Each description says what to do about it.
public enum ReplicationError: Error, Equatable, Sendable, CustomStringConvertible {
    /// A key has at least one byte.
    case emptyKey
    /// The key is longer than a store's keys may be.
    case keyTooLong(bytes: Int, limit: Int)
    /// One key and its value do not fit into an update. Nothing was written.
    case updateTooLarge(bytes: Int, limit: Int)
    /// A record with a conditional change has no other change. Nothing was written.
    case conditionNotAlone
    /// The log may or may not have the update. To write it again is harmless.
    case outcomeUnknown(reason: String)
    /// The log cannot be used. Nothing was written.
    case logRefused(path: String, reason: String)
    /// Bytes in the middle of the log have changed since they were written. The log cuts off and skips nothing.
    case logDamaged(path: String, offset: Int, reason: String)
    /// A record of the log has contents that this version cannot read.
    case recordUnreadable(id: UInt64)
    /// The state file cannot be used.
    case stateRefused(StoreError)
    /// Another program changed the state file. It is rebuilt from the log.
    case stateDamaged
    /// The update is durable in the log, and was not applied on this machine within `applyMillisecondsMax`.
    case notApplied(id: UInt64)
    /// The state file could not be read within `readMillisecondsMax`: no process applies the log at this moment.
    case unavailable
    /// The log has no record of this id yet.
    case beyondLatest(id: UInt64, latest: UInt64)
    /// The cache was closed.
    case closed

    /// The cause and the remedy.
    public var description: String {
        switch self {
        case .emptyKey: "the key is empty: give at least one byte"
        case .keyTooLong(let bytes, let limit): "the key has \(bytes) bytes: give at most \(limit)"
        case .updateTooLarge(let bytes, let limit):
            "the update would have \(bytes) bytes, more than \(limit): give a smaller value, or raise updateBytesMax"
        case .conditionNotAlone: "a conditional change stands beside others: give it a record of its own"
        case .outcomeUnknown(let reason): "the log may or may not have the update (\(reason)): write it again"
        case .logRefused(let path, let reason): "cannot use the log \(path): \(reason)"
        case .logDamaged(let path, let offset, let reason):
            "the log is damaged at byte \(offset) of \(path) (\(reason)): restore that file from a backup"
        case .recordUnreadable(let id):
            "record \(id) of the log was written by a newer version, or is damaged: use that version"
        case .stateRefused(let error): "\(error)"
        case .stateDamaged: "another program changed the state file, which is made anew from the log"
        case .notApplied(let id):
            "update \(id) is durable, and not applied on this machine yet: see the status for the reason"
        case .unavailable: "the state file cannot be read at this moment: try again"
        case .beyondLatest(let id, let latest): "the log ends with record \(latest), so there is no record \(id)"
        case .closed: "the cache was closed"
        }
    }
}
