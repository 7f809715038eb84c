import CLarderArena
import Glibc

/// A cache: items under keys in memory of bounded size, shared by the threads of a process.
///
/// `open` makes one. A thread reads and writes through a ``StoreSession`` of its own. When the store is full it evicts
/// the items that are used least. The store lives as long as one of its sessions.
public final class Store: Sendable {
    let state: StoreState
    let geometry: Geometry

    /// The time of the sessions that `session` opens. The server passes a time with each call instead.
    let clock = StoreClock()

    /// Where the arena lies; nil: in memory only.
    let file: StoreFile?

    /// Memory that another process can map; -1: the arena is a file's, or this process's own.
    let memoryFile: Int32

    /// Makes a store: an empty one in memory, or with `filePath` one of what that file holds.
    ///
    /// With `defersRecovery` a file's items are not there before `recover` was called and has returned,
    /// and no turn may begin before.
    /// - Throws: `StoreError` when the configuration is out of range, the mapping is refused, or the file
    ///   must not be used.
    package init(_ configuration: StoreConfiguration) throws(StoreError) {
        geometry = try Geometry(memoryBytes: configuration.memoryBytes, slabBytes: configuration.slabBytes)
        if let descriptor = configuration.arenaToTakeOver { try Self.checkArena(descriptor, geometry, configuration) }
        let base: UnsafeMutableRawPointer
        if let path = configuration.filePath {
            let opened =
                if let arena = configuration.arenaToTakeOver {
                    try StoreFile(takingOver: arena, path, geometry, configuration)
                } else {
                    try StoreFile(path, geometry, configuration)
                }
            file = opened
            base = opened.base
            memoryFile = -1
        } else {
            file = nil
            (base, memoryFile) = try Self.mapMemory(geometry, configuration)
            if configuration.arenaToTakeOver == nil {
                Self.format(base, geometry, seed: configuration.hashSeed ?? UInt64.random(in: .min ... .max))
            }
        }
        // Advice only: where there are no large pages, small ones do.
        if configuration.usesHugePages { madvise(base, geometry.arenaBytes, MADV_HUGEPAGE) }
        let process = try Self.makeProcessState(geometry, configuration)
        state = StoreState(base: base, geometry: geometry, process: process)
        // Place 0 is for what is moved: see `StoreState.mover`.
        let mover = makeSlot(sharedBy: 1)
        mover.pointee.isUsed = true
        atomicStore(&state.process.pointee.sessions[0], UInt64(UInt(bitPattern: mover.pointer)))
        guard let file else {
            if configuration.arenaToTakeOver == nil {
                Self.fillFreeList(Space(locking: state), geometry)
            } else {
                awaitItems()
            }
            return
        }
        process.pointee.secondSuperblock = Shared(file.secondSuperblock)
        file.watchForChanges(&process.pointee.attention.damage)
        awaitItems()
        guard !configuration.defersRecovery, configuration.arenaToTakeOver == nil else { return }
        let refused = recover().refusedItems
        if refused > 0 { throw .fileRefused(path: file.path, .beyondLimits(items: refused)) }
    }

    deinit {
        let process = state.process
        let wasReady = isReady
        file?.stopWatching()
        for place in 0..<SessionSlot.placesMax {
            guard let slot = state.sessionSlot(place) else { break }
            slot.pointee.open.deallocate()
            slot.deallocate()
        }
        process.pointee.space.pointee.deallocate()
        process.pointee.space.deallocate()
        process.pointee.pins.deallocate()
        process.pointee.sessions.deallocate()
        pthread_mutex_destroy(&process.pointee.spaceLock)
        process.pointee.account?.destroy()
        process.deallocate()
        if file == nil {
            munmap(state.base, geometry.arenaBytes)
            if memoryFile >= 0 { close(memoryFile) }
        } else if wasReady {
            state.superblock.pointee.clean = 1
        }
        state.deallocate()
    }

    /// Writes the superblock and the slab table of an empty arena.
    static func format(_ base: UnsafeMutableRawPointer, _ geometry: Geometry, seed: UInt64) {
        FileSuperblock.write(base.bindMemory(to: larder_superblock.self, capacity: 1), geometry, seed: seed)
        let table = (base + geometry.slabTableOffset).bindMemory(
            to: larder_slab.self, capacity: geometry.slabCount)
        for slab in 0..<geometry.metadataSlabCount { table[slab].state = SlabState.metadata.rawValue }
        let indexSlab = geometry.slabCount - 1
        table[indexSlab].state = SlabState.index.rawValue
        (base + geometry.directoryOffset).bindMemory(to: UInt32.self, capacity: geometry.slabCount)[0] =
            UInt32(indexSlab)
    }

    private static func makeProcessState(
        _ geometry: Geometry, _ configuration: StoreConfiguration
    ) throws(StoreError) -> Shared<ProcessState> {
        var account: Shared<LimitAccount>?
        if let limits = configuration.limits { account = try LimitAccount.make(limits) }
        var configuration = configuration
        // Expiries are kept as 32 bits from a time bucket's start; and nothing is divided by zero.
        configuration.bucketIntervalMilliseconds = min(
            max(1, configuration.bucketIntervalMilliseconds), TimeBucket.widthMax)
        configuration.sessionsExpected = max(1, configuration.sessionsExpected)
        let slabs = geometry.slabCount
        let process = Shared(
            allocating: ProcessState(
                space: Shared(allocating: SpaceState(slabCount: slabs, metadataSlabs: geometry.metadataSlabCount)),
                pins: SharedArray(allocating: 0, count: slabs),
                sessions: SharedArray(allocating: 0, count: SessionSlot.placesMax), configuration: configuration,
                account: account))
        if configuration.isSizeAware {
            process.pointee.space.pointee.droppedKeys = DroppedKeys(arenaBytes: geometry.arenaBytes)
        }
        pthread_mutex_init(&process.pointee.spaceLock, nil)
        return process
    }

    static func fillFreeList(_ space: borrowing Space, _ geometry: Geometry) {
        space.owned.indexSlabs = 1
        for slab in geometry.metadataSlabCount..<geometry.slabCount - 1 {
            space.owned.freeSlabs.append(slab, space.owned.links)
        }
    }

    /// Opens a session for the calling thread.
    /// - Throws: `.tooManySessions` beyond 256 at a time.
    package func makeSession() throws(StoreError) -> Session {
        state.lock(.sessions, &state.process.pointee.sessionLock)
        defer { state.unlock(.sessions, &state.process.pointee.sessionLock) }
        for place in 1..<SessionSlot.placesMax {
            if let slot = state.sessionSlot(place) {
                guard !slot.pointee.isUsed else { continue }
                slot.pointee.isUsed = true
                return Session(self, slot)
            }
            let slot = makeSlot(sharedBy: state.process.pointee.configuration.sessionsExpected)
            slot.pointee.isUsed = true
            atomicStore(&state.process.pointee.sessions[place], UInt64(UInt(bitPattern: slot.pointer)))
            return Session(self, slot)
        }
        throw .tooManySessions(limit: SessionSlot.sessionsMax)
    }

    /// - Parameter sessions: among how many the slabs that may be open are divided.
    private func makeSlot(sharedBy sessions: Int) -> Shared<SessionSlot> {
        // Slots of different threads share no cache line.
        let bytes = (MemoryLayout<SessionSlot>.stride + 127) & ~127
        let memory = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 128)
        let slot = Shared(memory.bindMemory(to: SessionSlot.self, capacity: 1))
        let closed = OpenSlab(slab: 0, bucket: .never, isKept: false, lastUse: 0)
        slot.pointer.initialize(
            to: SessionSlot(open: SharedArray(allocating: closed, count: SessionSlot.openSlabsMax)))
        // Open slabs are partly empty: an eighth of the arena at most is for them, and less where memory is short.
        slot.pointee.openLimitMax = max(3, min(SessionSlot.openSlabsMax, state.slabCount / (8 * sessions)))
        slot.pointee.openLimitWhenShort = max(3, min(SessionSlot.openSlabsMax, state.slabCount / (32 * sessions)))
        slot.pointee.openLimit = slot.pointee.openLimitMax
        return slot
    }

    /// Tells readers of the store's file which clock it is given times of: readers in other processes
    /// judge by it what has expired. Without it they take the wall clock.
    package func noteClock(_ clock: StoreClock) {
        // Until the take-over the arena is another process's.
        if !isReady, isTakenOver { return }
        if file != nil { larder_set_clock_offset(state.superblock.pointer, clock.offsetMilliseconds) }
    }

    /// What the store holds and has done. It may be asked by any thread.
    public var statistics: StoreStatistics {
        var counters = state.process.pointee.endedCounters
        for place in 0..<SessionSlot.placesMax {
            guard let slot = state.sessionSlot(place) else { break }
            counters.add(&slot.pointee.counters)
        }
        counters.items = max(0, counters.items &- state.flushedItemCount)
        counters.liveBlocks = max(0, counters.liveBlocks &- state.flushedBlockCount)
        // Without the space lock: the caller may be in a turn, and whoever holds the lock may be
        // waiting for that turn to end.
        var slabs = StoreStatistics.Slabs()
        var oldest = UInt32.max
        for slab in 0..<state.slabCount {
            switch state.slabs.state(slab) {
            case .free: slabs.free += 1
            case .open: slabs.open += 1
            case .limbo: slabs.limbo += 1
            case .index: slabs.index += 1
            case .metadata: slabs.metadata += 1
            default: slabs.used += 1
            }
            // Others have no blocks of items.
            if state.slabs.liveBlocks(slab) > 0 {
                oldest = min(oldest, atomicLoad(&state.slabs[slab].opened_seconds))
            }
        }
        // A withheld slab is free in the table.
        slabs.withheld = min(slabs.free, state.withheldCount)
        slabs.free -= slabs.withheld
        return StoreStatistics(
            counters: counters, slabs: slabs, slabBytes: geometry.slabBytes,
            blockBytes: 1 << geometry.blockShift,
            bucketCount: Int(atomicLoad(&state.superblock.pointee.bucket_count)),
            arenaBytes: geometry.arenaBytes, limitUse: state.account?.use,
            oldestItemsTime: oldest == UInt32.max ? nil : Int64(oldest),
            lastEvictionIdleSeconds: Int64(atomicLoad(&state.process.pointee.lastEvictionIdleSeconds)))
    }
}

/// What a store holds and has done, summed over its sessions at one moment.
public struct StoreStatistics: Sendable {
    /// Slabs by what they are for.
    package struct Slabs: Sendable {
        package var free = 0
        /// Free slabs that a memory limit withholds.
        package var withheld = 0
        package var open = 0
        package var used = 0
        package var limbo = 0
        package var index = 0
        package var metadata = 0
    }
    package var counters: StoreCounters
    package var slabs: Slabs
    package var slabBytes: Int
    package var blockBytes: Int
    package var bucketCount: Int
    package var arenaBytes: Int
    /// Of a limited store.
    package var limitUse: StoreLimitUse?
    /// When the slab was begun that has waited longest, in seconds; nil: there is no item.
    package var oldestItemsTime: Int64?
    /// How long the item evicted last had not been asked for.
    package var lastEvictionIdleSeconds: Int64
    /// Bytes that items take up, with keys and headers.
    public var liveBytes: Int { Int(counters.liveBlocks) * blockBytes }

    /// Items in the store. Expired ones count until their memory is given back.
    public var items: Int { Int(counters.items) }
    /// The capacity in bytes, as given to `Store.open`, rounded down to whole slabs.
    public var capacityBytes: Int { arenaBytes }
    /// Items stored since the store was opened.
    public var itemsStored: Int { Int(counters.itemsStored) }
    /// Live items that were dropped to make room, since the store was opened.
    public var evictions: Int { Int(counters.evictions) }
    /// Expired items whose memory was given back, since the store was opened.
    public var expired: Int { Int(counters.expired) }
    /// Items that were refused because nothing could be evicted for them, since the store was opened.
    public var refusals: Int { Int(counters.outOfMemory) }
}
