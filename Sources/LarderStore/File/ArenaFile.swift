import CLarderArena
import Glibc

/// A store's file, open and locked: nobody else has it as long as this does.
///
/// The lock is `flock`'s, so it ends with the process, however that ends.
struct ArenaFile {
    let fd: Int32
    let path: String
    /// Whether there was nothing in it.
    let isEmpty: Bool
    /// Whether it is memory without a name, which ends with its last descriptor: `path` is only shown.
    var isKept = false

    /// How long to wait for a lock. A process that was killed keeps its lock until its memory is taken
    /// down, and another may have been started in the same millisecond.
    private static let lockMilliseconds = 2000
    private static let lockStepMilliseconds = 5
    /// Whoever sets a file aside, or carries it over, changes what the path names.
    private static let openedAgainMax = 100

    /// Opens and locks the file at `path`, and makes one if there is none.
    /// - Throws: `.fileRefused`: something that a server must not use or cannot have.
    static func open(_ path: String) throws(StoreError) -> ArenaFile {
        for _ in 0..<openedAgainMax {
            // A fifo would make the call wait for a writer, hence O_NONBLOCK.
            let flags = O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK
            let fd = Glibc.open(path, flags, 0o600)
            guard fd >= 0 else { throw refusal(path, errno: errno) }
            do {
                let size = try checkKind(fd, path)
                try lock(fd, path)
                // The path may name another file by now: one that its last owner put in its place.
                if isStillAt(path, fd) { return ArenaFile(fd: fd, path: path, isEmpty: size == 0) }
                Glibc.close(fd)
            } catch {
                Glibc.close(fd)
                throw error
            }
        }
        throw .fileRefused(path: path, .system(errno: EBUSY))
    }

    /// Takes memory that an earlier process has left, or empty memory. The caller makes sure that no other process uses
    /// it. A lock would not: all processes that have the descriptor share one lock.
    static func kept(_ fd: Int32, _ path: String) throws(StoreError) -> ArenaFile {
        ArenaFile(fd: fd, path: path, isEmpty: try checkKind(fd, path) == 0, isKept: true)
    }

    /// Empty memory in the place of some that cannot be used.
    static func newMemory(_ path: String) throws(StoreError) -> ArenaFile {
        let fd = larder_memory_file("larder", 0)
        guard fd >= 0 else { throw .fileRefused(path: path, .system(errno: errno)) }
        return ArenaFile(fd: fd, path: path, isEmpty: true, isKept: true)
    }

    /// Removes the file's name.
    func remove() { if !isKept { unlink(path) } }

    private static func refusal(_ path: String, errno: Int32) -> StoreError {
        var status = stat()
        if errno == ELOOP || (lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFLNK) {
            return .fileRefused(path: path, .symbolicLink)
        }
        if errno == EISDIR { return .fileRefused(path: path, .notAFile) }
        // A socket, and a fifo that cannot be opened for both.
        if errno == ENXIO { return .fileRefused(path: path, .notAFile) }
        return .fileRefused(path: path, .system(errno: errno))
    }

    /// - Returns: the file's size in bytes.
    private static func checkKind(_ fd: Int32, _ path: String) throws(StoreError) -> Int {
        var status = stat()
        guard fstat(fd, &status) == 0 else { throw .fileRefused(path: path, .system(errno: errno)) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw .fileRefused(path: path, .notAFile) }
        guard status.st_uid == geteuid() else { throw .fileRefused(path: path, .otherOwner) }
        return Int(status.st_size)
    }

    private static func lock(_ fd: Int32, _ path: String) throws(StoreError) {
        for _ in 0..<lockMilliseconds / lockStepMilliseconds {
            if flock(fd, LOCK_EX | LOCK_NB) == 0 { return }
            guard errno == EWOULDBLOCK || errno == EINTR else {
                throw .fileRefused(path: path, .system(errno: errno))
            }
            usleep(UInt32(lockStepMilliseconds * 1000))
        }
        throw .fileRefused(path: path, .inUse(processID: readSuperblock(fd, at: 0)?.owner_pid))
    }

    private static func isStillAt(_ path: String, _ fd: Int32) -> Bool {
        var named = stat()
        var opened = stat()
        return lstat(path, &named) == 0 && fstat(fd, &opened) == 0 && named.st_ino == opened.st_ino
            && named.st_dev == opened.st_dev
    }

    func close() { Glibc.close(fd) }

    // MARK: Size

    /// Gives the file its size, and every byte of it a place on the disk: a page that has none would
    /// end the process when it is first touched.
    func allocate(_ bytes: Int) throws(StoreError) {
        // A longer file is cut only once it is certain that it can be used.
        guard ftruncate(fd, off_t(bytes)) == 0 else { throw noSpace(errno, bytes) }
        // Memory has no limit of its own, and pages come when they are first written.
        if isKept { return }
        var error: Int32
        repeat { error = posix_fallocate(fd, 0, off_t(bytes)) } while error == EINTR
        guard error == 0 else { throw noSpace(error, bytes) }
    }

    private func noSpace(_ error: Int32, _ bytes: Int) -> StoreError {
        .fileRefused(path: path, error == ENOSPC || error == EFBIG ? .noSpace(bytes: bytes) : .system(errno: error))
    }

    func map(_ bytes: Int, writable: Bool = true) throws(StoreError) -> UnsafeMutableRawPointer {
        // SAFETY: a shared mapping of a file that is locked and has all its pages.
        let mapping = mmap(nil, bytes, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, fd, 0)
        guard let base = mapping, base != MAP_FAILED else { throw .mappingFailed(bytes: bytes, errno: errno) }
        guard larder_guard_add(base, bytes) else {
            munmap(base, bytes)
            throw .mappingFailed(bytes: bytes, errno: ENOMEM)
        }
        return base
    }

    var size: Int {
        var status = stat()
        return fstat(fd, &status) == 0 ? Int(status.st_size) : 0
    }

    // MARK: What is in it

    /// Begins a file: enough for it to be known as a store.
    func writeSuperblock(_ geometry: Geometry, seed: UInt64) throws(StoreError) {
        var superblock = larder_superblock()
        FileSuperblock.write(&superblock, geometry, seed: seed)
        let size = MemoryLayout<larder_superblock>.size
        guard pwrite(fd, &superblock, size, 0) == size else { throw noSpace(errno, size) }
    }

    /// The bytes of a superblock at `offset`, whatever they are; nil when there are not enough.
    static func readSuperblock(_ fd: Int32, at offset: Int) -> larder_superblock? {
        var superblock = larder_superblock()
        let size = MemoryLayout<larder_superblock>.size
        return pread(fd, &superblock, size, off_t(offset)) == size ? superblock : nil
    }

    /// The number of files that are kept. Each has the size of a store.
    private static let setAsideMax = 3

    /// Renames a file that cannot be used as a store. If all names are taken, the file that was set aside first is
    /// replaced.
    /// - Returns: the new name, and whether an older file of that name was replaced.
    func setAside() throws(StoreError) -> (name: String, replaced: Bool) {
        FileSuperblock.retire(self)
        var oldest: (name: String, time: timespec)?
        for number in 1...Self.setAsideMax {
            let name = "\(path).bad-\(number)"
            var status = stat()
            guard lstat(name, &status) == 0 else {
                guard rename(path, name) == 0 else { throw .fileRefused(path: path, .cannotBeSetAside(errno: errno)) }
                return (name, false)
            }
            guard status.st_mode & S_IFMT == S_IFREG, !Self.isInUse(name) else { continue }
            // `rename` changes the ctime only, so the ctime is when the file was set aside.
            let (time, least) = (status.st_ctim, oldest?.time)
            if least.map({ (time.tv_sec, time.tv_nsec) < ($0.tv_sec, $0.tv_nsec) }) ?? true { oldest = (name, time) }
        }
        guard let oldest, rename(path, oldest.name) == 0 else {
            throw .fileRefused(path: path, .cannotBeSetAside(errno: oldest == nil ? EEXIST : errno))
        }
        return (oldest.name, true)
    }

    /// Whether a server uses the file of this name as its store.
    private static func isInUse(_ name: String) -> Bool {
        let fd = Glibc.open(name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)
        guard fd >= 0 else { return false }
        defer { Glibc.close(fd) }
        return flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK
    }

    func delete() throws(StoreError) {
        FileSuperblock.retire(self)
        guard unlink(path) == 0 else { throw .fileRefused(path: path, .cannotBeSetAside(errno: errno)) }
    }
}
