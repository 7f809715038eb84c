import CLarderArena
import Glibc
import Synchronization

/// The file that a store's arena lies in, mapped: from the beginning to the store's end.
///
/// The arena, and behind it a page with the second superblock. Everything that is not there yet, or
/// cannot be used, is decided here; what the arena holds is found by `Store.recover`.
final class StoreFile: Sendable {
    // SAFETY: a mapping that lives as long as this object.
    nonisolated(unsafe) let base: UnsafeMutableRawPointer
    nonisolated(unsafe) let secondSuperblock: UnsafeMutablePointer<larder_superblock>
    let file: ArenaFile
    let mappedBytes: Int
    private let sync: FileSync?
    /// What is to be done to fill the arena.
    let plan: Plan
    /// What is to be carried over, until that is done.
    let oldArena: Mutex<OldArena?>
    /// Lines for the log.
    let notices: [String]
    /// Set to have a recovery end early.
    let isStopping = Atomic(false)
    let report = Mutex(RecoveryReport())
    /// How far a recovery is.
    let slabsJudged = Atomic(0)
    /// The damage of the store since it was opened.
    let damage = Mutex(DamageReport())
    private let watch = Mutex<FileWatch?>(nil)

    enum Plan {
        /// It was made just now.
        case nothing
        /// It holds an arena of this geometry.
        case rebuild
        /// It is a new file beside one that holds an arena of another geometry, whose place it is to take.
        case resize
        /// It is the store of another process, which hands it over.
        case takeOver
    }

    /// The file of another process's store, which this one is to take over. It is locked already: the lock is the open
    /// file's, which both processes have.
    init(
        takingOver descriptor: Int32, _ path: String, _ geometry: Geometry, _ configuration: StoreConfiguration
    ) throws(StoreError) {
        file = ArenaFile(fd: descriptor, path: path, isEmpty: false, isKept: configuration.isKept)
        plan = .takeOver
        oldArena = Mutex(nil)
        notices = []
        mappedBytes = geometry.arenaBytes + FileSuperblock.trailerBytes
        base = try file.map(mappedBytes)
        secondSuperblock = (base + geometry.arenaBytes).bindMemory(to: larder_superblock.self, capacity: 1)
        sync = FileSync(base, mappedBytes, seconds: configuration.fileSyncSeconds)
    }

    init(_ path: String, _ geometry: Geometry, _ configuration: StoreConfiguration) throws(StoreError) {
        var notices: [String] = []
        var file = try Self.open(path, configuration)
        do {
            var plan = Plan.nothing
            var old: OldArena?
            var seed = configuration.hashSeed ?? UInt64.random(in: .min ... .max)
            var version = UInt32(LARDER_ARENA_VERSION)
            let bytes = geometry.arenaBytes + FileSuperblock.trailerBytes
            switch FileSuperblock.examine(file) {
            case .empty:
                // Before it gets its size: a kill meanwhile leaves a store of which a part is missing.
                try file.writeSuperblock(geometry, seed: seed)
            case .arena(geometry, let superblock):
                plan = .rebuild
                seed = superblock.hash_seed
                version = superblock.version
                if file.size != bytes {
                    notices.append("\(path) has \(file.size) bytes instead of \(bytes): what it holds is kept")
                }
            case .arena(let other, let superblock):
                let beside = try Self.openBeside(file)
                old = try OldArena(file, other, superblock)
                plan = .resize
                file = beside
            case .unusable(let reason):
                try Self.replace(&file, reason, configuration, &notices)
                try file.writeSuperblock(geometry, seed: seed)
            }
            try file.allocate(bytes)
            base = try file.map(bytes)
            secondSuperblock = (base + geometry.arenaBytes).bindMemory(to: larder_superblock.self, capacity: 1)
            let superblock = base.bindMemory(to: larder_superblock.self, capacity: 1)
            switch plan {
            case .nothing, .resize:
                Store.format(base, geometry, seed: seed)
                FileSuperblock.write(secondSuperblock, geometry, seed: seed)
            case .rebuild:
                // One of the two may be damaged.
                FileSuperblock.writeFixed(superblock, geometry, seed: seed, version: version)
                FileSuperblock.writeFixed(secondSuperblock, geometry, seed: seed, version: version)
            case .takeOver: break
            }
            FileSuperblock.writeOwner(superblock)
            self.file = file
            self.plan = plan
            oldArena = Mutex(old)
            self.notices = notices
            mappedBytes = bytes
            sync = FileSync(base, bytes, seconds: configuration.fileSyncSeconds)
        } catch {
            // What was begun, and may take up what space there is, is of no use to anybody.
            if file.path != path || file.isEmpty { file.remove() }
            file.close()
            throw error
        }
    }

    private static func open(_ path: String, _ configuration: StoreConfiguration) throws(StoreError) -> ArenaFile {
        guard configuration.isKept else { return try ArenaFile.open(path) }
        guard let memory = configuration.keptMemory else { return try ArenaFile.newMemory(path) }
        return try ArenaFile.kept(memory, path)
    }

    deinit {
        sync?.stop()
        // Not filled: the old one is still there, and whole.
        if case .resize = plan, report.withLock({ !$0.isComplete }) { file.remove() }
        larder_guard_remove(base)
        munmap(base, mappedBytes)
        file.close()
    }

    /// Watches the file for changes by other programs.
    /// - Parameter damage: set when a change is noticed. It must live longer than this object.
    func watchForChanges(_ damage: UnsafeMutablePointer<UInt32>) {
        // No other program can open it by a name.
        if file.isKept { return larder_guard_store(base, damage, -1) }
        let watching = FileWatch(file.fd, file.path, damage: damage)
        watch.withLock { $0 = watching }
        larder_guard_store(base, damage, watching?.watchDescriptor ?? -1)
    }

    /// The file, to be watched for one thread. The caller frees the path.
    func watched(_ damage: UnsafeMutablePointer<UInt32>) -> larder_watched_store {
        larder_watched_store(fd: file.fd, path: strdup(file.path), damage: damage)
    }

    /// Waits until a change is noticed. For tests.
    func awaitChange() { watch.withLock { $0?.awaitEnd() } }

    /// Ends the watch. Call it before `damage` is freed.
    func stopWatching() {
        larder_guard_store(base, nil, -1)
        watch.withLock { watch in
            watch?.stop()
            watch = nil
        }
    }

    /// The number of pages of the mapping that lie beyond the end of the file.
    var pagesMissing: UInt64 { UInt64(max(0, mappedBytes - file.size) / Int(LARDER_PAGE_BYTES)) }

    /// Replaces the mapping of the file by memory of the process, all zeros. False if there is no memory.
    func leave() -> Bool {
        // Stop the watch first: it would report the next line as a change.
        stopWatching()
        // Processes that read the file in place must not use it as the store any more.
        FileSuperblock.retire(file)
        // SAFETY: the mapping is this object's, and no session is in a section of the store.
        let mapped = mmap(
            base, mappedBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0)
        return mapped != MAP_FAILED
    }

    private static let newSuffix = ".new"

    private static func openBeside(_ file: ArenaFile) throws(StoreError) -> ArenaFile {
        let path = file.path + newSuffix
        if file.isKept { return try ArenaFile.newMemory(path) }
        // If another server uses that file as its store, this server does not start.
        let found = try ArenaFile.open(path)
        guard !found.isEmpty else { return found }
        // What a kill left of an earlier attempt.
        unlink(path)
        found.close()
        return try ArenaFile.open(path)
    }

    /// Puts the filled file in the place of the old one, which goes.
    func takePlace() throws(StoreError) {
        let path = String(file.path.dropLast(Self.newSuffix.count))
        // Its disk space comes back with the end of this.
        let old = oldArena.withLock { old in
            defer { old = nil }
            return old
        }
        // Before it loses its name: a kill in between would leave readers with a file that nobody writes.
        old?.retire()
        if file.isKept { return }
        guard rename(file.path, path) == 0 else { throw .fileRefused(path: path, .system(errno: errno)) }
    }

    /// What the file is called: one that is being filled will be.
    var path: String {
        if case .resize = plan { String(file.path.dropLast(Self.newSuffix.count)) } else { file.path }
    }

    /// Puts an empty file in the place of one that cannot be used.
    private static func replace(
        _ file: inout ArenaFile, _ reason: String, _ configuration: StoreConfiguration, _ notices: inout [String]
    ) throws(StoreError) {
        if file.isKept {
            let memory = try ArenaFile.newMemory(file.path)
            notices.append("\(file.path) was not used, and a new store was begun: \(reason)")
            file.close()
            file = memory
            return
        }
        if configuration.deletesBadFile {
            try file.delete()
            notices.append("\(file.path) was deleted: \(reason)")
        } else {
            let (name, replaced) = try file.setAside()
            let loss = replaced ? " (an older file of that name was deleted)" : ""
            notices.append("\(file.path) was renamed \(name)\(loss), and a new store was begun: \(reason)")
        }
        let path = file.path
        file.close()
        file = try ArenaFile.open(path)
    }
}
