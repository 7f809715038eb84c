import Glibc
import LarderStore

/// The arena in a file that a replica writes. It grows when it is full, and evicts no item. Used by one thread.
///
/// An item's cas is the id of the record that set it. Its client flags are the record's.
final class StateFile {
    private var path: String
    private let itemBytesMax: Int
    private var arenaBytes: Int
    /// nil also after the file could not be opened again: the next use tries that once more.
    private var arena: Arena?
    private var isEnded = false
    var state: ReplicaState
    /// Whether the file existed, and certainly has all changes up to its state.
    private(set) var isTrusted = false

    /// A store and the one session that writes it.
    private final class Arena {
        let store: Store
        let session: Session
        init(_ configuration: StoreConfiguration) throws(StoreError) {
            store = try Store(configuration)
            store.noteClock(StoreClock())
            session = try store.makeSession()
        }
    }

    /// The largest arena: 256 GiB.
    private static let arenaBytesMax = 1 << 38

    /// - Parameters:
    ///   - arenaBytes: the size of a new file. An existing file keeps its own.
    ///   - updateBytesMax: the largest record.
    init(_ path: String, arenaBytes: Int, updateBytesMax: Int) throws(ReplicationError) {
        self.path = path
        itemBytesMax = updateBytesMax + 4096
        var bytes = max(1 << 20, arenaBytes)
        // The largest item needs a run of slabs beside the slabs of other items.
        bytes = max(bytes, 4 * itemBytesMax)
        // The store would copy an existing file to another size.
        let there = Int(fileStatus(of: path)?.st_size ?? 0) - 4096
        if there >= 1 << 20, there & (there - 1) == 0 { bytes = there }
        self.arenaBytes = Self.powerOfTwo(bytes)
        state = ReplicaState(build: UInt64.random(in: .min ... .max))
        try open()
        guard let found = ReplicaState(read(ReplicaState.key) ?? []) else { return }
        state = found
        isTrusted = found.isTrusted(inFile: fileNumber(of: path) ?? 0)
    }

    private static func powerOfTwo(_ bytes: Int) -> Int {
        var power = 1 << 20
        while power < bytes, power < arenaBytesMax { power <<= 1 }
        return power
    }

    private func open() throws(ReplicationError) {
        var configuration = StoreConfiguration(
            memoryBytes: arenaBytes, itemBytesMax: itemBytesMax, evicts: false, filePath: path)
        configuration.waitMillisecondsMax = 10_000
        do throws(StoreError) {
            arena = try Arena(configuration)
        } catch {
            throw .stateRefused(error)
        }
    }

    private func opened() throws(ReplicationError) -> Arena {
        if isEnded { throw .closed }
        if arena == nil { try openAgain() }
        guard let arena else { throw .closed }
        guard !arena.session.isCondemned else { throw .stateDamaged }
        return arena
    }

    /// Opens the file after `grow` could not: memory, descriptors or the directory may be there again.
    /// - Throws: `.stateDamaged` if it is not the same file any more, or has lost items.
    private func openAgain() throws(ReplicationError) {
        try open()
        guard let arena, arena.store.recovery.leftOutItems == 0, isSame(arena) else {
            self.arena = nil
            throw .stateDamaged
        }
        state.fileNumber = fileNumber(of: path) ?? 0
    }

    /// Whether the file is the one that was open. The store drops an item that it has no room to replace, so that the
    /// state may be missing.
    private func isSame(_ arena: Arena) -> Bool {
        if let found = read(ReplicaState.key).flatMap({ ReplicaState($0) }) { return found.build == state.build }
        return fileNumber(of: path) == state.fileNumber && arena.store.recovery.items > 0
    }

    /// - Throws: `.stateDamaged` if another program has changed the file.
    func check() throws(ReplicationError) { _ = try opened() }

    // MARK: Items

    /// Applies a record, all but writing down that it was applied.
    func apply(_ entry: UpdateEntry) throws(ReplicationError) {
        guard let changes = entry.record.changes() else { throw .recordUnreadable(id: entry.id) }
        for change in changes {
            guard change.key.count <= ReplicatedCache.keyBytesMax else { throw .recordUnreadable(id: entry.id) }
            switch change.decided(at: entry.id, { version(of: $0) }) {
            case .set(let key, let value, let flags): try set(key, value, flags: flags, id: entry.id)
            case .delete(let key): try delete(key)
            case .clear: try clear()
            case .conditional, nil: break
            }
        }
        state.applied = entry.point
    }

    func set(_ key: [UInt8], _ value: [UInt8], flags: UInt32, id: UInt64) throws(ReplicationError) {
        while true {
            switch store(key, value, flags: flags, id: id, in: try opened()) {
            case .stored: return
            case .noMemory:
                _ = try opened()
                try grow()
            case .tooLarge: throw .updateTooLarge(bytes: key.count + value.count, limit: itemBytesMax - 4096)
            default: throw .stateDamaged
            }
        }
    }

    private func store(
        _ key: [UInt8], _ value: [UInt8], flags: UInt32, id: UInt64, in arena: Arena
    ) -> StoreOutcome {
        let now = StoreClock().now()
        var options = WriteOptions()
        options.newCas = id
        arena.session.begin(now: now)
        defer { arena.session.end() }
        return key.withUnsafeBytes { key in
            value.withUnsafeBytes { value in
                // SAFETY: a key has at least one byte, so its buffer has an address. Of an empty value no byte is
                // read.
                let start = key.baseAddress.unsafelyUnwrapped
                return arena.session.store(
                    .set, arena.session.hashed(start, length: key.count), value: value.baseAddress ?? start,
                    valueLength: value.count, clientFlags: flags, expiry: Int64.max, options, now: now
                ).outcome
            }
        }
    }

    func delete(_ key: [UInt8]) throws(ReplicationError) {
        let arena = try opened()
        let now = StoreClock().now()
        arena.session.begin(now: now)
        defer { arena.session.end() }
        key.withUnsafeBytes { key in
            // SAFETY: a key has at least one byte.
            let start = key.baseAddress.unsafelyUnwrapped
            _ = arena.session.delete(arena.session.hashed(start, length: key.count), now: now)
        }
    }

    /// Removes all items, the state among them. The caller writes it again.
    private func clear() throws(ReplicationError) {
        let arena = try opened()
        arena.session.begin(now: StoreClock().now())
        arena.session.flush()
        arena.session.end()
    }

    private func version(of key: [UInt8]) -> UInt64? {
        find(key) { item, session in session.cas(of: item) }
    }

    private func read(_ key: [UInt8]) -> [UInt8]? {
        find(key) { item, _ in Array(UnsafeRawBufferPointer(start: item.value, count: item.valueLength)) }
    }

    private func find<Result>(_ key: [UInt8], _ body: (Item, borrowing Session) -> Result) -> Result? {
        guard let arena else { return nil }
        let now = StoreClock().now()
        arena.session.begin(now: now)
        defer { arena.session.end() }
        return key.withUnsafeBytes { key in
            // SAFETY: a key has at least one byte. The item is used within the turn.
            let start = key.baseAddress.unsafelyUnwrapped
            return arena.session.find(arena.session.hashed(start, length: key.count), now: now).map {
                body($0, arena.session)
            }
        }
    }

    /// Writes the state to the arena, which must have all changes up to `state.applied`.
    func writeState() throws(ReplicationError) {
        try set(ReplicaState.key, state.encoded(), flags: 0, id: state.applied.id)
    }

    // MARK: Size, place and end

    /// Opens the file at twice the size, with all its items. Readers switch to the new file.
    private func grow() throws(ReplicationError) {
        guard arenaBytes < Self.arenaBytesMax else {
            throw .stateRefused(.memoryOutOfRange(bytes: 2 * Self.arenaBytesMax))
        }
        let before = fileNumber(of: path)
        arena = nil
        arenaBytes *= 2
        do throws(ReplicationError) {
            try open()
        } catch {
            // The disk probably has no room. The file is unchanged.
            arenaBytes /= 2
            try? openAgain()
            throw error
        }
        guard let arena, fileNumber(of: path) != before, arena.store.recovery.leftOutItems == 0 else {
            throw .stateDamaged
        }
        state.fileNumber = fileNumber(of: path) ?? 0
        // Not `writeState`, which may have called this. If there is no room, the next record writes the state.
        _ = store(ReplicaState.key, state.encoded(), flags: 0, id: state.applied.id, in: arena)
    }

    /// Writes this boot and this inode into the state, before the first change of the file. With `isSynced` the disk
    /// has that state before the call returns.
    func begin(isSynced: Bool) throws(ReplicationError) {
        state.isClosed = false
        state.boot = .current
        state.fileNumber = fileNumber(of: path) ?? 0
        try writeState()
        if isSynced { guard try opened().store.syncFile() else { throw .stateDamaged } }
        isTrusted = true
    }

    /// Closes the file, so that a copy of it or the machine's next boot can use it without a rebuild.
    func close() throws(ReplicationError) {
        if isEnded { return }
        defer { abandon() }
        // The changes are synced first: the mark must not be on the disk without them.
        guard try opened().store.syncFile() else { throw .stateDamaged }
        state.isClosed = true
        try writeState()
        guard try opened().store.syncFile() else { throw .stateDamaged }
    }

    /// Closes the file without the mark of an orderly close.
    func abandon() {
        arena = nil
        isEnded = true
    }

    /// Renames the file to the path of another one, which no store has open. Readers of that one switch to this one.
    func takePlace(of other: String) throws(ReplicationError) {
        let arena = try opened()
        do throws(StoreError) {
            try arena.store.takePlace(of: other)
        } catch {
            throw .stateRefused(error)
        }
        path = other
    }
}
