/// In whose bytes a connection speaks. Decided by its first byte, for good.
///
/// Declared beside its user: a comparison of another module's enum is a call.
enum Dialect: UInt8 {
    /// Classic text commands and meta commands.
    case text
    case binary
    /// What has arrived does not tell yet.
    case undecided
    /// Packets for caches, as uWSGI sends them; on listeners of its own.
    case uwsgi

    /// The dialect of a client whose first byte this is.
    static func begun(by byte: UInt8) -> Dialect { byte == 0x80 ? .binary : .text }

    /// Bytes that end a value.
    var valueTerminatorLength: Int { self == .text ? 2 : 0 }
}
