import CLarderArena
import Glibc

// SAFETY: a superblock is read from a page, which is larger, or lent to the C function that computes its check.

/// Reading and writing the two superblocks of an arena in a file: one in its first page, one in the page
/// behind the arena.
enum FileSuperblock {
    /// What the file is longer than its arena.
    static let trailerBytes = Int(LARDER_PAGE_BYTES)

    /// What a file turned out to be.
    enum Content {
        case empty
        /// An arena that this program can read, of its own geometry or another one.
        case arena(Geometry, larder_superblock)
        case unusable(reason: String)
    }

    /// What a file, open for reading, has to tell of the store in it.
    /// - Throws: `.fileRefused` when there is none, or none of this version.
    static func ofStore(_ fd: Int32, _ path: String) throws(StoreError) -> (Geometry, larder_superblock, stat) {
        var status = stat()
        guard fstat(fd, &status) == 0 else { throw .fileRefused(path: path, .system(errno: errno)) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw .fileRefused(path: path, .notAFile) }
        switch examine(ArenaFile(fd: fd, path: path, isEmpty: status.st_size == 0)) {
        case .empty: throw .fileRefused(path: path, .notAStore(reason: "it is empty"))
        case .unusable(let reason): throw .fileRefused(path: path, .notAStore(reason: reason))
        case .arena(let geometry, let superblock): return (geometry, superblock, status)
        }
    }

    static func examine(_ file: ArenaFile) -> Content {
        let size = file.size
        if size == 0 { return .empty }
        var reason = "it is not a Larder store"
        for offset in [0, size - trailerBytes] where offset >= 0 {
            guard let superblock = ArenaFile.readSuperblock(file.fd, at: offset),
                superblock.magic == UInt64(LARDER_ARENA_MAGIC)
            else { continue }
            guard let geometry = geometry(of: superblock, &reason) else { continue }
            let copies = [0, geometry.arenaBytes].compactMap { ArenaFile.readSuperblock(file.fd, at: $0) }
            // What was flushed must not come back, so without that nothing of the rest is of use.
            if copies.contains(where: { hasDurables($0, seed: superblock.hash_seed) }) {
                return .arena(geometry, superblock)
            }
            reason = damaged
        }
        return .unusable(reason: reason)
    }

    /// The geometry that a superblock tells of, if it is sound. Nothing of it is used as it stands there:
    /// all follows from two sizes.
    private static func geometry(of superblock: larder_superblock, _ reason: inout String) -> Geometry? {
        guard superblock.byte_order == LARDER_BYTE_ORDER_MARK else {
            reason = "it was written on a machine with another byte order"
            return nil
        }
        guard isReadable(superblock.version) else {
            reason =
                "its format has version \(superblock.version), and this program's are \(LARDER_ARENA_VERSION) and "
                + "\(LARDER_ARENA_VERSION_LONG_KEYS)"
            return nil
        }
        var copy = superblock
        guard larder_superblock_check(&copy) == superblock.fixed_check,
            superblock.page_bytes == UInt32(LARDER_PAGE_BYTES),
            superblock.superblock_bytes == UInt32(MemoryLayout<larder_superblock>.size),
            superblock.slab_shift < 32, superblock.arena_bytes < 1 << 40,
            let geometry = try? Geometry(
                memoryBytes: Int(superblock.arena_bytes), slabBytes: 1 << Int(superblock.slab_shift)),
            geometry.matches(superblock)
        else {
            reason = damaged
            return nil
        }
        return geometry
    }

    /// Whether this program reads files of a version.
    static func isReadable(_ version: UInt32) -> Bool {
        version == UInt32(LARDER_ARENA_VERSION) || version == UInt32(LARDER_ARENA_VERSION_LONG_KEYS)
    }

    private static let damaged = "its superblock is damaged"

    private static func hasDurables(_ superblock: larder_superblock, seed: UInt64) -> Bool {
        var copy = superblock
        var value: UInt64 = 0
        return larder_durable_read(&copy.flush_sequence, seed, &value)
            && larder_durable_read(&copy.flush_at_ms, seed, &value)
    }

    /// Writes the fixed part of a superblock, and the beginning of all that changes.
    static func write(_ place: UnsafeMutablePointer<larder_superblock>, _ geometry: Geometry, seed: UInt64) {
        writeFixed(place, geometry, seed: seed, version: UInt32(LARDER_ARENA_VERSION))
        place.pointee.bucket_count = UInt64(geometry.bucketsPerSlab)
        place.pointee.index_slab_count = 1
        larder_durable_write(&place.pointee.flush_sequence, 0, seed)
        larder_durable_write(&place.pointee.flush_at_ms, UInt64(bitPattern: Int64.max), seed)
    }

    /// Writes what never changes: again when a file is opened, since one of the two may be damaged.
    /// - Parameter version: that of the format, which the first long key raises.
    static func writeFixed(
        _ place: UnsafeMutablePointer<larder_superblock>, _ geometry: Geometry, seed: UInt64, version: UInt32
    ) {
        place.pointee.magic = UInt64(LARDER_ARENA_MAGIC)
        place.pointee.version = version
        place.pointee.byte_order = UInt32(LARDER_BYTE_ORDER_MARK)
        place.pointee.arena_bytes = UInt64(geometry.arenaBytes)
        place.pointee.block_shift = UInt32(geometry.blockShift)
        place.pointee.slab_shift = UInt32(geometry.slabShift)
        place.pointee.slab_count = UInt32(geometry.slabCount)
        place.pointee.metadata_slab_count = UInt32(geometry.metadataSlabCount)
        place.pointee.slab_table_offset = UInt64(geometry.slabTableOffset)
        place.pointee.directory_offset = UInt64(geometry.directoryOffset)
        place.pointee.hash_seed = seed
        place.pointee.page_bytes = UInt32(LARDER_PAGE_BYTES)
        place.pointee.superblock_bytes = UInt32(MemoryLayout<larder_superblock>.size)
        place.pointee.fixed_check = larder_superblock_check(place)
    }

    /// Shuts the index of a file that is about to be replaced, for ever: readers that have it open go over
    /// to the next one before anybody is told of a write there.
    static func retire(_ file: ArenaFile) {
        guard let superblock = ArenaFile.readSuperblock(file.fd, at: 0),
            superblock.magic == UInt64(LARDER_ARENA_MAGIC), isReadable(superblock.version),
            let offset = MemoryLayout<larder_superblock>.offset(of: \.index_epoch)
        else { return }
        var epoch = superblock.index_epoch | 1
        pwrite(file.fd, &epoch, MemoryLayout<UInt64>.size, off_t(offset))
    }

    /// Writes down who has the file now.
    static func writeOwner(_ place: UnsafeMutablePointer<larder_superblock>) {
        // That of another boot, perhaps: until the new one is there, readers take the wall clock.
        larder_set_clock_offset(place, 0)
        place.pointee.owner_pid = UInt64(getpid())
        let boot = bootIdentity()
        withUnsafeMutableBytes(of: &place.pointee.owner_boot) { bytes in
            for index in bytes.indices { bytes[index] = boot[index] }
        }
        place.pointee.clean = 0
    }

    /// 16 bytes that are others after each boot of the machine; zeros when the system does not say.
    static func bootIdentity() -> [UInt8] {
        var identity: [UInt8] = []
        var text = [UInt8](repeating: 0, count: 64)
        let fd = Glibc.open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC)
        if fd >= 0 {
            let count = read(fd, &text, text.count)
            Glibc.close(fd)
            let digits = text.prefix(max(0, count)).compactMap { Character(UnicodeScalar($0)).hexDigitValue }
            for pair in stride(from: 0, to: digits.count - 1, by: 2) {
                identity.append(UInt8(digits[pair] * 16 + digits[pair + 1]))
            }
        }
        return Array((identity + [UInt8](repeating: 0, count: 16)).prefix(16))
    }
}

extension Geometry {
    /// Whether a superblock says the same of every part's place.
    func matches(_ superblock: larder_superblock) -> Bool {
        superblock.arena_bytes == UInt64(arenaBytes) && superblock.block_shift == UInt32(blockShift)
            && superblock.slab_shift == UInt32(slabShift) && superblock.slab_count == UInt32(slabCount)
            && superblock.metadata_slab_count == UInt32(metadataSlabCount)
            && superblock.slab_table_offset == UInt64(slabTableOffset)
            && superblock.directory_offset == UInt64(directoryOffset)
    }
}

/// The numbers that outlive the process, each with its check.
extension Shared<larder_superblock> {
    func writeFlushSequence(_ sequence: UInt64, _ seed: UInt64) {
        larder_durable_write(larder_flush_sequence(pointer), sequence, seed)
    }
    func writeFlushTime(_ time: UInt64, _ seed: UInt64) { larder_durable_write(larder_flush_at(pointer), time, seed) }

    /// Nil when the number does not match its check.
    func flushSequence(_ seed: UInt64) -> UInt64? {
        var value: UInt64 = 0
        return larder_durable_read(larder_flush_sequence(pointer), seed, &value) ? value : nil
    }
    func flushTime(_ seed: UInt64) -> UInt64? {
        var value: UInt64 = 0
        return larder_durable_read(larder_flush_at(pointer), seed, &value) ? value : nil
    }
}
