import Glibc

// SAFETY: `strerror` returns a string that ends with a zero, which is copied.

/// Why a store, a session or a reader cannot be opened. Each description says what to do about it.
public enum StoreError: Error, Equatable, CustomStringConvertible {
    /// The arena is too small to hold its own tables and some slabs, or absurdly large.
    case memoryOutOfRange(bytes: Int)
    /// Slabs are powers of two from 1 KiB to 64 MiB.
    case slabBytesOutOfRange(bytes: Int)
    /// The system refused the mapping.
    case mappingFailed(bytes: Int, errno: Int32)
    /// As many sessions are open as a store may have.
    case tooManySessions(limit: Int)
    /// The file cannot be used, and must not be replaced.
    case fileRefused(path: String, FileRefusal)

    /// The error and its remedy, in one line.
    public var description: String {
        switch self {
        case .memoryOutOfRange(let bytes):
            "an arena of \(bytes) bytes is out of range: give at least 12 slabs, and at most 256 GiB"
        case .slabBytesOutOfRange(let bytes):
            "slabs of \(bytes) bytes are out of range: give a power of two from 1024 to 67108864"
        case .mappingFailed(let bytes, let errno):
            "cannot map an arena of \(bytes) bytes (errno \(errno)): lower the memory limit"
        case .tooManySessions(let limit):
            "a store has at most \(limit) sessions at a time: use fewer threads"
        case .fileRefused(let path, let refusal): "cannot use \(path) as a store: \(refusal)"
        }
    }
}

/// Why a file cannot be a store's.
public enum FileRefusal: Equatable, Sendable, CustomStringConvertible {
    /// It is a symbolic link.
    case symbolicLink
    /// A directory, a fifo, a socket or a device.
    case notAFile
    /// It belongs to another user.
    case otherOwner
    /// Another process has it open as its store.
    case inUse(processID: UInt64?)
    /// The disk has no space for it.
    case noSpace(bytes: Int)
    /// A reader needs a file that a server has made.
    case notAStore(reason: String)
    /// A server is making the file at this moment. It can be inspected a moment later.
    case beingMade
    /// Some of its items are beyond the limits that the server was given.
    case beyondLimits(items: Int)
    /// It is no store, and could not be given another name.
    case cannotBeSetAside(errno: Int32)
    /// A system call failed.
    case system(errno: Int32)

    /// The error and its remedy, in one line.
    public var description: String {
        switch self {
        case .symbolicLink: "it is a symbolic link; name the file itself"
        case .notAFile: "it is not a regular file; name another"
        case .otherOwner: "it belongs to another user; name another file, or change its owner"
        case .inUse(let processID):
            "the server with pid \(processID.map { String($0) } ?? "unknown") is using it; stop that one, or name "
                + "another file"
        case .noSpace(let bytes):
            "there is no space for its \(bytes) bytes; make room, name a file elsewhere, or lower the memory limit"
        case .notAStore(let reason): reason
        case .beingMade: "a server is making it at this moment; look again"
        case .beyondLimits(let items):
            "\(items) of its items are beyond the limits; widen the limits, or have such items dropped"
        case .cannotBeSetAside(let error):
            "it is no store of this version and could not be renamed (\(Self.text(error))); move it away"
        case .system(let error): "\(Self.text(error))"
        }
    }

    private static func text(_ error: Int32) -> String { String(cString: strerror(error)) }
}
