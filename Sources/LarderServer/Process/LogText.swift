/// Escapes bytes from outside for the log. All of them go through here. So no client can begin a line, move a
/// terminal's cursor, or make one byte look like another.
enum LogText {
    /// The longest text that is shown in full. The rest of a longer one is cut off.
    static let bytesMax = 4096

    /// Printable ASCII as it is; any other byte, and the backslash, as `\xNN`.
    static func escaped(_ bytes: UnsafeBufferPointer<UInt8>) -> String {
        var text: [UInt8] = []
        text.reserveCapacity(min(bytes.count, bytesMax))
        for byte in bytes.prefix(bytesMax) {
            if (0x20..<0x7f).contains(byte), byte != UInt8(ascii: "\\") {
                text.append(byte)
            } else {
                text += [UInt8(ascii: "\\"), UInt8(ascii: "x"), digit(byte >> 4), digit(byte & 15)]
            }
        }
        if bytes.count > bytesMax { text += "... (\(bytes.count) bytes)".utf8 }
        return String(decoding: text, as: UTF8.self)
    }

    private static func digit(_ value: UInt8) -> UInt8 {
        value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + (value - 10)
    }
}
