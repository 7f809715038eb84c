/// Keys in base64, as memcached reads and writes them: bytes that belong to no alphabet are passed
/// over, and the padding must be there.
package enum Base64Key {
    /// Room for the text of any key of 255 bytes.
    package static let textLengthMax = 340

    /// Decodes a key of at most 250 bytes of text.
    ///
    /// - Parameter out: room for as many bytes as the text has.
    /// - Returns: the bytes written; 0 when the text is no base64.
    package static func decode(
        _ text: UnsafePointer<UInt8>, _ length: Int, into out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        // SAFETY: four characters give three bytes, so `count` stays below the index of the text.
        var letters = 0
        for index in 0..<max(0, length) where value(text[index]) != nil { letters &+= 1 }
        guard letters > 0, letters % 4 == 0 else { return 0 }
        var count = 0
        var group: UInt32 = 0
        var inGroup = 0
        var padding = 0
        for index in 0..<max(0, length) {
            guard let six = value(text[index]) else { continue }
            if text[index] == UInt8(ascii: "=") { padding &+= 1 }
            group = group &<< 6 | six
            inGroup &+= 1
            guard inGroup == 4 else { continue }
            out[count] = UInt8(truncatingIfNeeded: group &>> 16)
            out[count &+ 1] = UInt8(truncatingIfNeeded: group &>> 8)
            out[count &+ 2] = UInt8(truncatingIfNeeded: group)
            count &+= 3
            // The padding ends the key.
            if padding > 0 { return padding <= 2 ? count &- padding : 0 }
            group = 0
            inGroup = 0
        }
        return count
    }

    /// Writes a key's base64 text.
    ///
    /// - Parameter out: room for `textLengthMax` bytes.
    /// - Returns: the bytes written.
    package static func encode(
        _ key: UnsafePointer<UInt8>, _ length: Int, into out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        // SAFETY: each turn reads what is left of `key`, three bytes at most, and writes four.
        let letters = alphabet.utf8Start
        var read = 0
        var written = 0
        while read < length {
            let left = length &- read
            let first = UInt32(key[read]) &<< 16
            let second = left > 1 ? UInt32(key[read &+ 1]) &<< 8 : 0
            let third = left > 2 ? UInt32(key[read &+ 2]) : 0
            let group = first | second | third
            out[written] = letters[Int(group &>> 18)]
            out[written &+ 1] = letters[Int(group &>> 12 & 63)]
            out[written &+ 2] = left > 1 ? letters[Int(group &>> 6 & 63)] : UInt8(ascii: "=")
            out[written &+ 3] = left > 2 ? letters[Int(group & 63)] : UInt8(ascii: "=")
            read &+= 3
            written &+= 4
        }
        return written
    }

    private static let alphabet: StaticString =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

    /// Six bits; the padding counts as zero. Nil: no letter of base64.
    private static func value(_ letter: UInt8) -> UInt32? {
        switch letter {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt32(letter &- UInt8(ascii: "A"))
        case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt32(letter &- UInt8(ascii: "a") &+ 26)
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(letter &- UInt8(ascii: "0") &+ 52)
        case UInt8(ascii: "+"): 62
        case UInt8(ascii: "/"): 63
        case UInt8(ascii: "="): 0
        default: nil
        }
    }
}
