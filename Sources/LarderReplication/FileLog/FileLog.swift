import Glibc
import Synchronization

/// A log in a directory of one machine, for one host, development and tests: docs/log-format.md.
///
/// Processes share it by `flock`. A record is durable when `append` returns: `fdatasync` has written it and all records
/// before it to the disk. Threads that wait for the disk at the same time share one call.
public final class FileLog: UpdateLog {
    /// The directory.
    public let path: String
    private let files: Mutex<LogFiles>
    private let synced = Mutex(Synced())

    /// The end of the records that are on the disk, in the file that was synced last.
    private struct Synced {
        var file: OpenFile?
        var offset = 0
    }

    /// A wait looks at the file again after this time.
    private static let lookMilliseconds = 20
    /// A read ends with the record that reaches this size.
    private static let readBytesMax = 8 << 20

    /// Opens a log, and makes the directory and the log if there is none. A record that a kill left unfinished at the
    /// end is cut off.
    /// - Parameters:
    ///   - path: a directory without other files.
    ///   - segmentBytes: a segment of this size is followed by another one. At least 4096.
    /// - Throws: `.logRefused` if the directory cannot be used, `.logDamaged` if a header or a record of the last
    ///   segment is damaged.
    public init(path: String, segmentBytes: Int = 64 << 20) throws(ReplicationError) {
        self.path = path
        var found = try LogFiles(path, segmentBytes: max(4096, segmentBytes))
        try found.locked { (_: inout LogFiles) throws(ReplicationError) in }
        files = Mutex(found)
    }

    /// Appends records to the last segment, and syncs them to the disk.
    public func append(_ records: [UpdateRecord]) throws(ReplicationError) -> UInt64 {
        try append(records, after: .start).id
    }

    /// Appends records likewise, and tells whether they follow a record.
    public func append(
        _ records: [UpdateRecord], after point: UpdatePoint
    ) throws(ReplicationError) -> AppendedUpdates {
        guard !records.isEmpty else { return AppendedUpdates(id: try latest().id, followsPoint: false) }
        for record in records where record.contents.count > LogFrame.recordBytesMax {
            throw .updateTooLarge(bytes: record.contents.count, limit: LogFrame.recordBytesMax)
        }
        let written = try write(records)
        return AppendedUpdates(id: try finish(written), followsPoint: written.before == point)
    }

    /// The first half of `append`: afterwards other processes may read the records.
    func write(_ records: [UpdateRecord]) throws(ReplicationError) -> Written {
        try files.withLock { (files: inout sending LogFiles) throws(ReplicationError) -> Written in
            try files.locked { (files: inout LogFiles) throws(ReplicationError) -> Written in
                try Self.write(records, &files)
            }
        }
    }

    /// The second half: afterwards the records are durable.
    func finish(_ written: Written) throws(ReplicationError) -> UInt64 {
        do throws(ReplicationError) {
            try sync(written)
            try confirm(written)
        } catch {
            // Other processes may have read it, and the disk may have it or not.
            throw .outcomeUnknown(reason: "\(error)")
        }
        return written.id
    }

    /// The last record of an append, the place after its last byte, and its log.
    struct Written {
        /// The record before the first one.
        var before: UpdatePoint
        var point: UpdatePoint
        var offset: Int
        var file: OpenFile
        var identity: UpdateToken
        /// `LogFiles.openings` at that time.
        var openings: Int

        var id: UInt64 { point.id }
    }

    private static func write(
        _ records: [UpdateRecord], _ files: inout LogFiles
    ) throws(ReplicationError) -> Written {
        if files.isLastFull { try files.roll() }
        let segment = files.last
        let start = segment.end.offset
        let before = segment.end.point
        var bytes: [UInt8] = []
        var places: [(offset: Int, entry: UpdateEntry, bytes: Int)] = []
        for (number, record) in records.enumerated() {
            let entry = UpdateEntry(id: segment.end.point.id &+ UInt64(number) &+ 1, record: record)
            let before = bytes.count
            LogFrame.append(
                id: entry.id, token: record.token, contents: record.contents, seed: segment.header.seed, to: &bytes)
            places.append((start + before, entry, bytes.count - before))
        }
        let written = segment.file.writeSome(bytes, at: start)
        guard written == bytes.count else {
            // The disk may be full.
            let error = SystemText.refused(segment.file.path)
            // Another process may have read whole frames already: they stay. The next append cuts off the rest.
            guard written < places[0].bytes else { throw .outcomeUnknown(reason: "\(error)") }
            _ = ftruncate(segment.file.fd, off_t(start))
            throw error
        }
        for place in places { segment.note(place.entry, at: place.offset, bytes: place.bytes) }
        return Written(
            before: before, point: segment.end.point, offset: segment.end.offset, file: segment.file,
            identity: segment.header.identity, openings: files.openings)
    }

    /// Returns when the disk has everything up to a place.
    private func sync(_ written: Written) throws(ReplicationError) {
        try synced.withLock { (synced: inout sending Synced) throws(ReplicationError) in
            // Another thread synced after this thread's write.
            if synced.file === written.file, synced.offset >= written.offset { return }
            // Other threads may have written behind it.
            let reached = files.withLock { files in
                files.segments.last.flatMap { $0.file === written.file ? $0.end.offset : nil } ?? written.offset
            }
            try written.file.sync()
            synced = Synced(file: written.file, offset: reached)
        }
    }

    /// Makes sure that the record is in the log that is at the path. To remove or to replace the log's files takes no
    /// lock, so that may have been done since the record was written.
    private func confirm(_ written: Written) throws(ReplicationError) {
        try files.withLock { (files: inout sending LogFiles) throws(ReplicationError) in
            try files.refresh()
            guard files.openings != written.openings else { return }
            if files.last.header.identity == written.identity {
                // A snapshot may have taken its place meanwhile.
                if let snapshot = files.snapshot, snapshot.id >= written.id { return }
                let found = try Self.read(after: written.id &- 1, limit: 1, files.segments)
                if found.first?.point == written.point { return }
            }
            throw .logRefused(path: path, reason: "it was replaced while a record was written")
        }
    }

    /// The last whole record's place.
    public func latest() throws(ReplicationError) -> UpdatePoint {
        try files.withLock { (files: inout sending LogFiles) throws(ReplicationError) in
            try files.refresh()
            return files.last.end.point
        }
    }

    /// The records after an id: at most `limit`, or fewer if they reach 8 MiB.
    /// - Throws: `.logDamaged` if a record among them is damaged.
    public func read(after id: UInt64, limit: Int) throws(ReplicationError) -> [UpdateEntry] {
        try files.withLock { (files: inout sending LogFiles) throws(ReplicationError) in
            try files.refresh()
            return try Self.read(after: id, limit: limit, files.segments)
        }
    }

    private static func read(
        after id: UInt64, limit: Int, _ segments: [LogSegment]
    ) throws(ReplicationError) -> [UpdateEntry] {
        var entries: [UpdateEntry] = []
        guard id < UInt64.max, limit > 0 else { return entries }
        var bytes = 0
        let first = segments.lastIndex { $0.firstID <= id &+ 1 } ?? 0
        for place in first..<segments.count {
            let end = place + 1 < segments.count ? segments[place + 1].firstID : UInt64.max
            try segments[place].readOn()
            try segments[place].visit(from: id &+ 1) { entry in
                guard entry.id < end else { return false }
                entries.append(entry)
                bytes += entry.record.contents.count
                return entries.count < limit && bytes < readBytesMax
            }
            if entries.count >= limit || bytes >= readBytesMax { break }
            guard end == UInt64.max || segments[place].end.point.id >= end &- 1 else {
                let damaged = segments[place]
                throw .logDamaged(
                    path: damaged.file.path, offset: damaged.end.offset,
                    reason: "record \(damaged.end.point.id &+ 1)")
            }
        }
        return entries
    }

    /// The place of the newest snapshot; nil: there is none.
    public func snapshot() throws(ReplicationError) -> UpdatePoint? {
        try files.withLock { (files: inout sending LogFiles) throws(ReplicationError) in
            try files.refresh()
            return files.snapshot
        }
    }

    /// Hands the items of a snapshot to `visit`.
    /// - Throws: `.logDamaged` if the snapshot is damaged. Some items may have been visited before.
    public func readSnapshot(
        at point: UpdatePoint, _ visit: (SnapshotItem) throws(ReplicationError) -> Void
    ) throws(ReplicationError) -> Bool {
        let file = try files.withLock { (files: inout sending LogFiles) throws(ReplicationError) -> OpenFile? in
            try files.refresh()
            return files.snapshot == point ? files.snapshotFile : nil
        }
        // The open file stays readable if a newer snapshot replaces it meanwhile.
        guard let file else { return false }
        try SnapshotFile.read(file, visit)
        return true
    }

    /// Writes a snapshot, then removes the records up to its place.
    public func rewrite(
        before point: UpdatePoint, _ next: () throws(ReplicationError) -> SnapshotItem?
    ) throws(ReplicationError) {
        let identity = try files.withLock { (files: inout sending LogFiles) throws(ReplicationError) in
            try files.refresh()
            guard point.id <= files.last.end.point.id else {
                throw ReplicationError.beyondLatest(id: point.id, latest: files.last.end.point.id)
            }
            return files.last.header.identity
        }
        let made = "\(path)/new-snapshot-\(point.id)-\(getpid())-\(UpdateToken.random().low)"
        let file: OpenFile
        do throws(ReplicationError) {
            file = try SnapshotFile.write(made, at: point, identity, next)
        } catch {
            unlink(made)
            throw error
        }
        // The lock of the file is kept until the file has its name.
        defer { withExtendedLifetime(file) {} }
        try files.withLock { (files: inout sending LogFiles) throws(ReplicationError) in
            try files.locked { (files: inout LogFiles) throws(ReplicationError) in
                try files.installSnapshot(made, at: point, identity)
                try files.trim()
            }
        }
    }

    /// Removes the records that the newest snapshot replaces.
    public func trim() throws(ReplicationError) {
        try files.withLock { (files: inout sending LogFiles) throws(ReplicationError) in
            try files.locked { (files: inout LogFiles) throws(ReplicationError) in try files.trim() }
        }
    }

    /// Waits for another record. It looks at the file every 20 ms.
    public func wait(after id: UInt64, milliseconds: Int, wakeups: [Int32]) throws(ReplicationError) -> Bool {
        let deadline = monotonicMilliseconds(in: milliseconds)
        while true {
            if try latest().id != id { return true }
            let left = deadline - monotonicMilliseconds()
            guard left > 0 else { return false }
            var polled = wakeups.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            if poll(&polled, nfds_t(polled.count), Int32(min(left, Int64(Self.lookMilliseconds)))) > 0 {
                return try latest().id != id
            }
        }
    }
}
