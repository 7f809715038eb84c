import LarderWire

/// Lines about what a worker did in this turn, for those who watch.
///
/// Empty, and without memory, while nobody does.
struct EventLog {
    struct Entry {
        var id: UInt64
        var streams: WatchedStreams
        /// Where its line ends.
        var end: Int
    }

    private var bytes: [UInt8] = []
    private var entries: [Entry] = []
    /// Events that there was no room for.
    private(set) var dropped = 0

    var isEmpty: Bool { entries.isEmpty && dropped == 0 }
    var count: Int { entries.count }
    var byteCount: Int { bytes.count }

    /// Adds a line, whose text is `body` behind the time and the number.
    mutating func add(_ streams: WatchedStreams, id: UInt64, now: Int64, _ body: (inout [UInt8]) -> Void) {
        bytes += "ts=\(now / 1000).\(now % 1000 * 1000) gid=\(id) ".utf8
        body(&bytes)
        bytes.append(UInt8(ascii: "\n"))
        entries.append(Entry(id: id, streams: streams, end: bytes.count))
    }

    mutating func addDropped(_ count: Int) { dropped += count }

    func visitLines(_ body: (_ line: ArraySlice<UInt8>, _ entry: Entry) -> Void) {
        var start = 0
        for entry in entries {
            body(bytes[start..<entry.end], entry)
            start = entry.end
        }
    }

    mutating func removeAll() { self = EventLog() }
}
