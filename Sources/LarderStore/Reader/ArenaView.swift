import CLarderArena
import Glibc

// SAFETY: the mapping is `bytes` long and lives until `close`; pages that go missing are replaced by the guard.

/// An arena's file, open for reading only: nothing is locked, and its owner need not know.
///
/// A trivial value: passing it on costs no reference counting.
struct ArenaView {
    let fd: Int32
    let geometry: Geometry
    let hashSeed: UInt64
    /// All of the file that is the arena's, and the page behind it; nil when it is read with `pread`.
    let base: UnsafeRawPointer?
    /// Counts pages of the mapping that went missing: what they held is zeros now.
    private let missingPages: UnsafePointer<UInt64>?
    /// The file's place on its disk.
    private let device: dev_t
    private let inode: ino_t
    /// The machine's boot, or zeros.
    private let boot: (UInt64, UInt64)

    var bytes: Int { geometry.arenaBytes + FileSuperblock.trailerBytes }

    static func open(_ path: String, isMapped: Bool) throws(StoreError) -> ArenaView {
        // A fifo would make the call wait for a writer, hence O_NONBLOCK.
        let fd = Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard fd >= 0 else { throw .fileRefused(path: path, .system(errno: errno)) }
        do {
            return try ArenaView(path, fd, isMapped: isMapped)
        } catch {
            Glibc.close(fd)
            throw error
        }
    }

    private init(_ path: String, _ fd: Int32, isMapped: Bool) throws(StoreError) {
        let (geometry, superblock, status) = try FileSuperblock.ofStore(fd, path)
        self.geometry = geometry
        hashSeed = superblock.hash_seed
        // What changes stands in the first one, so that one has to be whole.
        guard let first = ArenaFile.readSoundSuperblock(fd, at: 0), first.hash_seed == hashSeed, geometry.matches(first)
        else { throw .fileRefused(path: path, .notAStore(reason: "its first superblock is damaged")) }
        self.fd = fd
        device = status.st_dev
        inode = status.st_ino
        boot = FileSuperblock.bootIdentity().withUnsafeBytes { $0.loadUnaligned(as: (UInt64, UInt64).self) }
        guard Int(status.st_size) >= geometry.arenaBytes + FileSuperblock.trailerBytes else {
            throw .fileRefused(path: path, .notAStore(reason: "it was truncated"))
        }
        base =
            isMapped
            ? UnsafeRawPointer(
                try ArenaFile(fd: fd, path: path, isEmpty: false)
                    .map(geometry.arenaBytes + FileSuperblock.trailerBytes, writable: false)) : nil
        missingPages = base.flatMap { larder_guard_missing_pages_of($0) }
    }

    /// To be called once, when nobody reads any more.
    func close() {
        if let base {
            larder_guard_remove(base)
            munmap(UnsafeMutableRawPointer(mutating: base), bytes)
        }
        Glibc.close(fd)
    }

    @inline(__always)
    var isWhole: Bool { missingPages.map { atomicLoad($0) == 0 } ?? true }

    /// Whether a path still names this file, and it has all its bytes.
    func isCurrent(at path: String) -> Bool {
        var status = stat()
        return readStatus(of: path, &status) && status.st_ino == inode && status.st_dev == device
            && Int(status.st_size) >= bytes
    }

    /// The clock of the process that serves the arena, if it is of this boot; the wall clock otherwise.
    var clock: StoreClock {
        let superblock: larder_superblock?
        if let base {
            superblock = base.load(as: larder_superblock.self)
        } else {
            superblock = ArenaFile.readSuperblock(fd, at: 0)
        }
        return superblock.map { Self.clock($0, boot) } ?? StoreClock()
    }

    /// The clock that a superblock tells of.
    static func clock(_ superblock: larder_superblock) -> StoreClock {
        clock(
            superblock,
            FileSuperblock.bootIdentity().withUnsafeBytes { $0.loadUnaligned(as: (UInt64, UInt64).self) })
    }

    private static func clock(_ superblock: larder_superblock, _ boot: (UInt64, UInt64)) -> StoreClock {
        guard superblock.clock_offset_ms != 0 else { return StoreClock() }
        let isOfThisBoot = withUnsafeBytes(of: superblock.owner_boot) {
            $0.loadUnaligned(as: (UInt64, UInt64).self) == boot
        }
        return isOfThisBoot ? StoreClock(offsetMilliseconds: superblock.clock_offset_ms) : StoreClock()
    }
}

/// `stat` is a type as well as a function.
private func readStatus(of path: String, _ status: inout stat) -> Bool { stat(path, &status) == 0 }
