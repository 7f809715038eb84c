/// In whose bytes a connection speaks. Decided by its first byte, for good.
package enum Dialect: UInt8, Sendable {
    /// Classic text commands and meta commands.
    case text
    case binary
    /// Nothing has arrived yet.
    case undecided

    /// The dialect of a client whose first byte this is.
    @inlinable @inline(__always)
    package static func begun(by byte: UInt8) -> Dialect { byte == 0x80 ? .binary : .text }

    /// Bytes that end a value.
    @inlinable @inline(__always)
    package var valueTerminatorLength: Int { self == .binary ? 0 : 2 }
}
