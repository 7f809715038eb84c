internal import CLarderWire
import Glibc

/// Writes replies in the bytes of the binary protocol.
///
/// Every function writes at `out`, where the caller has made the room that the function names, and
/// returns the number of bytes written.
package enum BinaryEncoder {
    /// Room for any `Reply` and for a number.
    @inlinable @inline(__always)
    package static var replyLengthMax: Int { 128 }

    /// Room for all of a found item but its value, and for a miss: header, client flags, key.
    @inlinable @inline(__always)
    package static var valueHeaderLengthMax: Int { 24 + 4 + 250 }

    /// Writes a header; what `bodyLength` counts is to follow. `out` has room for 24 bytes.
    @inline(__always)
    package static func encodeHeader(
        _ tag: PacketTag, _ status: BinaryStatus, keyLength: Int = 0, extrasLength: Int = 0,
        bodyLength: Int = 0, cas: UInt64 = 0, at out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        // SAFETY: three words of eight bytes, which is what the caller has made room for.
        let raw = UnsafeMutableRawPointer(out)
        let first =
            0x81 << 56 | UInt64(tag.opcode) << 48
            | UInt64(truncatingIfNeeded: keyLength) << 32 | UInt64(truncatingIfNeeded: extrasLength) << 24
            | UInt64(status.rawValue)
        let length = UInt32(truncatingIfNeeded: bodyLength)
        raw.storeBytes(of: first.bigEndian, as: UInt64.self)
        raw.storeBytes(of: length.bigEndian, toByteOffset: 8, as: UInt32.self)
        raw.storeBytes(of: tag.opaque, toByteOffset: 12, as: UInt32.self)
        raw.storeBytes(of: cas.bigEndian, toByteOffset: 16, as: UInt64.self)
        return 24
    }

    /// Writes a found item but for its value, which is to follow.
    ///
    /// - Parameters:
    ///   - keyLength: at most 250; 0 leaves the key out.
    ///   - valueLength: 0 when the value is left out.
    ///   - out: room for `valueHeaderLengthMax` bytes.
    package static func encodeValueHeader(
        _ tag: PacketTag, key: UnsafePointer<UInt8>, keyLength: Int, clientFlags: UInt32, valueLength: Int,
        cas: UInt64, at out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        _ = encodeHeader(
            tag, .success, keyLength: keyLength, extrasLength: 4, bodyLength: 4 &+ keyLength &+ valueLength,
            cas: cas, at: out)
        // SAFETY: the 4 bytes behind the header, and the key behind those, are in the room promised.
        UnsafeMutableRawPointer(out).storeBytes(of: clientFlags.bigEndian, toByteOffset: 24, as: UInt32.self)
        if keyLength > 0 { memcpy(out + 28, key, keyLength) }
        return 28 &+ keyLength
    }

    /// Writes a found item, its value included; `out` has room for `valueHeaderLengthMax` and `valueLength` bytes.
    package static func encodeValue(
        _ tag: PacketTag, key: UnsafeRawPointer, keyLength: Int, clientFlags: UInt32, value: UnsafeRawPointer,
        valueLength: Int, cas: UInt64, at out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        _ = encodeHeader(
            tag, .success, keyLength: keyLength, extrasLength: 4, bodyLength: 4 &+ keyLength &+ valueLength,
            cas: cas, at: out)
        // SAFETY: as in `encodeValueHeader`, and the value behind.
        UnsafeMutableRawPointer(out).storeBytes(of: clientFlags.bigEndian, toByteOffset: 24, as: UInt32.self)
        if keyLength > 0 { larder_copy_key(out + 28, key, keyLength) }
        let length = 28 &+ keyLength &+ valueLength
        memcpy(out + 28 + keyLength, value, valueLength)
        return length
    }

    /// Writes the miss of a retrieval that wants the key back: there is no text in it.
    /// `out` has room for `valueHeaderLengthMax` bytes.
    package static func encodeMiss(
        _ tag: PacketTag, key: UnsafePointer<UInt8>, keyLength: Int, at out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        _ = encodeHeader(tag, .keyNotFound, keyLength: keyLength, bodyLength: keyLength, at: out)
        memcpy(out + 24, key, keyLength)
        return 24 &+ keyLength
    }

    /// Writes the answer to `increment` and `decrement`; `out` has room for `replyLengthMax` bytes.
    package static func encodeNumber(
        _ tag: PacketTag, _ value: UInt64, cas: UInt64, at out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        _ = encodeHeader(tag, .success, bodyLength: 8, cas: cas, at: out)
        UnsafeMutableRawPointer(out).storeBytes(of: value.bigEndian, toByteOffset: 24, as: UInt64.self)
        return 32
    }

    /// Writes an answer that is a short text; `out` has room for 24 bytes and the text.
    package static func encodeText(
        _ tag: PacketTag, _ status: BinaryStatus, _ text: StaticString, at out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        _ = encodeHeader(tag, status, bodyLength: text.utf8CodeUnitCount, at: out)
        memcpy(out + 24, text.utf8Start, text.utf8CodeUnitCount)
        return 24 &+ text.utf8CodeUnitCount
    }

    /// Writes `reply`, with its cas when it is a success; `out` has room for `replyLengthMax` bytes.
    package static func encode(
        _ reply: Reply, _ tag: PacketTag, cas: UInt64, at out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        let status = status(of: reply, opcode: tag.opcode)
        if status == .success { return encodeHeader(tag, .success, cas: cas, at: out) }
        return encodeText(tag, status, text(of: status, reply), at: out)
    }
}
