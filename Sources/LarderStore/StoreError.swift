/// What keeps a store from being opened. Each description says what to do about it.
public enum StoreError: Error, Equatable, CustomStringConvertible {
    /// The arena is too small to hold its own tables and some slabs, or absurdly large.
    case memoryOutOfRange(bytes: Int)
    /// Slabs are powers of two from 1 KiB to 64 MiB.
    case slabBytesOutOfRange(bytes: Int)
    /// The system refused the mapping.
    case mappingFailed(bytes: Int, errno: Int32)
    /// More sessions than the store has places for.
    case tooManySessions(limit: Int)

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
        }
    }
}
