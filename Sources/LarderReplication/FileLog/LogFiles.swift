import Glibc

/// The files of a log, as far as this process knows them. Used under the log's mutex of this process. "Locked" in the
/// comments means that the caller also holds the `flock` between processes.
struct LogFiles {
    let path: String
    /// Processes lock this file. Its first eight bytes are the generation, which rises with each change of the files.
    private var lockFile: OpenFile
    private var directory: OpenFile
    private let segmentBytes: Int
    /// How long another process may hold the lock.
    private let lockMillisecondsMax: Int
    private var generation: UInt64?
    private(set) var segments: [LogSegment] = []
    private(set) var snapshot: UpdatePoint?
    private(set) var snapshotFile: OpenFile?
    /// Whether the log was listed once. Its files are not made a second time, since a log whose files were removed would
    /// then have no records.
    private var isBegun = false
    /// Rises when files at the log's paths may be others than before.
    private(set) var openings = 0

    init(_ path: String, segmentBytes: Int, lockMillisecondsMax: Int = 10_000) throws(ReplicationError) {
        self.path = path
        self.segmentBytes = segmentBytes
        self.lockMillisecondsMax = lockMillisecondsMax
        let isMade = mkdir(path, 0o700) == 0
        guard isMade || errno == EEXIST else { throw SystemText.refused(path) }
        // With `/.` the path may also be a link to the directory.
        directory = try OpenFile(path + "/.", O_RDONLY | O_DIRECTORY)
        if isMade { try OpenFile(path + "/..", O_RDONLY | O_DIRECTORY).syncNames() }
        lockFile = try OpenFile(path + "/lock", O_RDWR | O_CREAT)
    }

    /// The segment that records are appended to. It exists as soon as the files were listed.
    var last: LogSegment { segments[segments.count - 1] }

    // MARK: Lock and generation

    /// Runs `body` while no other process writes.
    mutating func locked<Result>(
        _ body: (inout LogFiles) throws(ReplicationError) -> Result
    ) throws(ReplicationError) -> Result {
        let held = try lock()
        defer { held.unlock() }
        try listIfChanged()
        try last.readOn()
        for segment in segments where segment.file.mayLackBytes { try segment.writeAgain() }
        if last.hasMore { try last.cutTail() }
        return try body(&self)
    }

    /// Reads the changes of other processes since the last call. Takes the lock only if files were added or removed.
    mutating func refresh() throws(ReplicationError) {
        try follow()
        let isKnown = try generation == readGeneration()
        if !isKnown || segments.isEmpty {
            let held = try lock()
            defer { held.unlock() }
            try listIfChanged()
        }
        try last.readOn()
    }

    /// Takes the lock of the log that is at the path.
    /// - Returns: the file that is locked.
    private mutating func lock() throws(ReplicationError) -> OpenFile {
        while true {
            try follow()
            let file = lockFile
            try file.lock(milliseconds: lockMillisecondsMax)
            // The log may have been replaced while its lock was awaited.
            if file.isAtItsPath { return file }
            file.unlock()
        }
    }

    /// Forgets files that were removed or replaced, and opens those that are at the paths now.
    /// - Throws: `.logRefused` if there is no log. It is not made anew.
    private mutating func follow() throws(ReplicationError) {
        let isLocked = lockFile.isAtItsPath
        if isLocked, segments.last?.file.isAtItsPath ?? true { return }
        segments = []
        snapshot = nil
        snapshotFile = nil
        generation = nil
        openings += 1
        guard !isLocked else { return }
        directory = try OpenFile(path + "/.", O_RDONLY | O_DIRECTORY)
        lockFile = try OpenFile(path + "/lock", O_RDWR)
    }

    private func readGeneration() throws(ReplicationError) -> UInt64 {
        var reader = ByteReader(try lockFile.read(at: 0, count: 8))
        return reader.number(UInt64.self) ?? 0
    }

    /// Locked, and called before a file is added or removed. After a kill between the two, the number has risen, so all
    /// processes list the files again.
    private mutating func noteChange() throws(ReplicationError) {
        var bytes: [UInt8] = []
        bytes.append(number: try readGeneration() &+ 1)
        try lockFile.write(bytes, at: 0)
    }

    /// Locked.
    private mutating func listIfChanged() throws(ReplicationError) {
        let found = try readGeneration()
        guard found != generation || segments.isEmpty else { return }
        try list()
        if segments.isEmpty {
            guard !isBegun else { throw .logRefused(path: path, reason: "its files were removed") }
            try begin()
        }
        isBegun = true
        generation = try readGeneration()
    }

    // MARK: Names

    static func segmentName(_ firstID: UInt64) -> String { "segment-" + padded(firstID) }
    static func snapshotName(_ id: UInt64) -> String { "snapshot-" + padded(id) }

    private static func padded(_ number: UInt64) -> String {
        let digits = String(number, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    private static func number(_ name: String, _ prefix: String) -> UInt64? {
        guard name.hasPrefix(prefix), name.utf8.count == prefix.utf8.count + 16 else { return nil }
        return UInt64(name.dropFirst(prefix.count), radix: 16)
    }

    private func names() throws(ReplicationError) -> [String] {
        guard let listing = opendir(path) else { throw SystemText.refused(path) }
        defer { closedir(listing) }
        var names: [String] = []
        while let entry = readdir(listing) {
            // SAFETY: d_name is an array of 256 bytes that ends with a zero.
            names.append(
                withUnsafePointer(to: &entry.pointee.d_name) {
                    $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                })
        }
        return names
    }

    /// Locked. Lists the files. Segments that are still there keep what was read of them.
    private mutating func list() throws(ReplicationError) {
        let names = try names()
        var found: [LogSegment] = []
        for first in names.compactMap({ Self.number($0, "segment-") }).sorted() {
            let name = path + "/" + Self.segmentName(first)
            if let known = segments.first(where: { $0.firstID == first }),
                fileNumber(of: name) == Self.number(of: known.file)
            {
                found.append(known)
            } else {
                found.append(try openSegment(first))
            }
        }
        segments = found
        let newest = names.compactMap { Self.number($0, "snapshot-") }.max()
        guard let newest else {
            snapshot = nil
            snapshotFile = nil
            return
        }
        if snapshot?.id != newest { try openSnapshot(newest) }
    }

    private static func number(of file: OpenFile) -> UInt64? {
        var status = stat()
        return fstat(file.fd, &status) == 0 ? UInt64(status.st_ino) : nil
    }

    private func openSegment(_ first: UInt64) throws(ReplicationError) -> LogSegment {
        let file = try OpenFile(path + "/" + Self.segmentName(first), O_RDWR)
        let segment = try LogSegment(file)
        guard segment.firstID == first, segments.isEmpty || segment.header.identity == segments[0].header.identity
        else { throw .logDamaged(path: file.path, offset: 0, reason: "its header is another segment's") }
        return segment
    }

    private mutating func openSnapshot(_ id: UInt64) throws(ReplicationError) {
        let file = try OpenFile(path + "/" + Self.snapshotName(id), O_RDONLY)
        guard let header = LogFileHeader(try file.read(at: 0, count: LogFileHeader.bytes)),
            header.kind == .snapshot, header.id == id
        else { throw .logDamaged(path: file.path, offset: 0, reason: "its header is no snapshot's") }
        snapshot = UpdatePoint(id: id, token: header.token)
        snapshotFile = file
    }

    // MARK: Changes of the files

    /// Locked. The first segment of a log, or the one behind a snapshot.
    private mutating func begin() throws(ReplicationError) {
        let start = snapshot ?? .start
        try addSegment(after: start, identity: .random(), frames: [])
    }

    /// Locked. Begins a segment behind the last record.
    mutating func roll() throws(ReplicationError) {
        // A record must not be durable before the records of earlier segments.
        try last.file.sync()
        try addSegment(after: last.end.point, identity: last.header.identity, frames: [])
    }

    private mutating func addSegment(
        after point: UpdatePoint, identity: UpdateToken, frames: [UInt8]
    ) throws(ReplicationError) {
        let header = LogFileHeader(kind: .segment, identity: identity, id: point.id &+ 1, token: point.token)
        try noteChange()
        try install(header.encoded() + frames, as: Self.segmentName(header.id))
        segments.append(try openSegment(header.id))
        try last.readOn()
        generation = try readGeneration()
    }

    private func install(_ bytes: [UInt8], as name: String) throws(ReplicationError) {
        let made = path + "/new-" + name
        let file = try OpenFile(made, O_RDWR | O_CREAT | O_TRUNC)
        try file.write(bytes, at: 0)
        try file.sync()
        try rename(made, to: name)
    }

    private func rename(_ made: String, to name: String) throws(ReplicationError) {
        guard Glibc.rename(made, path + "/" + name) == 0 else { throw SystemText.refused(made) }
        try directory.syncNames()
    }

    /// Locked. Gives a finished snapshot its name, unless there is a newer one.
    /// - Parameter identity: of the log that the snapshot was made of.
    mutating func installSnapshot(
        _ made: String, at point: UpdatePoint, _ identity: UpdateToken
    ) throws(ReplicationError) {
        guard last.header.identity == identity else {
            unlink(made)
            throw .logRefused(path: path, reason: "it was replaced while a snapshot was written")
        }
        guard point.id > snapshot?.id ?? 0 else {
            unlink(made)
            return
        }
        try noteChange()
        try rename(made, to: Self.snapshotName(point.id))
        try list()
        generation = try readGeneration()
    }

    /// Locked. Removes the segments that the newest snapshot replaces, the beginning of the next one, and older
    /// snapshots.
    mutating func trim() throws(ReplicationError) {
        guard let snapshot else { return }
        if let place = segments.lastIndex(where: { $0.firstID <= snapshot.id }) {
            try noteChange()
            if segments.count == place + 1 || segments[place + 1].firstID > snapshot.id &+ 1 {
                try keepRest(of: segments[place], isLast: segments.count == place + 1, after: snapshot)
                // The new segment is out of its order until the names are listed again, even after an error.
                generation = nil
            }
            for old in segments where old.firstID <= snapshot.id { unlink(old.file.path) }
        }
        for name in try names() where isLeftOver(name, snapshot) { unlink(path + "/" + name) }
        try directory.syncNames()
        try list()
        generation = try readGeneration()
    }

    /// Whether a file is an older snapshot, or was left by a kill.
    private func isLeftOver(_ name: String, _ snapshot: UpdatePoint) -> Bool {
        if name.hasPrefix("new-segment-") { return true }
        if name.hasPrefix("new-snapshot-") {
            return (try? OpenFile(path + "/" + name, O_RDONLY))?.tryLock() ?? false
        }
        return Self.number(name, "snapshot-").map { $0 < snapshot.id } ?? false
    }

    /// Copies the records behind the snapshot into a segment of their own.
    private mutating func keepRest(
        of segment: LogSegment, isLast: Bool, after snapshot: UpdatePoint
    ) throws(ReplicationError) {
        try segment.readOn()
        let identity = segment.header.identity
        var frames: [UInt8] = []
        let end = isLast ? UInt64.max : segments.first { $0.firstID > segment.firstID }?.firstID ?? UInt64.max
        try segment.visit(from: snapshot.id &+ 1) { entry in
            guard entry.id < end else { return false }
            LogFrame.append(
                id: entry.id, token: entry.record.token, contents: entry.record.contents, seed: identity.high,
                to: &frames)
            return true
        }
        try addSegment(after: snapshot, identity: identity, frames: frames)
    }

    /// Whether the last segment is full.
    var isLastFull: Bool { last.end.offset >= segmentBytes }
}
