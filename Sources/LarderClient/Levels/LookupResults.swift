/// The keys that a lookup found, with the sizes of their values, in the order of the level that was asked.
///
///     for result in try await cache.lookup("myitem*") { print(result.key, result.payloadBytes) }
///
/// They are one run of bytes, in which each result is its value's size and its key's length, 32 bits each with the
/// highest byte first, then the key and a zero.
public struct LookupResults: Sendable, Hashable, Sequence {
    /// One of the keys found.
    public struct Result: Sendable, Hashable {
        /// The key.
        public var key: String
        /// The size of its value in bytes; what 32 bits cannot say is their largest number.
        public var payloadBytes: Int
    }

    /// All of it, encoded.
    public let bytes: [UInt8]

    /// Results that were encoded elsewhere. Those that are not whole are no results: walking ends before them.
    public init(bytes: [UInt8]) { self.bytes = bytes }

    init(_ entries: [LevelEntry]) {
        var bytes: [UInt8] = []
        for entry in entries {
            bytes.appendBigEndian(UInt32(clamping: entry.payloadBytes))
            bytes.appendBigEndian(UInt32(clamping: entry.key.utf8.count))
            bytes += entry.key.utf8
            bytes.append(0)
        }
        self.bytes = bytes
    }

    /// Walks from the first result to the last.
    public func makeIterator() -> Walker { Walker(bytes) }

    /// A place in the results.
    public struct Walker: IteratorProtocol, Sendable {
        private let bytes: [UInt8]
        private var place = 0

        init(_ bytes: [UInt8]) { self.bytes = bytes }

        /// The next result; nil at the end.
        public mutating func next() -> Result? {
            guard let size = number(at: place), let length = number(at: place + 4),
                bytes.count - place - 8 > length, bytes[place + 8 + length] == 0
            else { return nil }
            let start = place + 8
            place = start + length + 1
            return Result(
                key: String(decoding: bytes[start..<start + length], as: UTF8.self), payloadBytes: size)
        }

        private func number(at start: Int) -> Int? {
            guard bytes.count - start >= 4 else { return nil }
            return bytes[start..<start + 4].reduce(0) { $0 << 8 | Int($1) }
        }
    }
}

extension [UInt8] {
    mutating func appendBigEndian<Number: FixedWidthInteger>(_ number: Number) {
        for shift in stride(from: Number.bitWidth - 8, through: 0, by: -8) {
            append(UInt8(truncatingIfNeeded: number >> Number(shift)))
        }
    }
}
