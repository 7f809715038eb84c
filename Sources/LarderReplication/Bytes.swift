/// Reads numbers and byte strings from untrusted bytes. Every read is compared with the end first.
struct ByteReader {
    private let bytes: [UInt8]
    private(set) var position: Int
    private let end: Int

    /// - Parameters:
    ///   - from: a place within the bytes.
    ///   - end: where to stop; nil: at the end of the bytes.
    init(_ bytes: [UInt8], from: Int = 0, end: Int? = nil) {
        self.bytes = bytes
        self.end = min(bytes.count, max(0, end ?? bytes.count))
        position = min(max(0, from), self.end)
    }

    /// Whether all bytes were read.
    var isAtEnd: Bool { position == end }

    /// The next number, its lowest byte first; nil if there are not enough bytes.
    mutating func number<Number: FixedWidthInteger & UnsignedInteger>(_: Number.Type) -> Number? {
        let size = MemoryLayout<Number>.size
        guard end &- position >= size else { return nil }
        let start = position
        position &+= size
        // SAFETY: `size` bytes from `start` lie within the array, by the guard.
        return bytes.withUnsafeBytes { Number(littleEndian: $0.loadUnaligned(fromByteOffset: start, as: Number.self)) }
    }

    /// The next `count` bytes; nil if there are fewer.
    mutating func take(_ count: Int) -> [UInt8]? {
        guard count >= 0, end &- position >= count else { return nil }
        defer { position &+= count }
        return Array(bytes[position..<position &+ count])
    }
}

extension [UInt8] {
    /// Appends a number, its lowest byte first.
    mutating func append<Number: FixedWidthInteger & UnsignedInteger>(number: Number) {
        // SAFETY: the bytes of a number of this call.
        Swift.withUnsafeBytes(of: number.littleEndian) { append(contentsOf: $0) }
    }

    /// Overwrites bytes with a number.
    mutating func put<Number: FixedWidthInteger & UnsignedInteger>(number: Number, at place: Int) {
        // SAFETY: the bytes of a number of this call; the range is checked by the array.
        Swift.withUnsafeBytes(of: number.littleEndian) { replaceSubrange(place..<place + $0.count, with: $0) }
    }
}
