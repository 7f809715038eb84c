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
        guard let end = bytes.firstIndex(of: delimiter) else { return }
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

    override func writePiece(_ connection: inout Connection, _ context: inout WorkerContext) -> Progress {
        var text: [UInt8] = []
        for _ in 0..<Self.prefixesMax where next != counts.endIndex {
            let (prefix, count) = counts[next]
            text += "PREFIX ".utf8
            text += prefix
            text += " get \(count.gets) hit \(count.hits) set \(count.sets) del \(count.deletes)\r\n".utf8
            next = counts.index(after: next)
        }
        let isLast = next == counts.endIndex
        if isLast { text += "END\r\n".utf8 }
        text.withUnsafeBufferPointer { connection.write($0, &context) }
        return isLast ? .done : .more
    }
}
