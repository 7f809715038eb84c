import Glibc

/// Applies a log to a state file, in the order of the ids. Used by one thread, which holds the file's lock.
///
/// Readers of the file see each record's changes one by one, and never a change of a later record before one of an
/// earlier record. If the file does not agree with the log, a new file is made beside it, and replaces it when it is
/// complete.
final class Replica {
    private let path: String
    private let arenaBytes: Int
    private let updateBytesMax: Int
    private var file: StateFile?
    /// Whether the file does not have the items that the log leads to.
    private var needsRebuild: Bool
    /// How often the file was rebuilt, and how many records were applied: for tests and statistics.
    private(set) var rebuilds = 0
    private(set) var recordsApplied = 0

    /// Records that one step reads.
    private static let recordsPerStep = 512
    /// How often a rebuild is tried again because the log was rewritten meanwhile.
    private static let rebuildsMax = 100

    init(_ path: String, arenaBytes: Int, updateBytesMax: Int) throws(ReplicationError) {
        self.path = path
        self.arenaBytes = arenaBytes
        self.updateBytesMax = updateBytesMax
        needsRebuild = true
        guard fileNumber(of: path) != nil else { return }
        let file = try StateFile(path, arenaBytes: arenaBytes, updateBytesMax: updateBytesMax)
        self.file = file
        guard file.isTrusted else { return }
        try file.begin(isSynced: file.state.isClosed)
        needsRebuild = false
    }

    /// The record applied last; the start if the file must be rebuilt.
    var applied: UpdatePoint { needsRebuild ? .start : file?.state.applied ?? .start }

    /// Whether readers find the items that the log leads to.
    var isReadable: Bool { !needsRebuild && file != nil }

    /// Applies the next records.
    /// - Returns: whether there may be more.
    func step(_ log: any UpdateLog) throws(ReplicationError) -> Bool {
        if needsRebuild || file == nil {
            try rebuild(log)
            return true
        }
        do throws(ReplicationError) {
            return try applyNext(log)
        } catch .stateDamaged {
            // Readers may find wrong items by now.
            file?.abandon()
            file = nil
            needsRebuild = true
            return true
        }
    }

    private func applyNext(_ log: any UpdateLog) throws(ReplicationError) -> Bool {
        try file?.check()
        let applied = self.applied
        // The last record applied is read again: another token shows that the log was replaced.
        var entries = try log.read(after: max(applied.id, 1) - 1, limit: Self.recordsPerStep + 1)
        if applied.id > 0, entries.first?.id == applied.id {
            guard entries[0].point == applied else { return demandRebuild() }
            entries.removeFirst()
        } else if try !isReplaced(applied, by: log, entries) {
            return demandRebuild()
        }
        for entry in entries {
            guard let file, entry.id == file.state.applied.id &+ 1 else { return demandRebuild() }
            try apply(entry, to: file)
            try file.writeState()
        }
        return entries.count >= Self.recordsPerStep
    }

    /// Whether a snapshot of the log ends with the record applied last, so that the next record follows.
    private func isReplaced(
        _ applied: UpdatePoint, by log: any UpdateLog, _ entries: [UpdateEntry]
    ) throws(ReplicationError) -> Bool {
        let snapshot = try log.snapshot() ?? .start
        guard snapshot == applied else { return false }
        if let first = entries.first { return first.id == applied.id &+ 1 }
        return try log.latest().id == applied.id
    }

    private func demandRebuild() -> Bool {
        needsRebuild = true
        return true
    }

    /// Applies the changes of a record. The caller writes the state.
    private func apply(_ entry: UpdateEntry, to file: StateFile) throws(ReplicationError) {
        guard let changes = entry.record.changes() else { throw .recordUnreadable(id: entry.id) }
        for change in changes {
            guard change.key.count <= ReplicatedCache.keyBytesMax else { throw .recordUnreadable(id: entry.id) }
            switch change {
            case .set(let key, let value, let flags): try file.set(key, value, flags: flags, id: entry.id)
            case .delete(let key): try file.delete(key)
            }
        }
        file.state.applied = entry.point
        recordsApplied += 1
    }

    // MARK: From the beginning

    /// Makes a file from the whole log, and replaces the present one with it.
    private func rebuild(_ log: any UpdateLog) throws(ReplicationError) {
        let beside = path + ".rebuild"
        for _ in 0..<Self.rebuildsMax {
            unlink(beside)
            let fresh = try StateFile(beside, arenaBytes: arenaBytes, updateBytesMax: updateBytesMax)
            guard try fill(fresh, from: log) else { continue }
            file?.abandon()
            file = nil
            try fresh.takePlace(of: path)
            file = fresh
            needsRebuild = false
            rebuilds += 1
            return
        }
        throw .logRefused(path: path, reason: "its history is rewritten faster than it can be read")
    }

    /// - Returns: false if the log was rewritten meanwhile.
    private func fill(_ fresh: StateFile, from log: any UpdateLog) throws(ReplicationError) -> Bool {
        if let snapshot = try log.snapshot() {
            let isWhole = try log.readSnapshot(at: snapshot) { item throws(ReplicationError) in
                try fresh.set(item.key, item.value, flags: item.flags, id: item.id)
            }
            guard isWhole else { return false }
            fresh.state.applied = snapshot
        }
        let goal = try log.latest()
        while fresh.state.applied.id < goal.id {
            let entries = try log.read(after: fresh.state.applied.id, limit: Self.recordsPerStep)
            guard let first = entries.first, first.id == fresh.state.applied.id &+ 1 else { return false }
            for entry in entries { try apply(entry, to: fresh) }
        }
        try fresh.begin(isSynced: false)
        return true
    }

    /// Closes the file. If it agrees with the log, it is marked as closed.
    func close() throws(ReplicationError) {
        if needsRebuild { file?.abandon() } else { try file?.close() }
        file = nil
    }
}
