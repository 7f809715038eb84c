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
    /// Lines for the log.
    let notices: [String]
    /// Set to have a recovery end early.
    let isStopping = Atomic(false)
    let report = Mutex(RecoveryReport())
    /// How far a recovery is.
    let slabsJudged = Atomic(0)

    enum Plan {
        /// It was made just now.
        case nothing
        /// It holds an arena of this geometry.
        case rebuild
    }

    init(_ path: String, _ geometry: Geometry, _ configuration: StoreConfiguration) throws(StoreError) {
        var notices: [String] = []
        var file = try ArenaFile.open(path)
        do {
            var plan = Plan.nothing
            var seed = configuration.hashSeed ?? UInt64.random(in: .min ... .max)
            let bytes = geometry.arenaBytes + FileSuperblock.trailerBytes
            switch FileSuperblock.examine(file) {
            case .empty: break
            case .arena(geometry, let superblock):
                plan = .rebuild
                seed = superblock.hash_seed
                if file.size != bytes {
                    notices.append("\(path) has \(file.size) bytes instead of \(bytes): what it holds is kept")
                }
            case .arena(let other, _):
                try Self.replace(
                    &file, "it is made for \(other.arenaBytes >> 20) MB", configuration, &notices)
            case .unusable(let reason):
                try Self.replace(&file, reason, configuration, &notices)
            }
            try file.allocate(bytes)
            base = try file.map(bytes)
            secondSuperblock = (base + geometry.arenaBytes).bindMemory(to: larder_superblock.self, capacity: 1)
            let superblock = base.bindMemory(to: larder_superblock.self, capacity: 1)
            switch plan {
            case .nothing:
                Store.format(base, geometry, seed: seed)
                FileSuperblock.write(secondSuperblock, geometry, seed: seed)
            case .rebuild:
                // One of the two may be damaged.
                FileSuperblock.writeFixed(superblock, geometry, seed: seed)
                FileSuperblock.writeFixed(secondSuperblock, geometry, seed: seed)
            }
            FileSuperblock.writeOwner(superblock)
            self.file = file
            self.plan = plan
            self.notices = notices
            mappedBytes = bytes
            sync =
                configuration.fileSyncSeconds > 0
                ? FileSync(base, bytes, seconds: configuration.fileSyncSeconds) : nil
        } catch {
            file.close()
            throw error
        }
    }

    deinit {
        sync?.stop()
        larder_guard_remove(base)
        munmap(base, mappedBytes)
        file.close()
    }

    /// Puts an empty file in the place of one that cannot be used.
    private static func replace(
        _ file: inout ArenaFile, _ reason: String, _ configuration: StoreConfiguration, _ notices: inout [String]
    ) throws(StoreError) {
        if configuration.deletesBadFile {
            try file.delete()
            notices.append("\(file.path) was deleted: \(reason)")
        } else {
            let name = try file.setAside()
            notices.append("\(file.path) was renamed \(name), and a new store begun: \(reason)")
        }
        let path = file.path
        file.close()
        file = try ArenaFile.open(path)
    }
}
