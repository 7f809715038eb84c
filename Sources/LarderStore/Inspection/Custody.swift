import CLarderArena
import Glibc

/// In whose hands a store's file is: what changes when a server starts on it, or ends.
struct Custody: Equatable {
    /// Whether a process has the file as its store.
    let isLocked: Bool
    /// What the first superblock says; nil: there is none yet.
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

    /// Whoever makes a file writes its process down last: until then parts of it are missing. A file that is empty, or
    /// holds a superblock of no process, is one that is being made, if somebody has it.
    private func isUnfinished(_ fd: Int32) -> Bool {
        if let processID { return processID == 0 }
        var status = stat()
        return fstat(fd, &status) == 0 && status.st_mode & S_IFMT == S_IFREG && status.st_size == 0
    }

    /// A file that is made is locked a moment after its name is there.
    private static let looksMax = 10
    private static let lookMicroseconds: UInt32 = 5000

    /// Who has a file that is made.
    /// - Throws: `.fileRefused`: it is being made, or was left half made.
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
                reason: "it is half made: its server was killed meanwhile, and the next one makes the rest"))
    }

    /// Taken shared and given back at once: a server that starts at this very moment tries again for two seconds.
    static func isLocked(_ fd: Int32) -> Bool {
        guard flock(fd, LOCK_SH | LOCK_NB) == 0 else { return errno == EWOULDBLOCK }
        flock(fd, LOCK_UN)
        return false
    }
}
