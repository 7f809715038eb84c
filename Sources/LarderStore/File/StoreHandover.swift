import CLarderArena
import Glibc
import Synchronization

// SAFETY: the pointers are those of the store's own state, which lives as long as the store; the mapping is the
// store's.

/// The part of a store outside its arena that another process needs to go on with the arena. It is a list of numbers,
/// so that it can be sent.
package struct StoreHandover: Sendable, Equatable {
    /// A number for each field of `Fields`, then a slab and a count for each slab with pins.
    package let words: [UInt64]

    private enum Field: Int, CaseIterable {
        case epoch, overflowFree, overflowLineCount, flushAt, flushedSequence, itemsFlushed, isFlushing
        case sweepBucket, sweepBucketsEnd, sweepSlab, sweepItems, sweepBlocks
        case casNoted, limitFull, limitLastModified
    }
    fileprivate static let flushAtPlace = Field.flushAt.rawValue
    private static let pinsStart = Field.allCases.count + StoreCounters.fieldCount

    /// Checks numbers that another process has sent. Nil: they are not those of a store with so many slabs.
    package init?(words: [UInt64], slabCount: Int) {
        guard words.count >= Self.pinsStart, (words.count - Self.pinsStart).isMultiple(of: 2) else { return nil }
        self.words = words
        guard pins.allSatisfy({ $0.slab < slabCount }), self[.sweepBucket] <= self[.sweepBucketsEnd],
            self[.sweepSlab] <= UInt64(slabCount), self[.overflowFree] <= UInt64(UInt32.max)
        else { return nil }
    }

    fileprivate init(_ state: StoreState, _ space: borrowing Space) {
        let process = state.process
        var words = [UInt64](repeating: 0, count: Field.allCases.count)
        func set(_ field: Field, _ value: UInt64) { words[field.rawValue] = value }
        set(.epoch, atomicLoad(&process.pointee.epoch))
        set(.overflowFree, UInt64(process.pointee.overflowFree))
        set(.overflowLineCount, process.pointee.overflowLineCount)
        set(.flushAt, atomicLoad(&process.pointee.flushAtMilliseconds))
        set(.flushedSequence, process.pointee.flushedSequence)
        set(.itemsFlushed, atomicLoad(&process.pointee.itemsFlushed))
        set(.isFlushing, state.isFlushing ? 1 : 0)
        set(.sweepBucket, UInt64(process.pointee.flushSweep.bucket))
        set(.sweepBucketsEnd, UInt64(process.pointee.flushSweep.bucketsEnd))
        set(.sweepSlab, UInt64(process.pointee.flushSweep.slab))
        set(.sweepItems, UInt64(bitPattern: process.pointee.flushSweep.itemsCounted))
        set(.sweepBlocks, UInt64(bitPattern: process.pointee.flushSweep.blocksCounted))
        set(.casNoted, space.owned.casNoted)
        if let account = state.account {
            set(.limitFull, UInt64(bitPattern: account.pointee.full))
            set(.limitLastModified, UInt64(bitPattern: account.pointee.lastModifiedMilliseconds))
        }
        words += state.counterWords()
        for slab in 0..<state.slabCount {
            let count = atomicLoad(&process.pointee.pins[slab])
            if count > 0 { words += [UInt64(slab), UInt64(count)] }
        }
        self.words = words
    }

    private subscript(field: Field) -> UInt64 { words[field.rawValue] }

    /// Items in the index, flushed ones included.
    package var items: Int { Int(truncatingIfNeeded: words[Field.allCases.count]) }

    fileprivate var pins: [(slab: Int, count: UInt32)] {
        stride(from: Self.pinsStart, to: words.count, by: 2).map {
            (Int(truncatingIfNeeded: words[$0] & UInt64(UInt32.max)), UInt32(truncatingIfNeeded: words[$0 + 1]))
        }
    }

    /// Sets all that is not derived from the slab table.
    fileprivate func apply(to state: StoreState, _ space: borrowing Space) {
        let process = state.process
        atomicStore(&process.pointee.epoch, self[.epoch])
        process.pointee.overflowFree = UInt32(truncatingIfNeeded: self[.overflowFree])
        atomicStore(&process.pointee.overflowLineCount, self[.overflowLineCount])
        atomicStore(&process.pointee.flushAtMilliseconds, self[.flushAt])
        atomicStore(&process.pointee.flushedSequence, self[.flushedSequence])
        atomicStore(&process.pointee.itemsFlushed, self[.itemsFlushed])
        process.pointee.flushSweep = FlushSweep(
            bucket: Int(truncatingIfNeeded: self[.sweepBucket]),
            bucketsEnd: Int(truncatingIfNeeded: self[.sweepBucketsEnd]),
            slab: Int(truncatingIfNeeded: self[.sweepSlab]), itemsCounted: Int64(bitPattern: self[.sweepItems]),
            blocksCounted: Int64(bitPattern: self[.sweepBlocks]))
        atomicStore(&process.pointee.attention.flushing, self[.isFlushing] == 0 ? 0 : 1)
        space.owned.casNoted = self[.casNoted]
        if let account = state.account {
            account.pointee.full = Int64(bitPattern: self[.limitFull])
            account.pointee.lastModifiedMilliseconds = Int64(bitPattern: self[.limitLastModified])
        }
        state.setCounters(Array(words[Field.allCases.count..<Self.pinsStart]))
        for (slab, count) in pins {
            _ = atomicAdd(&process.pointee.pins[slab], count)
            _ = atomicAdd(&process.pointee.pinnedSlabs, 1)
        }
    }

    /// Takes the other process's pins off.
    fileprivate func removePins(_ process: Shared<ProcessState>) {
        for (slab, count) in pins where atomicAdd(&process.pointee.pins[slab], 0 &- count) == count {
            _ = atomicAdd(&process.pointee.pinnedSlabs, UInt32.max)
        }
    }
}

extension StoreState {
    /// The counters of all sessions, summed.
    fileprivate func counterWords() -> [UInt64] {
        var sum = process.pointee.endedCounters
        for place in 0..<SessionSlot.placesMax {
            guard let slot = sessionSlot(place) else { break }
            sum.add(&slot.pointee.counters)
        }
        return withUnsafeBytes(of: sum) { Array($0.bindMemory(to: UInt64.self)) }
    }

    fileprivate func setCounters(_ words: [UInt64]) {
        withUnsafeMutableBytes(of: &process.pointee.endedCounters) { bytes in
            words.withUnsafeBytes { bytes.copyMemory(from: $0) }
        }
    }
}

extension Store {
    /// How long sections may take that are under way when the store is closed.
    private static let sectionMillisecondsMax: Int64 = 50

    var isTakenOver: Bool { state.process.pointee.configuration.arenaToTakeOver != nil }

    /// The descriptor of the arena, for another process; nil: it is this process's own memory.
    package var arenaDescriptor: Int32? { file?.file.fd ?? (memoryFile >= 0 ? memoryFile : nil) }

    /// Whether the arena is in memory of `StoreConfiguration.isKept`.
    package var isKept: Bool { file?.file.isKept ?? false }

    /// The arena's size, which another process must have, too.
    package var arenaText: String { "\(geometry.arenaBytes) bytes in slabs of \(1 << geometry.slabShift)" }

    /// Makes the store one whose items are not there yet.
    func awaitItems() {
        atomicStore(&state.process.pointee.isReady, 0)
        atomicStore(&state.process.pointee.nextTickMilliseconds, UInt64.max)
    }

    // MARK: The process that hands over

    /// Closes the store, so that another process can take it over. The owners of the sessions begin no turn until
    /// `resume`. A session of anyone else waits when it begins one.
    /// - Parameter count: the sessions that there should be.
    /// - Returns: nil if another session is in use, or the store is not whole; then it is open as before.
    package func suspend(forSessions count: Int) -> StoreHandover? {
        atomicStore(&state.process.pointee.isClosed, 1)
        guard isReady, !state.isCondemned, usedSessions() == count, sectionsEnd() else {
            resume()
            return nil
        }
        let space = Space(locking: state)
        for place in 0..<SessionSlot.placesMax {
            guard let slot = state.sessionSlot(place) else { break }
            space.sealOpenSlabs(slot)
        }
        // The items of a limited store are counted again in the other process.
        while state.account != nil, state.isFlushing { space.sweepFlushed(state.mover, bucketsMax: 1 << 20) }
        let handover = StoreHandover(state, space)
        // A turn that begins now waits, and must not do upkeep before.
        atomicStore(&state.process.pointee.nextTickMilliseconds, UInt64.max)
        atomicStore(&state.process.pointee.flushAtMilliseconds, UInt64(Int64.max))
        return handover
    }

    /// Opens the store again after `suspend`.
    /// - Parameter handover: what `suspend` returned.
    package func resume(_ handover: StoreHandover? = nil) {
        if let handover {
            let flushAt = handover.words[StoreHandover.flushAtPlace]
            atomicStore(&state.process.pointee.flushAtMilliseconds, flushAt)
            atomicStore(&state.process.pointee.nextTickMilliseconds, 0)
        }
        atomicStore(&state.process.pointee.isClosed, 0)
    }

    /// Gives the arena up after `suspend`: from now on this process sees the other one's changes, and its own stay its
    /// own. The store remains closed. False: the process must end at once.
    package func giveUp() -> Bool {
        guard let descriptor = arenaDescriptor else { return false }
        file?.stopWatching()
        let bytes = file?.mappedBytes ?? geometry.arenaBytes
        let flags = MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE
        return mmap(state.base, bytes, PROT_READ | PROT_WRITE, flags, descriptor, 0) != MAP_FAILED
    }

    private func usedSessions() -> Int {
        state.lock(.sessions, &state.process.pointee.sessionLock)
        defer { state.unlock(.sessions, &state.process.pointee.sessionLock) }
        return (1..<SessionSlot.placesMax).count { state.sessionSlot($0)?.pointee.isUsed ?? false }
    }

    private func sectionsEnd() -> Bool {
        let deadline = monotonicMilliseconds() + Self.sectionMillisecondsMax
        var step: UInt32 = 0
        while state.oldestEpoch() != SessionSlot.offline {
            guard monotonicMilliseconds() < deadline else { return false }
            larder_wait_step(step)
            step &+= 1
        }
        return true
    }

    // MARK: The process that takes over

    /// Goes on with the arena, which is this process's from now on. It takes time for each slab, and with limits for
    /// each item.
    package func takeOver(_ handover: StoreHandover, now: Int64) {
        let space = Space(locking: state)
        makeLists(space, now: now)
        handover.apply(to: state, space)
        space.restoreAges()
        _ = state.countRecovered(now: now)
        if let file {
            FileSuperblock.writeOwner(state.superblock.pointer)
            file.report.withLock {
                $0.items = handover.items
                $0.isComplete = true
            }
        }
        atomicStore(&state.process.pointee.nextTickMilliseconds, 0)
        atomicStore(&state.process.pointee.isReady, 1)
    }

    /// Frees the values that the other process was still sending. Call it once, when that process has ended.
    package func dropForeignPins(_ handover: StoreHandover) { handover.removePins(state.process) }

    /// Checks numbers that another process has sent for this store.
    package func handover(of words: [UInt64]) -> StoreHandover? {
        StoreHandover(words: words, slabCount: state.slabCount)
    }

    private func makeLists(_ space: borrowing Space, now: Int64) {
        var used: [Int] = []
        var limbo: [Int] = []
        var neverUsed: [Int] = []
        for slab in geometry.metadataSlabCount..<state.slabCount {
            switch state.slabs.state(slab) {
            case .sealed, .runHead: used.append(slab)
            case .limbo: limbo.append(slab)
            case .index: space.owned.indexSlabs += 1
            case .runTail: break
            default:
                // A claimed one was waiting for a value, whose client is gone.
                makeFree(slab)
                if state.slabs[slab].sequence == 0 {
                    neverUsed.append(slab)
                } else {
                    // These have their pages already.
                    space.owned.freeSlabs.append(slab, space.owned.links)
                }
            }
        }
        for slab in neverUsed { space.owned.freeSlabs.append(slab, space.owned.links) }
        for slab in used.sorted(by: { state.slabs[$0].sequence < state.slabs[$1].sequence }) {
            space.enlist(slab, now: now)
        }
        for slab in limbo.sorted(by: { state.slabs[$0].limbo_epoch < state.slabs[$1].limbo_epoch }) {
            space.owned.limboSlabs.append(slab, space.owned.links)
        }
    }

    private func makeFree(_ slab: Int) {
        let record = state.slabs.record(slab)
        state.slabs.setLiveBlocks(slab, 0)
        record.pointee.cursor_blocks = 0
        record.pointee.run_slabs = 0
        state.slabs.make(slab, .free)
    }

    // MARK: Memory

    /// Maps the memory of a store without a file, and returns its descriptor, or -1.
    static func mapMemory(
        _ geometry: Geometry, _ configuration: StoreConfiguration
    ) throws(StoreError) -> (UnsafeMutableRawPointer, Int32) {
        var descriptor: Int32 = configuration.arenaToTakeOver ?? -1
        if descriptor < 0, configuration.isTransferable {
            descriptor = larder_memory_file("larder", Int64(geometry.arenaBytes))
            guard descriptor >= 0 else { throw .mappingFailed(bytes: geometry.arenaBytes, errno: errno) }
        }
        let flags = descriptor < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED
        // SAFETY: a mapping of its own, unmapped in deinit; pages come when first written.
        let mapping = mmap(
            nil, geometry.arenaBytes, PROT_READ | PROT_WRITE, flags | MAP_NORESERVE, descriptor, 0)
        guard let base = mapping, base != MAP_FAILED else {
            let error = errno
            if descriptor >= 0 { close(descriptor) }
            throw .mappingFailed(bytes: geometry.arenaBytes, errno: error)
        }
        return (base, descriptor)
    }

    /// Compares the arena of another process with what this one is configured for.
    static func checkArena(
        _ descriptor: Int32, _ geometry: Geometry, _ configuration: StoreConfiguration
    ) throws(StoreError) {
        let path = configuration.filePath ?? "the memory of the other server"
        var status = stat()
        let trailer = configuration.filePath == nil ? 0 : FileSuperblock.trailerBytes
        guard fstat(descriptor, &status) == 0, Int(status.st_size) == geometry.arenaBytes + trailer,
            let superblock = ArenaFile.readSuperblock(descriptor, at: 0),
            superblock.magic == UInt64(LARDER_ARENA_MAGIC), FileSuperblock.isReadable(superblock.version),
            superblock.byte_order == LARDER_BYTE_ORDER_MARK, geometry.matches(superblock)
        else { throw .fileRefused(path: path, .notAStore(reason: "its arena has another size or version")) }
    }
}
