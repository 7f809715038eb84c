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

    /// The lines of `stats detail dump`, without the closing `END`.
    func dump() -> [UInt8] {
        var text: [UInt8] = []
        for (prefix, counts) in prefixes.withLock({ $0 }) {
            text += Array("PREFIX ".utf8) + prefix
            text += Array(" get \(counts.gets) hit \(counts.hits) set \(counts.sets) del \(counts.deletes)\r\n".utf8)
        }
        return text
    }
}
