import Glibc

/// One file of records. Used under the log's lock.
final class LogSegment {
    let file: OpenFile
    let header: LogFileHeader

    /// The place behind the last frame that was read, and that frame.
    struct End {
        var offset: Int
        var point: UpdatePoint
    }
    private(set) var end: End
    /// The place of a frame, and that frame's id.
    private struct Mark {
        var id: UInt64
        var offset: Int
    }
    /// A frame is marked when so many frames or bytes lie behind the last mark: a read begins at the last one before
    /// it.
    private var marks: [Mark] = []
    private static let framesPerMark: UInt64 = 64
    private static let bytesPerMark = 1 << 20
    private static let chunkBytes = 1 << 20

    init(_ file: OpenFile) throws(ReplicationError) {
        self.file = file
        guard let header = LogFileHeader(try file.read(at: 0, count: LogFileHeader.bytes)), header.kind == .segment,
            header.id > 0, header.id < UInt64(Int64.max)
        else { throw .logDamaged(path: file.path, offset: 0, reason: "its header is no segment's") }
        self.header = header
        end = End(
            offset: LogFileHeader.bytes, point: UpdatePoint(id: header.id &- 1, token: header.token))
    }

    var firstID: UInt64 { header.id }

    /// Reads what was appended since the last time: whole frames in the order of their ids.
    func readOn() throws(ReplicationError) {
        guard hasMore else { return }
        _ = try scan(from: end) { [self] offset, entry, bytes in
            note(entry, at: offset, bytes: bytes)
            return true
        }
    }

    /// Takes note of a frame behind the last one.
    func note(_ entry: UpdateEntry, at offset: Int, bytes: Int) {
        let isDue =
            marks.last.map { entry.id &- $0.id >= Self.framesPerMark || offset &- $0.offset >= Self.bytesPerMark }
        if isDue ?? true { marks.append(Mark(id: entry.id, offset: offset)) }
        end = End(offset: offset + bytes, point: entry.point)
    }

    /// Whether there are bytes after the last whole frame: a frame that is being written, or was left by a kill.
    var hasMore: Bool { file.size > end.offset }

    /// Visits the frames from an id on, up to the last one that was read.
    /// - Parameter visit: returns whether to go on.
    func visit(from id: UInt64, _ visit: (UpdateEntry) -> Bool) throws(ReplicationError) {
        guard id <= end.point.id, let mark = lastMark(upTo: max(id, firstID)) else { return }
        let start = End(offset: mark.offset, point: UpdatePoint(id: mark.id &- 1, token: .zero))
        let last = end.point.id
        var isStopped = false
        let reached = try scan(from: start) { _, entry, _ in
            if entry.id > last { return false }
            if entry.id >= id { isStopped = !visit(entry) }
            return !isStopped
        }
        // A frame that was whole at the first read is damaged now.
        guard isStopped || reached.point.id >= last else {
            throw .logDamaged(path: file.path, offset: reached.offset, reason: "record \(reached.point.id &+ 1)")
        }
    }

    /// By halving: marks are in the order of their ids, and the first frame has one.
    private func lastMark(upTo id: UInt64) -> Mark? {
        var low = 0
        var high = marks.count
        while low < high {
            let middle = low + (high - low) / 2
            if marks[middle].id <= id { low = middle + 1 } else { high = middle }
        }
        return low > 0 ? marks[low - 1] : nil
    }

    /// Visits the frames while they are whole and in order, and `visit` returns true.
    /// - Returns: the place after the last frame that was visited.
    private func scan(
        from start: End, _ visit: (_ offset: Int, UpdateEntry, _ bytes: Int) -> Bool
    ) throws(ReplicationError) -> End {
        var place = start
        var chunk: [UInt8] = []
        var chunkStart = place.offset
        var wanted = Self.chunkBytes
        while true {
            switch LogFrame.find(in: chunk, at: place.offset &- chunkStart, seed: header.seed) {
            case .frame(let entry, let bytes):
                guard entry.id == place.point.id &+ 1, visit(place.offset, entry, bytes) else { return place }
                place = End(offset: place.offset + bytes, point: entry.point)
            case .nothing: return place
            case .part(let bytes):
                let had = chunk.count &- (place.offset &- chunkStart)
                wanted = max(Self.chunkBytes, bytes)
                chunkStart = place.offset
                chunk = try file.read(at: chunkStart, count: min(wanted, max(0, file.size - chunkStart)))
                // The file ends before the frame does.
                guard chunk.count > had, chunk.count >= bytes else { return place }
            }
        }
    }

    /// After a failed `sync`: hands what was written to the disk once more. The caller has the log's lock.
    /// - Throws: `.logDamaged` if the system's memory does not have it any more.
    func writeAgain() throws(ReplicationError) {
        try visit(from: firstID) { _ in true }
        try file.writeAgain(upTo: end.offset)
    }

    /// Removes a frame that a kill or a power failure left unfinished after the last whole one. The caller has the
    /// log's lock, so no process is writing it.
    /// - Throws: `.logDamaged` if whole frames follow. Then the log is damaged before them, and nothing is cut off.
    func cutTail() throws(ReplicationError) {
        let rest = try file.read(at: end.offset, count: max(0, file.size - end.offset))
        guard !LogFrame.isAny(in: rest, behind: 0, after: end.point.id, seed: header.seed) else {
            throw .logDamaged(path: file.path, offset: end.offset, reason: "record \(end.point.id &+ 1)")
        }
        guard ftruncate(file.fd, off_t(end.offset)) == 0 else { throw SystemText.refused(file.path) }
        try file.sync()
    }
}
