/// Keys in the spellings that dumps and watchers use, since a key may hold any byte.
package enum KeyText {
    /// Bytes that the longer spelling of a key takes at most.
    package static let lengthMax = 3 * 255

    /// Writes a key as in a URL: letters, digits and `-._~` as they are, any other byte as `%XX`.
    /// - Parameter out: room for `lengthMax` bytes.
    /// - Returns: how many bytes were written.
    package static func writePercentEncoded(
        _ key: UnsafeRawPointer, _ length: Int, at out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        let bytes = UnsafeRawBufferPointer(start: key, count: min(length, 255))
        var written = 0
        // SAFETY: at most three bytes for each of at most 255.
        for byte in bytes {
            if isUnreserved(byte) {
                out[written] = byte
                written &+= 1
            } else {
                out[written] = UInt8(ascii: "%")
                out[written &+ 1] = hexDigits[Int(byte >> 4)]
                out[written &+ 2] = hexDigits[Int(byte & 15)]
                written &+= 3
            }
        }
        return written
    }

    /// The bytes of a text in percent-encoding; nil: a `%` is not followed by two hexadecimal digits.
    package static func percentDecoded(_ text: some Collection<UInt8>) -> [UInt8]? {
        var bytes: [UInt8] = []
        var rest = text.makeIterator()
        while let byte = rest.next() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let high = rest.next().flatMap(digit), let low = rest.next().flatMap(digit) else { return nil }
            bytes.append(high << 4 | low)
        }
        return bytes
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }

    private static func isUnreserved(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
            UInt8(ascii: "~"):
            true
        default: false
        }
    }

    private static var hexDigits: UnsafePointer<UInt8> { ("0123456789ABCDEF" as StaticString).utf8Start }

    /// Whether a text command can name the key: nothing in it ends a word or a line.
    package static func isPlain(_ key: UnsafeRawPointer, _ length: Int) -> Bool {
        UnsafeRawBufferPointer(start: key, count: length).allSatisfy { $0 > UInt8(ascii: " ") && $0 != 0x7f }
    }

    /// Writes a key in base 64, with padding.
    /// - Parameter out: room for `lengthMax` bytes.
    package static func writeBase64(
        _ key: UnsafeRawPointer, _ length: Int, at out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        let bytes = UnsafeRawBufferPointer(start: key, count: min(length, 255))
        let digits =
            ("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/" as StaticString).utf8Start
        var written = 0
        // SAFETY: four bytes for each three begun, of at most 255.
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let left = bytes.count - start
            var word = UInt32(bytes[start]) << 16
            if left > 1 { word |= UInt32(bytes[start + 1]) << 8 }
            if left > 2 { word |= UInt32(bytes[start + 2]) }
            out[written] = digits[Int(word >> 18 & 63)]
            out[written &+ 1] = digits[Int(word >> 12 & 63)]
            out[written &+ 2] = left > 1 ? digits[Int(word >> 6 & 63)] : UInt8(ascii: "=")
            out[written &+ 3] = left > 2 ? digits[Int(word & 63)] : UInt8(ascii: "=")
            written &+= 4
        }
        return written
    }
}
