import CLarderArena

/// Free slabs, limbo, and the search for room. Everything here is under the space lock.
extension Space {
    /// Free slabs that only eviction itself may use, for the items that it keeps.
    private static let keptReserve = 1
    /// Slabs, free or in limbo, below which a session makes room ahead of need, so that the next
    /// one finds a slab whose readers are gone already.
    static let slabsAhead = 3
    /// Slabs emptied in a row without one more being free before items pay more for being kept, and
    /// before none is kept. It bounds how long one set may wait.
    private static let reclaimsBeforeSurcharge = 4
    private static let reclaimsBeforeDropping = 16
    /// Slabs whose holes are closed in a row before items are dropped, and before room ahead of need is left alone.
    private static let closingsMax = 64
    private static let closingsAheadMax = 16
    /// The same where nothing may be dropped: enough for a slab to be gained from holes of a hundredth each.
    private static let reclaimsBeforeRefusing = 128

    /// A slab to open; nil when nothing can be dropped.
    /// - Parameter areItemsLarge: whether items that are as large as what the slab is for are soon moved.
    func takeFreeSlab(
        forKept: Bool, areItemsLarge: Bool, _ session: Shared<SessionSlot>, now: Int64
    ) -> Int? {
        forKept || makeRoom(areItemsLarge: areItemsLarge, session, now: now) ? popFree() : nil
    }

    /// Sees to it that a slab is free beside the one that eviction itself may need.
    func makeRoom(
        areItemsLarge: Bool = false, _ session: Shared<SessionSlot>, now: Int64
    ) -> Bool {
        var mayReclaim = true
        // Emptying a slab may fill another, so that going on could move the same items for ever.
        var vainReclaims = 0
        var closings = 0
        var wait = BoundedWait()
        let evicts = process.pointee.configuration.evicts
        func reclaim() {
            let before = owned.freeSlabs.count + unpinnedLimboCount()
            let purpose: Evacuation =
                !evicts
                ? .evict(surcharge: 0)
                : vainReclaims < Self.reclaimsBeforeDropping
                    ? .evict(surcharge: vainReclaims / Self.reclaimsBeforeSurcharge) : .drop
            let reclaimed = reclaimSlab(purpose, mayMove: closings < Self.closingsMax, &wait, session, now: now)
            mayReclaim = reclaimed != .nothing && (evicts || vainReclaims < Self.reclaimsBeforeRefusing)
            let after = owned.freeSlabs.count + unpinnedLimboCount()
            if after > before {
                vainReclaims = 0
            } else if reclaimed != .holes || !evicts {
                vainReclaims += 1
            }
            if reclaimed == .holes, evicts { closings += 1 }
        }
        if owned.freeSlabs.count > Self.slabsAhead {
            if account != nil {
                keepCompact(session, now: now)
            } else {
                stayInUsedMemory(areItemsLarge: areItemsLarge, session, now: now)
            }
        }
        while true {
            recycleLimbo(session)
            let free = owned.freeSlabs.count
            let coming = unpinnedLimboCount()
            // Where nothing may be dropped, room ahead of need is not worth much copying.
            let isWorthIt =
                free <= Self.keptReserve
                || (evicts ? closings < Self.closingsAheadMax : vainReclaims < Self.reclaimsBeforeSurcharge)
            if mayReclaim, isWorthIt, free + coming < Self.slabsAhead {
                reclaim()
                continue
            }
            if free > Self.keptReserve { return true }
            if coming == 0 {
                guard mayReclaim else { break }
                reclaim()
                continue
            }
            // What is in limbo comes free when the other sessions' turns end.
            state.checkMayAwaitSections()
            guard wait.goesOn(until: .sectionsEnd, state) else { break }
        }
        changeCount(&session.pointee.counters.outOfMemory, 1)
        return false
    }

    private func popFree() -> Int? {
        guard let slab = owned.freeSlabs.first else { return nil }
        assert(slabs.state(slab) == .free)
        owned.freeSlabs.remove(slab, owned.links)
        return slab
    }

    /// Puts a slab that no item can be reached in any more into limbo. It is on no list.
    func sendToLimbo(_ slab: Int, _ session: Shared<SessionSlot>) {
        larder_full_fence()
        assert(slab >= 0 && slab < slabCount)
        slabs[slab].limbo_epoch = atomicAdd(&process.pointee.epoch, 1) + 1
        slabs.transition(slab, to: .limbo)
        owned.limboSlabs.append(slab, owned.links)
        changeCount(&session.pointee.counters.slabsReclaimed, 1)
    }

    /// Frees the slabs of limbo that no session can still be reading.
    /// - Returns: whether there may be more of them than `slabsMax`.
    @discardableResult
    func recycleLimbo(_ session: Shared<SessionSlot>, slabsMax: Int = Int.max) -> Bool {
        guard owned.limboSlabs.count > 0 else {
            noteLimboIsEmpty()
            return false
        }
        let oldest = state.oldestEpoch()
        var next = owned.limboSlabs.head
        var recycled = 0
        while next != SlabList.none, recycled < slabsMax {
            let slab = Int(next)
            next = owned.links[slab].next
            guard slabs[slab].limbo_epoch <= oldest else { return false }
            guard !state.isPinned(slab) else { continue }
            owned.limboSlabs.remove(slab, owned.links)
            recycled += 1
            resetSlab(slab, session)
            // The next to be used: its pages are there already, and may be in the cache.
            owned.freeSlabs.prepend(slab, owned.links)
        }
        if owned.limboSlabs.count == 0 { noteLimboIsEmpty() }
        return recycled == slabsMax
    }

    /// Slabs of limbo that waiting alone will free.
    private func unpinnedLimboCount() -> Int {
        var count = 0
        var next = owned.limboSlabs.head
        while next != SlabList.none {
            if !state.isPinned(Int(next)) { count += 1 }
            next = owned.links[Int(next)].next
        }
        return count
    }

    /// Makes a slab as new. What is left of its live count are items that a flush took from the
    /// index without looking at them.
    func resetSlab(_ slab: Int, _ session: Shared<SessionSlot>) {
        let left = slabs.liveBlocks(slab)
        if left != 0 {
            changeCount(&session.pointee.counters.liveBlocks, -Int64(left))
            noteReset(slab, blocks: Int64(left))
        }
        slabs.setLiveBlocks(slab, 0)
        slabs[slab].cursor_blocks = 0
        slabs[slab].run_slabs = 0
        state.crashPoint()
        slabs.transition(slab, to: .free)
    }

    // MARK: Slabs at a given place

    /// A slab for the index: the last one that is not the index's already, emptied if need be, so
    /// that the index does not stand in the way of long runs.
    func takeIndexSlab(_ session: Shared<SessionSlot>, now: Int64) -> Int? {
        guard makeRoom(session, now: now) else { return nil }
        let wanted = lastSlabForIndex()
        guard let slab = claim(wanted, session, now: now) ? wanted : popFree() else { return nil }
        state.clear(slab: slab)
        state.crashPoint()
        slabs.transition(slab, to: .index)
        owned.indexSlabs += 1
        return slab
    }

    /// The last slab that can be emptied without the loss of a large item, which is never moved: where
    /// memory is short, an old one is no loss.
    private func lastSlabForIndex() -> Int {
        let isShort = owned.freeSlabs.count < Self.slabsAhead
        return (1..<slabCount).last { slab in
            switch slabs.state(slab) {
            case .index, .claimed, .metadata: return false
            case .free: return isFree(slab)
            case .runHead, .runTail:
                let head = state.runHead(of: slab)
                return state.isEmpty(head) || isShort && !isYoung(head)
            default: return true
            }
        } ?? slabCount - 1
    }
}

extension StoreState {
    /// Whether nothing in a slab is an item any more.
    func isEmpty(_ slab: Int) -> Bool { slabs.liveBlocks(slab) == 0 || isFlushed(slab: slab) }
}

extension Space {
    /// Waits until there is room to move what a slab holds, or nothing is left to wait for: rather than drop what
    /// there will be room for when the other sessions' turns end.
    private func awaitLimbo(_ session: Shared<SessionSlot>) {
        var wait = BoundedWait()
        awaitFreeSlabs(Self.slabsAhead, &wait, session)
    }

    /// Waits for a slab that moved items can go to, if there will be one.
    func awaitFreeSlab(_ wait: inout BoundedWait, _ session: Shared<SessionSlot>) { awaitFreeSlabs(1, &wait, session) }

    private func awaitFreeSlabs(_ wanted: Int, _ wait: inout BoundedWait, _ session: Shared<SessionSlot>) {
        state.checkMayAwaitSections()
        while owned.freeSlabs.count < wanted, unpinnedLimboCount() > 0 {
            recycleLimbo(session)
            guard wait.goesOn(until: .sectionsEnd, state) else { return }
        }
    }

    /// Empties a slab, wherever it is, waits for its readers, and takes it for the caller; false
    /// when it can't be had now. It is reset and on no list.
    func claim(_ slab: Int, _ session: Shared<SessionSlot>, now: Int64) -> Bool {
        guard !state.isPinned(slab) else { return false }
        if slabs.state(slab) == .open { sealWherever(slab) }
        switch slabs.state(slab) {
        case .free:
            guard isFree(slab) else { return false }
            owned.freeSlabs.remove(slab, owned.links)
            slabs.transition(slab, to: .claimed)
            return true
        case .sealed:
            guard process.pointee.configuration.evicts || state.isEmpty(slab) else {
                // Nothing may be dropped; where there is room by contract, it can be moved.
                guard account != nil else { return false }
                removeSealed(slab)
                guard evacuate(slab, .move, session, now: now) else {
                    appendSealed(slab)
                    return false
                }
                sendToLimbo(slab, session)
                break
            }
            awaitLimbo(session)
            let isWorthMoving = owned.freeSlabs.count >= Self.slabsAhead || isYoung(slab) || hasManyHoles
            removeSealed(slab)
            if !isWorthMoving || !evacuate(slab, .move, session, now: now) {
                _ = evacuate(slab, .evict(surcharge: 0), session, now: now)
            }
            sendToLimbo(slab, session)
        case .runHead, .runTail:
            let head = state.runHead(of: slab)
            guard process.pointee.configuration.evicts || state.isEmpty(head),
                !state.isPinned(head)
            else { return false }
            dropRun(head, session, now: now)
        case .limbo: break
        default: return false
        }
        var wait = BoundedWait()
        state.checkMayAwaitSections()
        while slabs.state(slab) == .limbo {
            recycleLimbo(session)
            guard !state.isPinned(slab), wait.goesOn(until: .sectionsEnd, state) else {
                return false
            }
        }
        return slabs.state(slab) == .free
            && claim(slab, session, now: now)
    }
}
