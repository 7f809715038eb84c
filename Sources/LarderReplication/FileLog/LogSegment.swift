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
    /// The offsets of every 64th frame. A read begins at the last of them before its first record.
    private var marks: [Int] = []
    private static let framesPerMark: UInt64 = 64
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
        if (entry.id &- firstID) % Self.framesPerMark == 0 { marks.append(offset) }
        end = End(offset: offset + bytes, point: entry.point)
    }

    /// Whether there are bytes after the last whole frame: a frame that is being written, or was left by a kill.
    var hasMore: Bool { file.size > end.offset }

    /// Visits the frames from an id on, up to the last one that was read.
    /// - Parameter visit: returns whether to go on.
    func visit(from id: UInt64, _ visit: (UpdateEntry) -> Bool) throws(ReplicationError) {
        guard id <= end.point.id else { return }
        let mark = Int(clamping: (max(id, firstID) &- firstID) / Self.framesPerMark)
        let known = min(mark, marks.count - 1)
        guard known >= 0 else { return }
        let before = firstID &+ UInt64(known) &* Self.framesPerMark &- 1
        let start = End(offset: marks[known], point: UpdatePoint(id: before, token: .zero))
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
