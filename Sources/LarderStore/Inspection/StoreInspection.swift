import CLarderArena
import Glibc

// SAFETY: C functions fill in or read structs that are lent to them.

/// What is in a store's file, and what is wrong with it, if anything.
///
/// The file is read with `pread` only, so that none can harm whoever looks: nothing is locked or changed,
/// and a server that has it open does not notice. What such a server changes meanwhile is told apart from
/// damage, as far as it can be.
package struct StoreInspection: Sendable {
    /// The path that was given.
    package private(set) var path: String
    /// Who has the file.
    package enum Owner: Sendable, Equatable {
        /// The file was closed in order.
        case nobody
        /// A process has it open.
        case process(UInt64)
        /// Its process ended without closing it. The next to open it makes a new index.
        case killedProcess(UInt64)
    }
    package internal(set) var owner = Owner.nobody
    package internal(set) var formatVersion = 0
    package internal(set) var fileBytes = 0
    package internal(set) var arenaBytes = 0
    package internal(set) var blockBytes = 0
    package internal(set) var slabBytes = 0
    package internal(set) var slabCount = 0
    package internal(set) var metadataSlabCount = 0
    package internal(set) var items = ItemTotals()
    package internal(set) var index = IndexTotals()
    /// By state, in the order of the slabs' numbers.
    package internal(set) var slabs: [SlabSummary] = []
    /// By their ends, those without end last.
    package internal(set) var timeBuckets: [TimeBucketSummary] = []
    /// When a delayed flush falls due, in absolute milliseconds; nil: none is awaited.
    package internal(set) var flushAtMilliseconds: Int64?
    /// The time at which expiries were judged.
    package internal(set) var nowMilliseconds: Int64 = 0
    /// What was being changed while it was looked at, or was left so by a kill: no damage.
    package internal(set) var notes: [String] = []
    /// What is wrong; empty: all is well.
    package var problems: [String] { found.texts }
    /// How many things are wrong, those for which there are no words any more included.
    package var problemCount: Int { found.count }
    var found = Problems()

    package struct ItemTotals: Sendable {
        /// Items that a client can get.
        package internal(set) var live = 0
        package internal(set) var liveBytes = 0
        /// Their keys and values alone.
        package internal(set) var contentBytes = 0
        package internal(set) var expired = 0
        /// Deleted, replaced or moved, in slabs that were not emptied yet.
        package internal(set) var dead = 0
        /// Being written, or left half written.
        package internal(set) var unfinished = 0
    }

    package struct IndexTotals: Sendable {
        package internal(set) var buckets = 0
        package internal(set) var slots = 0
        package internal(set) var usedSlots = 0
        /// Chains of one line, of two, and so on.
        package internal(set) var chainsByLines: [Int] = []
    }

    package enum SlabState: Int, Sendable, CaseIterable {
        case free, open, sealed, runHead, runTail, limbo, index, metadata, claimed, unknown
    }

    package struct SlabSummary: Sendable {
        package internal(set) var state: SlabState
        /// Share of its bytes that live items cover, in hundredths.
        package internal(set) var liveHundredths = 0
    }

    package struct TimeBucketSummary: Sendable {
        /// Absolute milliseconds; `Int64.max`: items that never expire.
        package internal(set) var endMilliseconds: Int64
        package internal(set) var slabs = 0
        package internal(set) var items = 0
        package internal(set) var bytes = 0
    }

    /// The first things that are wrong, in words, and how many there are.
    struct Problems: Sendable {
        private(set) var texts: [String] = []
        private(set) var count = 0
        private static let textsMax = 50

        mutating func add(_ text: String) {
            count += 1
            if texts.count < Self.textsMax { texts.append(text) }
        }
    }

    /// How many times a file with problems is inspected if its owner changes meanwhile.
    private static let looksMax = 4

    /// Looks through a file from end to end.
    /// - Throws: `.fileRefused` if the file has no store of this version, or is being created.
    package init(path: String) throws(StoreError) {
        let fd = Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard fd >= 0 else { throw .fileRefused(path: path, .system(errno: errno)) }
        defer { close(fd) }
        var looks = 0
        while true {
            let custody = try Custody.settled(fd, path)
            self = try Self(path, fd, isOpen: custody.isLocked)
            looks += 1
            // A server that starts or ends changes more than a running one, so the problems may not be real.
            if problemCount == 0 || looks == Self.looksMax || Custody(fd) == custody { return }
        }
    }

    private init(_ path: String, _ fd: Int32, isOpen: Bool) throws(StoreError) {
        self.path = path
        let (geometry, superblock, status) = try FileSuperblock.ofStore(fd, path)
        fileBytes = Int(status.st_size)
        readSuperblock(superblock, geometry)
        noteOwner(superblock, isOpen: isOpen)
        checkFile(fd, geometry)
        var check = FileCheck(fd: fd, geometry: geometry, superblock: superblock, inspection: self)
        check.run()
        self = check.inspection
        if owner != .nobody, !Custody.isLocked(fd), case .process(let pid) = owner {
            notes.append("process \(pid) closed the file meanwhile")
        }
    }

    private mutating func readSuperblock(_ superblock: larder_superblock, _ geometry: Geometry) {
        formatVersion = Int(superblock.version)
        arenaBytes = geometry.arenaBytes
        blockBytes = 1 << geometry.blockShift
        slabBytes = geometry.slabBytes
        slabCount = geometry.slabCount
        metadataSlabCount = geometry.metadataSlabCount
        nowMilliseconds = ArenaView.clock(superblock).now()
        var copy = superblock
        var sequence: UInt64 = 0
        var flushAt: UInt64 = 0
        if larder_flush_read(&copy, superblock.hash_seed, &sequence, &flushAt),
            Int64(bitPattern: flushAt) != Int64.max
        {
            flushAtMilliseconds = Int64(bitPattern: flushAt)
        }
    }

    private mutating func noteOwner(_ superblock: larder_superblock, isOpen: Bool) {
        if isOpen {
            owner = .process(superblock.owner_pid)
        } else if superblock.clean != 1 {
            owner = .killedProcess(superblock.owner_pid)
        }
    }

    private mutating func checkFile(_ fd: Int32, _ geometry: Geometry) {
        let bytes = geometry.arenaBytes + FileSuperblock.trailerBytes
        if fileBytes < bytes { found.add("the file has \(fileBytes) bytes of \(bytes): it was truncated") }
        if fileBytes > bytes { notes.append("the file is \(fileBytes - bytes) bytes longer than its arena") }
        for (name, offset) in [("first", 0), ("second", geometry.arenaBytes)] {
            guard let superblock = ArenaFile.readSoundSuperblock(fd, at: offset),
                superblock.magic == UInt64(LARDER_ARENA_MAGIC), geometry.matches(superblock)
            else {
                found.add("the \(name) superblock is damaged")
                continue
            }
        }
    }
}
