import CLarderArena
import Glibc

// SAFETY: `fstat` fills in a struct that is lent to it.

/// The owner of a store's file. It changes when a server starts on the file, or ends.
struct Custody: Equatable {
    /// Whether a process uses the file as its store.
    let isLocked: Bool
    /// The process id in the first superblock; nil: the file has no superblock yet.
    private let processID: UInt64?
    private let isClean: Bool

    init(_ fd: Int32) {
        isLocked = Self.isLocked(fd)
        let superblock = ArenaFile.readSuperblock(fd, at: 0).flatMap {
            $0.magic == UInt64(LARDER_ARENA_MAGIC) ? $0 : nil
        }
        processID = superblock?.owner_pid
        isClean = superblock?.clean == 1
    }

    /// Whether the file is not complete yet. A server that creates a file writes its process id last. An empty file, or
    /// one without a process id, is being created if a process has it locked.
    private func isUnfinished(_ fd: Int32) -> Bool {
        if let processID { return processID == 0 }
        var status = stat()
        return fstat(fd, &status) == 0 && status.st_mode & S_IFMT == S_IFREG && status.st_size == 0
    }

    /// A server locks a new file a moment after creating it. So an unlocked, incomplete file is checked again.
    private static let looksMax = 10
    private static let lookMicroseconds: UInt32 = 5000

    /// The owner of a complete file.
    /// - Throws: `.fileRefused` if the file is being created, or was left incomplete.
    static func settled(_ fd: Int32, _ path: String) throws(StoreError) -> Custody {
        for _ in 0..<looksMax {
            let custody = Custody(fd)
            guard custody.isUnfinished(fd) else { return custody }
            if custody.isLocked { throw .fileRefused(path: path, .beingMade) }
            usleep(lookMicroseconds)
        }
        let custody = Custody(fd)
        guard let processID = custody.processID, processID == 0 else { return custody }
        throw .fileRefused(
            path: path,
            .notAStore(
                reason: "it is half made: its server was killed. The next start of a server completes it"))
    }

    /// The lock is shared, and released at once. A server that starts at this moment tries again for two seconds.
    static func isLocked(_ fd: Int32) -> Bool {
        guard flock(fd, LOCK_SH | LOCK_NB) == 0 else { return errno == EWOULDBLOCK }
        flock(fd, LOCK_UN)
        return false
    }
}
