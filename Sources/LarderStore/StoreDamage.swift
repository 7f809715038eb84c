import CLarderArena
import Glibc
package import Synchronization

// SAFETY: no session is in a section while the arena is written anew; a word is lent to C.

/// Why the memory of a store cannot be trusted any more.
package enum StoreDamage: UInt32, Sendable {
    /// A bucket of the index stays locked, though no thread works on it.
    case lockedForEver = 1
    /// Pages of the store's file could not be read: it was truncated, or its disk fails.
    case missingPages = 2
    /// Another program wrote to the store's file.
    case fileChanged = 3

    /// Changes when a store of this process is found damaged. Data that was read from a store before this number
    /// changed may be wrong.
    @inline(__always)
    package static var count: UInt32 { larder_damages() }

    /// Where `count` is, for code that asks for it at each request: in another module `count` is a call.
    package static var counter: UnsafePointer<Atomic<UInt32>> {
        // SAFETY: an aligned word of the process that C reads and writes by atomic operations.
        UnsafeRawPointer(larder_damages_address()).assumingMemoryBound(to: Atomic<UInt32>.self)
    }
}

/// What a store lost because another program changed, truncated or overwrote its file.
public struct DamageReport: Sendable {
    /// How often the store was emptied since it was opened.
    public package(set) var count = 0
    /// The number of items that were dropped, in all.
    public package(set) var itemsLost = 0
    /// Why it was emptied last.
    package var cause: StoreDamage?
}

/// When another program changes, truncates or overwrites the file of a store, the store is condemned. Its index and its
/// values may be wrong. The whole store is emptied before the next section begins. It continues in memory of the
/// process, so that the file cannot harm it again.
///
/// Sections that have begun see damaged memory until they end. Every access by a number that they read is
/// range-checked. Answers of that time are not sent (`larder_damages`). A trap ends the process with one line.
extension StoreState {
    @inline(__always)
    var isCondemned: Bool { atomicLoad(&process.pointee.attention.damage) != 0 }

    /// Marks the store to be emptied before its next section begins. Only for a store in a file: no other program
    /// writes to the memory of this process.
    func condemn(_ damage: StoreDamage) {
        guard checked != 0 else { return }
        larder_condemn(&process.pointee.attention.damage, damage.rawValue)
    }

    /// Waits while the store is being emptied. The session has just gone online.
    @inline(never)
    func awaitRepair(_ session: Shared<SessionSlot>) {
        var step: UInt32 = 0
        while atomicLoad(&process.pointee.isClosed) != 0 {
            atomicStore(&session.pointee.epoch, SessionSlot.offline)
            endViews(session)
            larder_wait_step(step)
            step &+= 1
            announce(&session.pointee.epoch, atomicLoad(&process.pointee.epoch))
        }
    }

    /// Waits until no session is in a section. If a thread never leaves its section, the process ends.
    fileprivate func awaitAllSections() {
        checkMayAwaitSections()
        var end: Int64 = 0
        var step: UInt32 = 0
        while oldestEpoch() != SessionSlot.offline {
            larder_wait_step(step)
            step &+= 1
            guard step & 0xff == 0 else { continue }
            let now = monotonicMilliseconds()
            if end == 0 { end = now + 5 * process.pointee.configuration.waitMillisecondsMax }
            if now > end { larder_stop_for_damage() }
        }
    }

    /// Resets the data outside the arena to that of an empty store. No session is in a section.
    fileprivate func forgetAll(_ space: borrowing Space) {
        space.owned.freeSlabs = SlabList()
        space.owned.freshSlabs = SlabList()
        space.owned.keptSlabs = SlabList()
        space.owned.limboSlabs = SlabList()
        for slab in 0..<slabCount {
            space.owned.links[slab] = SlabLinks()
            space.owned.youngestWrite[slab] = 0
            space.owned.secondChance[slab] = 0
            space.owned.isWithheld[slab] = false
        }
        atomicStore(&process.pointee.slabsWithheld, 0)
        space.owned.withholdingHand = slabCount - 1
        space.owned.slabsWritten = 0
        space.owned.windowHand = 0
        space.owned.expiryHeap = ExpiryHeap()
        space.owned.duePlace = DuePlace()
        process.pointee.overflowFree = 0
        atomicStore(&process.pointee.overflowLineCount, 0)
        forgetFlush()
        process.pointee.endedCounters.items = 0
        process.pointee.endedCounters.liveBlocks = 0
        for place in 0..<SessionSlot.placesMax {
            guard let slot = sessionSlot(place) else { break }
            slot.pointee.openCount = 0
            slot.pointee.mayBeDense = false
            slot.pointee.emptiedRun = 0
            slot.pointee.committed = CommittedValue()
            changeCount(&slot.pointee.counters.items, -counted(&slot.pointee.counters.items))
            changeCount(&slot.pointee.counters.liveBlocks, -counted(&slot.pointee.counters.liveBlocks))
        }
        account?.removedAll()
    }
}

extension Store {
    /// Whether the store was opened in a file, which other programs may change.
    package var isInFile: Bool { file != nil }

    /// The number of cas values to skip when a store is emptied: more than were given out since `casNoted`.
    private static let casMargin: UInt64 = 1 << 32

    /// The damage of the file since the store was opened. A store whose file was changed is emptied before the next
    /// call, and continues in memory of the process.
    public var damageReport: DamageReport { file?.damage.withLock { $0 } ?? DamageReport() }

    /// Empties a condemned store. The calling thread is in no section and holds no lock.
    func repair() {
        guard let file else { return }
        if let account = state.account { state.lockWriting(account) }
        defer { if let account = state.account { state.unlockWriting(account) } }
        let space = Space(locking: state)
        guard let cause = StoreDamage(rawValue: atomicLoad(&state.process.pointee.attention.damage)) else {
            return
        }
        atomicStore(&state.process.pointee.isClosed, 1)
        state.awaitAllSections()
        let lost = Int(state.itemCount())
        let flushAt = atomicLoad(&state.process.pointee.flushAtMilliseconds)
        larder_guard_count_missing(file.base, file.pagesMissing)
        guard file.leave() else { larder_stop_for_damage() }
        Self.format(state.base, geometry, seed: state.hashSeed)
        FileSuperblock.write(file.secondSuperblock, geometry, seed: state.hashSeed)
        atomicStore(&state.superblock.pointee.cas_last, space.owned.casNoted &+ Self.casMargin)
        space.owned.casNoted &+= Self.casMargin
        state.forgetAll(space)
        Self.fillFreeList(space, geometry)
        space.writeFlushTime(Int64(bitPattern: flushAt))
        state.process.pointee.life &+= 1
        file.damage.withLock {
            $0.count += 1
            $0.itemsLost += max(0, lost)
            $0.cause = cause
        }
        atomicStore(&state.process.pointee.attention.damage, 0)
        atomicStore(&state.process.pointee.isClosed, 0)
    }
}
