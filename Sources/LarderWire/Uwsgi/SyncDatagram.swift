import Glibc

/// A datagram that sends a change of a cache to another server: uWSGI's datagrams, and two of Larder's own.
///
/// Its header is that of a uwsgi packet (`UwsgiParser`), and the body is a list of strings, each behind its length:
///
/// ```
/// modifier2 10   key, value, expiry in decimal digits [, client flags in 4 bytes]
/// modifier2 11   key [, 2 bytes of padding]
/// modifier2 76   a byte for the kind, a time in 8 bytes; without lengths
/// ```
///
/// uWSGI ignores bytes after the expiry and datagrams with an unknown modifier2, so only Larder reads the client flags
/// and modifier2 76. uWSGI logs datagrams of less than 8 bytes. This type holds no bytes and no pointer: keys and
/// values are offsets and lengths.
package struct SyncDatagram: Equatable, Sendable {
    package enum Kind: UInt8, Sendable {
        case store, delete
        /// The sender is a Larder.
        case greeting
        /// Everything is dropped at `time`.
        case clear
    }

    /// The most bytes of a datagram over IPv4.
    package static let lengthMax = 65_507

    package var kind: Kind
    /// Length 0: uWSGI's `clear` sends such keys, which have no effect.
    package var keyStart = 0
    package var keyLength = 0
    package var valueStart = 0
    package var valueLength = 0
    /// `.store`: when it expires, as `SyncExpiry` reads it. `.clear`: milliseconds since 1970; 0: now.
    package var time: Int64 = 0
    package var clientFlags: UInt32 = 0

    init(_ kind: Kind) { self.kind = kind }

    /// Reads a datagram; nil if it cannot be read.
    package init?(_ bytes: UnsafeRawBufferPointer) {
        // SAFETY: every byte is read after a check that it lies before `bytes.count`.
        guard let base = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return nil }
        let end = bytes.count
        guard end >= UwsgiParser.headerLength, base[0] == UwsgiParser.modifier,
            UwsgiParser.length(base, 1) == end &- UwsgiParser.headerLength
        else { return nil }
        var position = UwsgiParser.headerLength
        switch base[3] {
        case SyncEncoder.storeModifier:
            self.init(.store)
            guard let key = UwsgiFields.string(base, &position, end),
                let value = UwsgiFields.string(base, &position, end)
            else { return nil }
            (keyStart, keyLength) = key
            (valueStart, valueLength) = value
            guard readExpiry(base, &position, end) else { return nil }
        case SyncEncoder.deleteModifier:
            self.init(.delete)
            guard let key = UwsgiFields.string(base, &position, end) else { return nil }
            (keyStart, keyLength) = key
        case SyncEncoder.ownModifier:
            guard end &- position > 8 else { return nil }
            switch base[position] {
            case SyncEncoder.greeting: self.init(.greeting)
            case SyncEncoder.clear: self.init(.clear)
            default: return nil
            }
            time = max(0, Int64(truncatingIfNeeded: Self.number(base, position &+ 1, 8)))
        default: return nil
        }
    }

    /// Reads the expiry and the client flags after a value; false if the expiry cannot be read.
    private mutating func readExpiry(_ base: UnsafePointer<UInt8>, _ position: inout Int, _ end: Int) -> Bool {
        // As in uWSGI, the expiry may be missing: then the item never expires.
        guard end &- position >= 2 else { return true }
        guard let text = UwsgiFields.string(base, &position, end) else { return false }
        for place in text.start..<text.start &+ text.length {
            let digit = base[place] &- UInt8(ascii: "0")
            guard digit <= 9 else { return false }
            time = SyncExpiry.appending(digit, to: time)
        }
        guard let flags = UwsgiFields.string(base, &position, end), flags.length == 4 else { return true }
        clientFlags = UInt32(truncatingIfNeeded: Self.number(base, flags.start, 4))
        return true
    }

    /// Little endian.
    private static func number(_ base: UnsafePointer<UInt8>, _ start: Int, _ count: Int) -> UInt64 {
        var value: UInt64 = 0
        for place in 0..<count { value |= UInt64(base[start &+ place]) &<< UInt64(8 &* place) }
        return value
    }
}

/// The expiry in a datagram: uWSGI sends Unix time, or the number of the request, which is relative to now.
package enum SyncExpiry {
    /// Smaller numbers are relative: Unix time has been beyond this since 1973.
    package static let relativeSecondsMax: Int64 = 100_000_000
    /// Larger numbers are reduced to this one, because their milliseconds would overflow.
    private static let secondsMax: Int64 = 100_000_000_000_000

    /// A number with one more digit.
    @inline(__always)
    static func appending(_ digit: UInt8, to seconds: Int64) -> Int64 {
        min(seconds &* 10 &+ Int64(digit), secondsMax)
    }

    /// Absolute milliseconds; `Int64.max`: never.
    package static func milliseconds(_ seconds: Int64, now: Int64) -> Int64 {
        if seconds <= 0 || seconds >= secondsMax { return Int64.max }
        return seconds < relativeSecondsMax ? now &+ seconds &* 1000 : seconds &* 1000
    }

    /// The whole second by which an item has expired; 0: never.
    package static func seconds(_ milliseconds: Int64) -> Int64 {
        if milliseconds == Int64.max { return 0 }
        return max(1, milliseconds / 1000 &+ (milliseconds % 1000 > 0 ? 1 : 0))
    }
}

/// Writes the datagrams that `SyncDatagram` reads. `out` has room for `SyncDatagram.lengthMax` bytes, and each function
/// returns how many it has written.
package enum SyncEncoder {
    static let storeModifier: UInt8 = 10
    static let deleteModifier: UInt8 = 11
    static let ownModifier: UInt8 = 76
    static let greeting: UInt8 = 0
    static let clear: UInt8 = 1

    /// - Parameters:
    ///   - expires: Unix time; 0: never.
    /// - Returns: nil if the item does not fit a datagram.
    package static func encodeStore(
        key: UnsafeRawPointer, keyLength: Int, value: UnsafeRawPointer, valueLength: Int, expires: Int64,
        clientFlags: UInt32, at out: UnsafeMutablePointer<UInt8>
    ) -> Int? {
        guard keyLength <= SyncDatagram.lengthMax, valueLength <= SyncDatagram.lengthMax else { return nil }
        var digits: (UInt64, UInt64, UInt64) = (0, 0, 0)
        return withUnsafeMutableBytes(of: &digits) { digits in
            // SAFETY: 24 bytes hold the most digits there are.
            let text = digits.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self)
            let textLength = DecimalText.write(UInt64(clamping: expires), at: text)
            let flagsLength = clientFlags == 0 ? 0 : 6
            let length = UwsgiParser.headerLength + 6 + keyLength + valueLength + textLength + flagsLength
            guard length <= SyncDatagram.lengthMax else { return nil }
            // SAFETY: the length was checked, and `out` has room for `lengthMax` bytes.
            var end = UwsgiEncoder.writeHeader(
                bodyLength: length - UwsgiParser.headerLength, modifier: storeModifier, at: out)
            add(key, keyLength, out, &end)
            add(value, valueLength, out, &end)
            add(text, textLength, out, &end)
            if flagsLength > 0 {
                var flags = clientFlags.littleEndian
                add(&flags, 4, out, &end)
            }
            return end
        }
    }

    /// With two bytes of padding, because uWSGI 2.0.30 ignores a delete without them.
    /// - Returns: nil if the key does not fit a datagram.
    package static func encodeDelete(
        key: UnsafeRawPointer, keyLength: Int, at out: UnsafeMutablePointer<UInt8>
    ) -> Int? {
        guard keyLength <= SyncDatagram.lengthMax - UwsgiParser.headerLength - 4 else { return nil }
        var end = UwsgiEncoder.writeHeader(bodyLength: keyLength + 4, modifier: deleteModifier, at: out)
        add(key, keyLength, out, &end)
        addLength(0, out, &end)
        return end
    }

    package static func encodeGreeting(at out: UnsafeMutablePointer<UInt8>) -> Int {
        encodeOwn(greeting, time: 0, at: out)
    }

    /// - Parameter milliseconds: since 1970; 0: now.
    package static func encodeClear(atMilliseconds milliseconds: Int64, at out: UnsafeMutablePointer<UInt8>) -> Int {
        encodeOwn(clear, time: milliseconds, at: out)
    }

    private static func encodeOwn(_ kind: UInt8, time: Int64, at out: UnsafeMutablePointer<UInt8>) -> Int {
        let end = UwsgiEncoder.writeHeader(bodyLength: 9, modifier: ownModifier, at: out)
        out[end] = kind
        var time = time.littleEndian
        // SAFETY: 13 bytes, and `out` has room for a datagram.
        memcpy(out + end + 1, &time, 8)
        return end + 9
    }

    private static func add(
        _ bytes: UnsafeRawPointer, _ length: Int, _ out: UnsafeMutablePointer<UInt8>, _ end: inout Int
    ) {
        addLength(length, out, &end)
        // SAFETY: the caller has checked the length of the whole.
        memcpy(out + end, bytes, length)
        end += length
    }

    private static func addLength(_ length: Int, _ out: UnsafeMutablePointer<UInt8>, _ end: inout Int) {
        out[end] = UInt8(truncatingIfNeeded: length)
        out[end + 1] = UInt8(truncatingIfNeeded: length >> 8)
        end += 2
    }
}
