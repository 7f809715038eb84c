import Glibc
import LarderStore

extension ReplicatedCache {
    /// Replaces the records of the log up to one of them by a snapshot of the items that they lead to. It may run
    /// beside writers, and beside replicas that have not read those records. These replicas load the snapshot, and lose
    /// the keys that are not in it. To run it again is harmless. This process needs memory for all items of the
    /// snapshot.
    /// - Parameters:
    ///   - id: the last record to be replaced; nil: the last one of the log.
    ///   - isKept: whether an item stays in the log. Otherwise its key is missing in new replicas, and in replicas that
    ///     load the snapshot. Replicas that have applied the replaced records keep it.
    /// - Throws: `.beyondLatest` if the log has no such record yet, or the log's error.
    public func rewriteHistory(
        before id: UInt64? = nil, keeping isKept: @escaping @Sendable (SnapshotItem) -> Bool = { _ in true }
    ) async throws(ReplicationError) {
        let log = log
        try await Self.blocking { () throws(ReplicationError) in try History.rewrite(log, before: id, isKept) }
    }

    /// Writes a copy of the state file for a new machine. Copy it there under the name of its state file, before the
    /// first process opens it. That replica then reads only the records that came after the end of the copy.
    /// - Parameter path: the file to write. An existing file is replaced.
    /// - Throws: `.stateRefused` if the file cannot be written, `.unavailable` if the state file cannot be read, or the
    ///   log's error.
    public func snapshotFile(to path: String) async throws(ReplicationError) {
        try await Self.blocking { [self] () throws(ReplicationError) in
            while try !copyState(to: path) {}
        }
    }

    /// - Returns: false if the state file was rebuilt meanwhile, or the log was rewritten.
    private func copyState(to path: String) throws(ReplicationError) -> Bool {
        // The state is read before the items. Records that the items may already have are applied to the copy again.
        guard let state = patiently({ readers.state() }), let keys = patiently({ readers.sortedKeys() }) else {
            throw .unavailable
        }
        let made = path + ".copying"
        unlink(made)
        let copy = try StateFile(
            made, arenaBytes: configuration.arenaBytes, updateBytesMax: configuration.updateBytesMax)
        // A record that is being applied may be seen before the state says so.
        var newest: UInt64 = 0
        for key in keys {
            let item = try read(key) {
                SnapshotItem(key: key, value: Array($0.value), flags: $0.clientFlags, id: $0.cas)
            }
            guard let item else { continue }
            newest = max(newest, item.id)
            try copy.set(key, item.value, flags: item.flags, id: item.id)
        }
        guard let after = patiently({ readers.state() }) else { throw .unavailable }
        copy.state.applied = state.applied
        copy.state.build = state.build
        guard after.build == state.build, try goOn(copy, upTo: max(after.applied.id, newest)) else {
            copy.abandon()
            unlink(made)
            return false
        }
        try copy.close()
        guard rename(made, path) == 0 else { throw .stateRefused(.fileRefused(path: path, .system(errno: errno))) }
        return true
    }
}

extension ReplicatedCache {
    /// Applies the records that the items of a copy may have already. Without them, the copy would be newer than its
    /// state says, and its replica would go back to older values.
    /// - Returns: false if the log does not have them any more, or one of them depends on what its key had. Such a record
    ///   may not be applied to items that are newer.
    private func goOn(_ copy: StateFile, upTo id: UInt64) throws(ReplicationError) -> Bool {
        while copy.state.applied.id < id {
            let left = Int(clamping: id &- copy.state.applied.id)
            let entries = try log.read(after: copy.state.applied.id, limit: min(History.recordsPerRead, left))
            guard entries.first?.id == copy.state.applied.id &+ 1 else { return false }
            for entry in entries {
                guard entry.record.changes()?.contains(where: \.isConditional) != true else { return false }
                try copy.apply(entry)
            }
        }
        return true
    }
}

/// Replays the records of a log into items, and writes these items as a snapshot.
package enum History {
    static let recordsPerRead = 1024

    /// Replaces the records up to one of them, or all, by a snapshot.
    /// - Parameters:
    ///   - isKept: whether the snapshot has an item.
    ///   - progress: called after each read, with the id of the last record read and that of the last one to read.
    package static func rewrite(
        _ log: any UpdateLog, before id: UInt64?, _ isKept: (SnapshotItem) -> Bool,
        progress: (UInt64, UInt64) -> Void = { _, _ in }
    ) throws(ReplicationError) {
        while true {
            let latest = try log.latest().id
            let limit = id ?? latest
            guard limit <= latest else { throw .beyondLatest(id: limit, latest: latest) }
            // An earlier call made this snapshot, but may have been killed before `trim`.
            if try log.snapshot()?.id ?? 0 >= limit { return try log.trim() }
            guard let (point, items) = try replay(log, upTo: limit, progress) else { continue }
            var next = items.values.filter(isKept).makeIterator()
            return try log.rewrite(before: point) { next.next() }
        }
    }

    /// - Returns: nil if another process has rewritten the log meanwhile.
    private static func replay(
        _ log: any UpdateLog, upTo limit: UInt64, _ progress: (UInt64, UInt64) -> Void
    ) throws(ReplicationError) -> (UpdatePoint, [[UInt8]: SnapshotItem])? {
        var items: [[UInt8]: SnapshotItem] = [:]
        var point = UpdatePoint.start
        if let snapshot = try log.snapshot() {
            guard try log.readSnapshot(at: snapshot, { items[$0.key] = $0 }) else { return nil }
            point = snapshot
        }
        while point.id < limit {
            let left = Int(clamping: limit &- point.id)
            let entries = try log.read(after: point.id, limit: min(recordsPerRead, left))
            if entries.isEmpty { return nil }
            for entry in entries {
                guard entry.id == point.id &+ 1 else { return nil }
                guard let changes = entry.record.changes() else { throw .recordUnreadable(id: entry.id) }
                for change in changes { apply(change, entry.id, to: &items) }
                point = entry.point
            }
            progress(point.id, limit)
        }
        return (point, items)
    }

    private static func apply(_ change: UpdateChange, _ id: UInt64, to items: inout [[UInt8]: SnapshotItem]) {
        switch change.decided(at: id, { items[$0]?.id }) {
        case .set(let key, let value, let flags):
            items[key] = SnapshotItem(key: key, value: value, flags: flags, id: id)
        case .delete(let key): items[key] = nil
        case .clear: items = [:]
        case .conditional, nil: break
        }
    }
}
