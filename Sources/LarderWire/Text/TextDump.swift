import Glibc

/// What a dump says of an item beside its key.
package struct DumpedItem {
    /// Unix time when it dies; nil: never.
    package var expiryTime: Int64?
    /// Unix time when it was last asked for.
    package var accessTime: Int64
    package var cas: UInt64
    package var wasFetched: Bool
    /// Bytes that it takes, key and header included.
    package var totalBytes: Int
    package var valueBytes: Int
    package var clientFlags: UInt32
    /// The key was given in base 64.
    package var keyIsBinary: Bool

    package init(
        expiryTime: Int64?, accessTime: Int64, cas: UInt64, wasFetched: Bool, totalBytes: Int,
        valueBytes: Int, clientFlags: UInt32, keyIsBinary: Bool = false
    ) {
        self.expiryTime = expiryTime
        self.accessTime = accessTime
        self.cas = cas
        self.wasFetched = wasFetched
        self.totalBytes = totalBytes
        self.valueBytes = valueBytes
        self.clientFlags = clientFlags
        self.keyIsBinary = keyIsBinary
    }
}

/// Writes the lines of key dumps, one call for each item.
package enum TextDump {
    /// Room that every line has enough with.
    package static let lineLengthMax = KeyText.lengthMax + 256

    /// Writes the line for an item in the given form, and returns its length; `out` has room for
    /// `lineLengthMax` bytes.
    package static func encode(
        _ form: KeyDumpForm, key: UnsafeRawPointer, keyLength: Int, _ item: DumpedItem,
        at out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        var line = LineWriter(out)
        switch form {
        case .metadump: metadump(&line, key, keyLength, item)
        case .mgdump: mgdump(&line, key, keyLength, item)
        case .cachedump: cachedump(&line, key, keyLength, item)
        }
        return line.length
    }

    private static func metadump(
        _ line: inout LineWriter, _ key: UnsafeRawPointer, _ keyLength: Int, _ item: DumpedItem
    ) {
        line.add("key=")
        line.length += KeyText.writePercentEncoded(key, keyLength, at: line.end)
        line.add(" exp=")
        if let time = item.expiryTime { line.add(time) } else { line.add("-1") }
        line.add(" la=")
        line.add(item.accessTime)
        line.add(" cas=")
        line.add(item.cas)
        line.add(item.wasFetched ? " fetch=yes" : " fetch=no")
        line.add(" cls=1 size=")
        line.add(Int64(item.totalBytes))
        line.add(" flags=")
        line.add(UInt64(item.clientFlags))
        line.add(" \n")
    }

    private static func mgdump(
        _ line: inout LineWriter, _ key: UnsafeRawPointer, _ keyLength: Int, _ item: DumpedItem
    ) {
        line.add("mg ")
        if !item.keyIsBinary, KeyText.isPlain(key, keyLength) {
            line.add(key, keyLength)
            line.add("\r\n")
        } else {
            line.length += KeyText.writeBase64(key, keyLength, at: line.end)
            line.add(" b\r\n")
        }
    }

    private static func cachedump(
        _ line: inout LineWriter, _ key: UnsafeRawPointer, _ keyLength: Int, _ item: DumpedItem
    ) {
        line.add("ITEM ")
        line.add(key, keyLength)
        line.add(" [")
        line.add(Int64(item.valueBytes))
        line.add(" b; ")
        line.add(item.expiryTime ?? 0)
        line.add(" s]\r\n")
    }
}

/// Puts text and numbers one behind the other.
///
/// SAFETY: whoever makes one has room for all that it adds.
struct LineWriter {
    private let start: UnsafeMutablePointer<UInt8>
    var length = 0

    init(_ start: UnsafeMutablePointer<UInt8>) { self.start = start }

    var end: UnsafeMutablePointer<UInt8> { start + length }

    mutating func add(_ text: StaticString) { add(text.utf8Start, text.utf8CodeUnitCount) }

    mutating func add(_ bytes: UnsafeRawPointer, _ count: Int) {
        memcpy(end, bytes, count)
        length += count
    }

    mutating func add(_ number: UInt64) { length += DecimalText.write(number, at: end) }

    mutating func add(_ number: Int64) {
        if number < 0 { add("-") }
        add(number.magnitude)
    }
}
