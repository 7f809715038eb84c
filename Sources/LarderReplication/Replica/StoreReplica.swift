import Glibc
package import LarderStore

/// An item as a replica has it.
package struct ReplicaItem: Sendable {
    package var value: [UInt8]
    /// memcached's client flags.
    package var flags: UInt32
    /// The id of the record that set the value.
    package var version: UInt64

    /// An item.
    package init(value: [UInt8], flags: UInt32, version: UInt64) {
        self.value = value
        self.flags = flags
        self.version = version
    }
}

/// Applies a log to a store that a server's workers read at the same time. Used by one thread.
///
/// `Replica` replaces a file that does not agree with the log. Here the workers have the store open, so the store is
/// brought up to date in place: keys get their later values, and keys that the log does not have are removed. The store
/// has a fixed size. The file has the same items and the same state as that of a `ReplicatedCache`, so other processes
/// of the machine can read it in place.
package final class StoreReplica {
    private let store: Store
    private let path: String
    private let session: Session
    private let lock: OpenFile
    private let signal: ReplicaSignal
    private let listener: Int32?
    private var state: ReplicaState
    private var damagesSeen: Int
    /// Whether the store does not have the items that the log leads to.
    private var needsLoad = true
    /// Versions of all keys while the store is loaded.
    private var loadedVersions: [[UInt8]: UInt64]?
    /// How often the store was loaded from the beginning of the log.
    package private(set) var loads = 0
    /// Records that were applied.
    package private(set) var recordsApplied = 0

    /// Records that one step reads.
    private static let recordsPerStep = 512
    /// How often a load is tried again because the log was rewritten meanwhile.
    private static let loadsMax = 100

    /// - Parameters:
    ///   - store: a store in the file `path`, with evictions off. Its items are there already.
    ///   - signal: of the same path.
    /// - Throws: the reason if another process applies a log to this file.
    package init(_ store: Store, path: String, _ signal: ReplicaSignal) throws(ReplicationError) {
        self.store = store
        self.path = path
        self.signal = signal
        lock = try OpenFile(path + ".lock", O_RDWR | O_CREAT)
        guard lock.tryLock() else { throw .logRefused(path: path + ".lock", reason: "another process has locked it") }
        do throws(StoreError) {
            session = try store.makeSession()
        } catch {
            throw .stateRefused(error)
        }
        listener = signal.wakeup.listen()
        damagesSeen = store.damageReport.count
        state = ReplicaState(build: UInt64.random(in: .min ... .max))
        guard let found = item(ReplicaState.key).flatMap({ ReplicaState($0.value) }) else { return }
        state = found
        guard found.isTrusted(inFile: fileNumber(of: path) ?? 0), store.recovery.leftOutItems == 0 else { return }
        try begin(isSynced: found.isClosed)
        needsLoad = false
    }

    /// The record applied last; the start if the store must be loaded.
    package var applied: UpdatePoint { needsLoad ? .start : state.applied }

    /// Whether readers find the items that the log leads to.
    package var isReadable: Bool { !needsLoad }

    // MARK: Applying

    /// Applies the next records. A step that loads the store takes as long as the log is to be read.
    /// - Parameter mayGoOn: called between the pieces of a load; false ends it.
    /// - Returns: whether there may be more.
    package func step(
        _ log: any UpdateLog, mayGoOn: () -> Bool = { true }
    ) throws(ReplicationError) -> Bool {
        signal.wakeup.drain(listener)
        noteDamage()
        if needsLoad {
            try load(log, mayGoOn)
            return true
        }
        // The last record applied is read again: another token shows that the log was replaced.
        var entries = try log.read(after: max(applied.id, 1) - 1, limit: Self.recordsPerStep + 1)
        if applied.id > 0, entries.first?.id == applied.id {
            guard entries[0].point == applied else { return demandLoad() }
            entries.removeFirst()
            // A large record comes alone, so those behind it may be missing.
            if entries.isEmpty { entries = try log.read(after: applied.id, limit: Self.recordsPerStep) }
        } else if try !isReplaced(applied, by: log, entries) {
            return demandLoad()
        }
        for entry in entries {
            guard entry.id == state.applied.id &+ 1 else { return demandLoad() }
            _ = try apply(entry)
        }
        return entries.count >= Self.recordsPerStep
    }

    /// Whether a snapshot of the log ends with the record applied last, so that the next record follows.
    private func isReplaced(
        _ applied: UpdatePoint, by log: any UpdateLog, _ entries: [UpdateEntry]
    ) throws(ReplicationError) -> Bool {
        guard try log.snapshot() ?? .start == applied else { return false }
        if let first = entries.first { return first.id == applied.id &+ 1 }
        return try log.latest().id == applied.id
    }

    private func demandLoad() -> Bool {
        needsLoad = true
        return true
    }

    /// Whether no other program is known to have changed the store's file since the last step. A decision that rests on
    /// items must not be written if it has. Ask after the items were read.
    package var isSound: Bool {
        // In this order, since a worker that empties the store counts that before the store is sound again.
        !session.isCondemned && store.damageReport.count == damagesSeen
    }

    /// A store whose file was changed by another program is emptied.
    private func noteDamage() {
        if session.isCondemned { session.repair() }
        guard store.damageReport.count != damagesSeen else { return }
        damagesSeen = store.damageReport.count
        needsLoad = true
    }

    /// Applies the record that follows.
    /// - Returns: whether its last change changed a key: its condition held, and a removed key was there.
    package func apply(_ entry: UpdateEntry) throws(ReplicationError) -> Bool {
        let isChanged = try change(entry)
        state.applied = entry.point
        recordsApplied += 1
        try writeState()
        return isChanged
    }

    private func change(_ entry: UpdateEntry) throws(ReplicationError) -> Bool {
        guard let changes = entry.record.changes() else { throw .recordUnreadable(id: entry.id) }
        var isChanged = false
        for change in changes {
            guard change.key.count <= ReplicatedCache.keyBytesMax else { throw .recordUnreadable(id: entry.id) }
            switch change.decided(at: entry.id, { version(of: $0) }) {
            case .set(let key, let value, let flags):
                try set(key, value, flags: flags, id: entry.id)
                isChanged = true
            case .delete(let key): isChanged = delete(key)
            case .clear:
                clear()
                isChanged = true
            case .conditional, nil: isChanged = false
            }
        }
        return isChanged
    }

    // MARK: Loading

    /// Brings all items of the store to the state of the log. The store may have any items before.
    private func load(_ log: any UpdateLog, _ mayGoOn: () -> Bool) throws(ReplicationError) {
        // A kill in the middle must not leave a state that is trusted.
        state.isClosed = false
        state.boot = BootIdentity(high: 0, low: 0)
        state.build = UInt64.random(in: .min ... .max)
        state.applied = .start
        try writeState()
        defer { loadedVersions = nil }
        for _ in 0..<Self.loadsMax {
            guard mayGoOn() else { throw .closed }
            loadedVersions = [:]
            guard try fill(log, mayGoOn) else { continue }
            removeKeysNotLoaded()
            loadedVersions = nil
            try begin(isSynced: false)
            needsLoad = false
            loads += 1
            return
        }
        throw .logRefused(path: path, reason: "its history is rewritten faster than it can be read")
    }

    /// - Returns: false if the log was rewritten meanwhile.
    private func fill(_ log: any UpdateLog, _ mayGoOn: () -> Bool) throws(ReplicationError) -> Bool {
        var applied = UpdatePoint.start
        if let snapshot = try log.snapshot() {
            let isWhole = try log.readSnapshot(at: snapshot) { item throws(ReplicationError) in
                try set(item.key, item.value, flags: item.flags, id: item.id)
            }
            guard isWhole else { return false }
            applied = snapshot
        }
        let goal = try log.latest()
        while applied.id < goal.id {
            guard mayGoOn() else { throw .closed }
            let entries = try log.read(after: applied.id, limit: Self.recordsPerStep)
            guard entries.first?.id == applied.id &+ 1 else { return false }
            for entry in entries {
                _ = try change(entry)
                applied = entry.point
                recordsApplied += 1
            }
        }
        state.applied = applied
        return true
    }

    private func removeKeysNotLoaded() {
        guard let loaded = loadedVersions else { return }
        var others: [[UInt8]] = []
        inTurn { _ in
            withUnsafeTemporaryAllocation(of: Item.self, capacity: ItemWalk.itemsMax) { items in
                guard let items = items.baseAddress else { return }
                var walk = ItemWalk()
                while !walk.isComplete {
                    for place in 0..<session.nextItems(&walk, into: items) {
                        // SAFETY: an item is valid until the session changes something, within its turn.
                        let key = Array(UnsafeRawBufferPointer(start: items[place].key, count: items[place].keyLength))
                        if key != ReplicaState.key, loaded[key] == nil { others.append(key) }
                    }
                }
            }
        }
        loadedVersions = nil
        for key in others { _ = delete(key) }
    }

    // MARK: Items

    private func inTurn<Result>(_ body: (_ now: Int64) -> Result) -> Result {
        let now = StoreClock().now()
        session.begin(now: now)
        defer { session.end() }
        return body(now)
    }

    /// The item under a key; nil: there is none. If the item is damaged, the replica is not sound afterwards.
    package func item(_ key: [UInt8]) -> ReplicaItem? {
        inTurn { now in
            key.withUnsafeBytes { bytes -> ReplicaItem? in
                guard let start = bytes.baseAddress else { return nil }
                // SAFETY: the item's bytes are copied within the turn.
                return session.find(session.hashed(start, length: bytes.count), now: now).map { found in
                    // First copied, then checked: bytes that change meanwhile are noticed.
                    defer { check(found) }
                    return ReplicaItem(
                        value: Array(UnsafeRawBufferPointer(start: found.value, count: found.valueLength)),
                        flags: found.clientFlags, version: session.cas(of: found))
                }
            }
        }
    }

    private func version(of key: [UInt8]) -> UInt64? {
        if let loadedVersions { return loadedVersions[key] }
        return inTurn { now in
            key.withUnsafeBytes { bytes -> UInt64? in
                guard let start = bytes.baseAddress else { return nil }
                return session.find(session.hashed(start, length: bytes.count), now: now).map { found in
                    defer { check(found) }
                    return session.cas(of: found)
                }
            }
        }
    }

    /// A wrong answer is gone with its connection, but a wrong record stays in the log. So the system's notice of a
    /// changed file is not enough here.
    private func check(_ item: Item) {
        if !session.isIntact(item) { session.condemn() }
    }

    private func set(_ key: [UInt8], _ value: [UInt8], flags: UInt32, id: UInt64) throws(ReplicationError) {
        var options = WriteOptions()
        options.newCas = id
        // An answer repeats such a key in base64.
        options.keyIsBinary = key.contains { $0 <= 0x20 || $0 == 0x7f }
        let outcome = inTurn { now in
            key.withUnsafeBytes { key in
                value.withUnsafeBytes { value in
                    // SAFETY: a key has at least one byte, so its buffer has an address. Of an empty value no byte is
                    // read.
                    let start = key.baseAddress.unsafelyUnwrapped
                    return session.store(
                        .set, session.hashed(start, length: key.count), value: value.baseAddress ?? start,
                        valueLength: value.count, clientFlags: flags, expiry: Int64.max, options, now: now
                    ).outcome
                }
            }
        }
        switch outcome {
        case .stored: loadedVersions?[key] = id
        case .tooLarge:
            throw .logRefused(
                path: path, reason: "a value of \(value.count) bytes is larger than -I allows: raise it, and restart")
        default:
            throw .logRefused(path: path, reason: "the cache has no room for record \(id): raise -m, and restart")
        }
    }

    /// - Returns: whether the key was there.
    private func delete(_ key: [UInt8]) -> Bool {
        let wasThere = loadedVersions?.removeValue(forKey: key) != nil
        let isDeleted = inTurn { now in
            key.withUnsafeBytes { bytes in
                guard let start = bytes.baseAddress else { return false }
                return session.delete(session.hashed(start, length: bytes.count), now: now) == .stored
            }
        }
        return loadedVersions == nil ? isDeleted : wasThere
    }

    private func clear() {
        loadedVersions?.removeAll()
        inTurn { _ in session.flush() }
    }

    // MARK: State

    private func writeState() throws(ReplicationError) {
        let versions = loadedVersions
        loadedVersions = nil
        defer { loadedVersions = versions }
        try set(ReplicaState.key, state.encoded(), flags: 0, id: state.applied.id)
    }

    /// Makes the file this boot's, before the first change of it. `isSynced`: the disk has that first.
    private func begin(isSynced: Bool) throws(ReplicationError) {
        state.isClosed = false
        state.boot = .current
        state.fileNumber = fileNumber(of: path) ?? 0
        try writeState()
        if isSynced { _ = store.syncFile() }
    }

    /// Marks the file as whole, so that the machine's next boot goes on from here. Call it once, last.
    package func close() {
        if let listener { signal.wakeup.endListening(listener) }
        defer { lock.unlock() }
        // The changes first: the mark must not be on the disk without them.
        guard !needsLoad, !session.isCondemned, store.syncFile() else { return }
        state.isClosed = true
        guard (try? writeState()) != nil else { return }
        _ = store.syncFile()
    }

    /// Waits until the log has another record than the one applied last, or somebody wakes this thread.
    package func wait(_ log: any UpdateLog, milliseconds: Int) throws(ReplicationError) {
        let wakeups = [signal.wakeup.descriptor] + (listener.map { [$0] } ?? [])
        _ = try log.wait(after: applied.id, milliseconds: milliseconds, wakeups: wakeups)
    }

    /// Waits without a log.
    package func rest(milliseconds: Int32) {
        var polled = pollfd(fd: signal.wakeup.descriptor, events: Int16(POLLIN), revents: 0)
        _ = poll(&polled, 1, milliseconds)
        signal.wakeup.drain(listener)
    }
}

/// Wakes the thread of a `StoreReplica`.
package final class ReplicaSignal: Sendable {
    let wakeup: Wakeup

    /// - Parameter path: of the store's file.
    package init(path: String) throws(ReplicationError) { wakeup = try Wakeup(path) }

    /// Ends the wait under way, or the next one. Any thread may call it.
    package func wake() { wakeup.wakeOwn() }
}
