import LarderWire
import Synchronization

/// `stats detail`: what was asked for, by the part of the key before the delimiter.
///
/// Off unless asked for; then each request takes a lock, as in memcached.
package final class PrefixStatistics: Sendable {
    /// Prefixes counted at most, so that keys from outside cannot fill the memory.
    static let prefixesMax = 65_536

    struct Counts {
        var gets = 0
        var hits = 0
        var sets = 0
        var deletes = 0
    }

    private let enabled: Atomic<Bool>
    private let delimiter: UInt8
    private let prefixes = Mutex<[[UInt8]: Counts]>([:])

    init(isEnabled: Bool, delimiter: UInt8) {
        enabled = Atomic(isEnabled)
        self.delimiter = delimiter
    }

    @inline(__always)
    var isEnabled: Bool { enabled.load(ordering: .relaxed) }
    func setEnabled(_ isEnabled: Bool) { enabled.store(isEnabled, ordering: .relaxed) }

    func record(_ key: UnsafeRawPointer, length: Int, _ change: (inout Counts) -> Void) {
        let bytes = UnsafeRawBufferPointer(start: key, count: length)
        // Prefixes of longer keys could be of any length.
        guard length <= TextParser.keyLengthMax, let end = bytes.firstIndex(of: delimiter) else { return }
        let prefix = [UInt8](bytes[..<end])
        prefixes.withLock { prefixes in
            guard prefixes[prefix] != nil || prefixes.count < Self.prefixesMax else { return }
            change(&prefixes[prefix, default: Counts()])
        }
    }

    func reset() { prefixes.withLock { $0.removeAll() } }

    /// What has been counted until now.
    var counts: [[UInt8]: Counts] { prefixes.withLock { $0 } }
}

/// `stats detail dump`: a line for each prefix, as they were when it was asked for.
final class PrefixDump: AnswerStream {
    private static let prefixesMax = 64
    private let counts: [[UInt8]: PrefixStatistics.Counts]
    private var next: Dictionary<[UInt8], PrefixStatistics.Counts>.Index

    init(_ statistics: PrefixStatistics) {
        counts = statistics.counts
        next = counts.startIndex
    }

    /// In binary all of it is the value of one packet.
    override func writePiece(_ connection: inout Connection, _ context: inout WorkerContext) -> Progress {
        let isBinary = connection.dialect == .binary
        if isBinary, next == counts.startIndex {
            let length = counts.reduce(Self.end.utf8CodeUnitCount) { $0 + Self.line($1.key, $1.value).count }
            connection.beginPacket(key: "detailed", valueLength: length, &context)
        }
        var text: [UInt8] = []
        for _ in 0..<Self.prefixesMax where next != counts.endIndex {
            text += Self.line(counts[next].key, counts[next].value)
            next = counts.index(after: next)
        }
        let isLast = next == counts.endIndex
        if isLast { text += UnsafeBufferPointer(start: Self.end.utf8Start, count: Self.end.utf8CodeUnitCount) }
        text.withUnsafeBufferPointer { connection.write($0, &context) }
        if isLast, isBinary { connection.writeEndOfStatistics(&context) }
        return isLast ? .done : .more
    }

    private static let end: StaticString = "END\r\n"

    private static func line(_ prefix: [UInt8], _ count: PrefixStatistics.Counts) -> [UInt8] {
        Array("PREFIX ".utf8) + encoded(prefix)
            + Array(" get \(count.gets) hit \(count.hits) set \(count.sets) del \(count.deletes)\r\n".utf8)
    }

    /// The prefix as memcached prints it, but with percent-encoding for bytes that would end the word or the line. Keys
    /// of the binary protocol may have any byte. Dumps of keys use the same encoding.
    private static func encoded(_ prefix: [UInt8]) -> [UInt8] {
        guard prefix.contains(where: breaksLine) else { return prefix }
        var text: [UInt8] = []
        for byte in prefix {
            if breaksLine(byte) {
                text += "%\(byte < 16 ? "0" : "")\(String(byte, radix: 16, uppercase: true))".utf8
            } else {
                text.append(byte)
            }
        }
        return text
    }

    private static func breaksLine(_ byte: UInt8) -> Bool { byte <= 0x20 || byte == 0x7f }
}
