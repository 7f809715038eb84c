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

    typealias Pause = () throws(ReplicationError) -> Void

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

    /// Applies the next records. A step that makes the file anew takes as long as the log is to be read.
    /// - Parameter pause: called between the pieces of a step that makes the file anew. An error ends the step.
    /// - Returns: whether there may be more.
    func step(_ log: any UpdateLog, _ pause: Pause = {}) throws(ReplicationError) -> Bool {
        if needsRebuild || file == nil {
            try rebuild(log, pause)
            return true
        }
        do throws(ReplicationError) {
            return try applyNext(log)
        } catch .stateDamaged {
            abandon()
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
            // A large record comes alone, so those behind it may be missing.
            if entries.isEmpty { entries = try log.read(after: applied.id, limit: Self.recordsPerStep) }
        } else if try !isReplaced(applied, by: log, entries) {
            return demandRebuild()
        }
        for entry in entries {
            guard entry.id == self.applied.id &+ 1 else { return demandRebuild() }
            try apply(entry)
        }
        return entries.count >= Self.recordsPerStep
    }

    private func apply(_ entry: UpdateEntry) throws(ReplicationError) {
        guard let file else { return }
        try file.apply(entry)
        recordsApplied += 1
        try file.writeState()
    }

    /// Applies records that the log has directly after `point`.
    /// - Returns: false if another record was applied last. Nothing is applied then.
    func apply(_ records: [UpdateRecord], after point: UpdatePoint) throws(ReplicationError) -> Bool {
        guard isReadable, applied == point else { return false }
        do throws(ReplicationError) {
            try file?.check()
            for record in records { try apply(UpdateEntry(id: applied.id &+ 1, record: record)) }
        } catch .stateDamaged {
            abandon()
        }
        return !needsRebuild
    }

    /// Readers may find wrong items by now.
    private func abandon() {
        file?.abandon()
        file = nil
        needsRebuild = true
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

    // MARK: From the beginning

    /// Makes a file from the whole log, and replaces the present one with it.
    private func rebuild(_ log: any UpdateLog, _ pause: Pause) throws(ReplicationError) {
        let beside = path + ".rebuild"
        for _ in 0..<Self.rebuildsMax {
            unlink(beside)
            let fresh = try StateFile(beside, arenaBytes: arenaBytes, updateBytesMax: updateBytesMax)
            guard try fill(fresh, from: log, pause) else { continue }
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
    private func fill(
        _ fresh: StateFile, from log: any UpdateLog, _ pause: Pause
    ) throws(ReplicationError) -> Bool {
        if let snapshot = try log.snapshot() {
            var items = 0
            let isWhole = try log.readSnapshot(at: snapshot) { item throws(ReplicationError) in
                try fresh.set(item.key, item.value, flags: item.flags, id: item.id)
                items += 1
                if items % Self.recordsPerStep == 0 { try pause() }
            }
            guard isWhole else { return false }
            fresh.state.applied = snapshot
        }
        let goal = try log.latest()
        while fresh.state.applied.id < goal.id {
            let entries = try log.read(after: fresh.state.applied.id, limit: Self.recordsPerStep)
            guard let first = entries.first, first.id == fresh.state.applied.id &+ 1 else { return false }
            for entry in entries {
                try fresh.apply(entry)
                recordsApplied += 1
            }
            try pause()
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
