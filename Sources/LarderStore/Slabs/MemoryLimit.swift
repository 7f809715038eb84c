import CLarderArena
import Glibc

/// A limit below the size of the arena. Under the space lock.
///
/// The slabs beyond the limit are withheld: free, on no list, and without memory. They are taken from the end of the
/// arena, below the index, so that the slabs in use stay adjacent and large items find room.
///
/// A limit is reached in slices. The command does the first ones, the upkeep does the rest.
extension Space {
    /// The work of one slice. A slab that is passed over or given back counts as 1.
    private static let workAtOnce = 4096
    /// Returning the memory of a free slab to the system counts as 512.
    private static let workOfReturn = 512
    /// Slabs that a store needs for its work beside its tables, its index and the largest item.
    private static let slabsToWorkIn = 16

    /// The lowest number of slabs for items, with room for the largest item.
    private var itemSlabsMin: Int {
        state.slabCount(forBytes: process.pointee.configuration.itemBytesMax) + Self.slabsToWorkIn
    }

    /// The lowest limit, in slabs: the tables, the first slab of the index, and `itemSlabsMin`.
    fileprivate var slabsAllowedMin: Int { min(slabCount, owned.metadataSlabs + 1 + itemSlabsMin) }

    fileprivate func allow(slabs count: Int) {
        owned.slabsAllowed = count
        owned.withholdingHand = slabCount - 1
        narrowOpenSlabs()
        if state.isReady { atomicStore(&process.pointee.nextTickMilliseconds, 0) }
    }

    /// Does a slice of the work: withholds slabs, or gives them back, until the limit is kept.
    /// - Returns: whether the caller may go on with another slice at once.
    @discardableResult
    func keepLimit(_ session: Shared<SessionSlot>, now: Int64) -> Bool {
        // The index never shrinks, so it may leave less to withhold than the limit asks for.
        let most = slabCount - owned.metadataSlabs - owned.indexSlabs - itemSlabsMin
        let wanted = max(0, min(slabCount - owned.slabsAllowed, most))
        guard wanted != state.withheldCount, state.isReady, !state.isCondemned else { return false }
        if wanted < state.withheldCount { return giveBackWithheld(downTo: wanted) }
        var work = Self.workAtOnce
        while work > 0, state.withheldCount < wanted {
            guard owned.withholdingHand >= owned.metadataSlabs else {
                // The next tick tries the slabs again that were passed over.
                owned.withholdingHand = slabCount - 1
                return false
            }
            let slab = owned.withholdingHand
            guard isSlabToMoveToFree(session, now: now) else { return false }
            owned.withholdingHand -= 1
            work -= withhold(slab, session, now: now)
        }
        return state.withheldCount < wanted
    }

    /// Appends withheld slabs to the list of free slabs, as memory that was never used.
    private func giveBackWithheld(downTo wanted: Int) -> Bool {
        owned.withholdingHand = slabCount - 1
        var left = min(state.withheldCount - wanted, Self.workAtOnce)
        for slab in owned.metadataSlabs..<slabCount where owned.isWithheld[slab] {
            guard left > 0 else { break }
            left -= 1
            owned.isWithheld[slab] = false
            state.countWithheld(-1)
            owned.freeSlabs.append(slab, owned.links)
        }
        return state.withheldCount > wanted
    }

    /// Whether free slabs are left for items that are moved. Evicts items if there are none.
    private func isSlabToMoveToFree(_ session: Shared<SessionSlot>, now: Int64) -> Bool {
        if owned.freeSlabs.count > Self.slabsAhead { return true }
        return process.pointee.configuration.evicts && makeRoom(session, now: now)
    }

    /// Withholds a slab if that is possible now. Its items are moved or evicted.
    /// - Returns: the work that it took, as `workAtOnce` counts it.
    private func withhold(_ slab: Int, _ session: Shared<SessionSlot>, now: Int64) -> Int {
        let kind = slabs.state(slab)
        let isFree = isFree(slab)
        let mayBeEmptied =
            process.pointee.configuration.evicts
            && [.limbo, .sealed, .open, .runHead, .runTail].contains(kind)
        guard isFree || mayBeEmptied, !state.isPinned(slab) else { return 1 }
        guard claim(slab, session, now: now) else { return Self.workAtOnce }
        let wasUsed = slabs[slab].sequence != 0
        if wasUsed {
            // Its record becomes that of a slab that was never used.
            slabs[slab].sequence = 0
            state.returnMemory(ofSlab: slab)
        }
        resetSlab(slab, session)
        owned.isWithheld[slab] = true
        state.countWithheld(1)
        return !isFree ? Self.workAtOnce : wasUsed ? Self.workOfReturn : 1
    }

    /// Seals open slabs beyond the limit of each session.
    private func narrowOpenSlabs() {
        for place in 0..<SessionSlot.placesMax {
            guard let session = state.sessionSlot(place) else { return }
            state.lockOpenSlabs(session)
            session.pointee.openLimit = openLimit(of: session)
            while session.pointee.openCount > session.pointee.openLimit, let place = leastUsed(session) {
                sealOpenSlab(at: place, session)
            }
            state.unlockOpenSlabs(session)
        }
    }

    /// Slabs that a session may have open.
    func openLimit(of session: Shared<SessionSlot>) -> Int {
        let isShort = owned.freeSlabs.count < state.slabsInUse / Self.freeShareDivisor
        let limit = isShort ? session.pointee.openLimitWhenShort : session.pointee.openLimitMax
        return owned.slabsAllowed == slabCount ? limit : max(3, limit * owned.slabsAllowed / slabCount)
    }

    /// Whether a slab is free and not withheld.
    func isFree(_ slab: Int) -> Bool { slabs.state(slab) == .free && !owned.isWithheld[slab] }
}

extension StoreState {
    /// Slabs that are withheld.
    var withheldCount: Int { Int(atomicLoad(&process.pointee.slabsWithheld)) }
    /// Slabs that are not withheld.
    var slabsInUse: Int { slabCount - withheldCount }

    fileprivate func countWithheld(_ change: Int) {
        atomicStore(&process.pointee.slabsWithheld, UInt32(withheldCount + change))
    }

    fileprivate var isReady: Bool { atomicLoad(&process.pointee.isReady) != 0 }

    /// Returns the whole pages of a slab to the system. In a file their bytes stay on the disk.
    fileprivate func returnMemory(ofSlab slab: Int) {
        let page = Int(LARDER_PAGE_BYTES)
        let start = (slab << Int(slabShift) + page - 1) & ~(page - 1)
        let end = (slab + 1) << Int(slabShift) & ~(page - 1)
        guard start < end else { return }
        // SAFETY: the pages lie within a slab that is claimed, and that no session reads.
        let isShared = process.pointee.configuration.isTransferable && checked == 0
        madvise(base + start, end - start, isShared ? MADV_REMOVE : MADV_DONTNEED)
    }
}

extension Session {
    /// The longest time that `limitMemory` works itself.
    private static let limitMillisecondsMax: Int64 = 10

    /// Limits the memory of the store. It evicts items if that is necessary. If it does not finish in 10 ms, the upkeep
    /// does the rest. Items found before are no longer valid.
    /// - Returns: false if the arena is smaller, the largest item would have no room, or the store has limits in items.
    package func limitMemory(bytes: Int, now: Int64) -> Bool {
        let slabs = bytes >> Int(state.slabShift)
        let isPossible = state.withSpace(slot) { space in
            guard state.account == nil, slabs >= space.slabsAllowedMin, slabs <= state.slabCount else { return false }
            space.allow(slabs: slabs)
            return true
        }
        guard isPossible else { return false }
        let end = monotonicMilliseconds() + Self.limitMillisecondsMax
        var isUnfinished = true
        while isUnfinished, monotonicMilliseconds() < end {
            isUnfinished = state.withSpace(slot) { $0.keepLimit(slot, now: now) }
        }
        return true
    }
}
