import CLarderArena

// SAFETY: `place` stays within the `count` costs.

/// Runs: an item larger than a slab takes as many adjacent slabs as it needs.
extension Space {
    /// Times that another window is tried when a reader's pin turned up in the chosen one.
    private static let windowsTriedMax = 8
    /// Slabs looked at for a window, at least.
    private static let slabsSearched = 1024
    /// Free slabs looked at for a window that was in use.
    private static let freeSlabsTried = 8
    /// More than a dozen old slabs cost.
    private static let usedCost: UInt64 = 1 << 46
    /// More than a dozen used ones. A window of the largest item that there can be, 4,096 slabs, is no overflow.
    private static let youngCost: UInt64 = 1 << 50
    /// Share of the slabs that has to be free for a search to go on where it would cost an item.
    private static let windowFreeShareDivisor = 8
}

extension StoreState {
    func reserveRun(
        _ shape: ItemShape, now: Int64, _ session: Shared<SessionSlot>
    ) -> Reservation? {
        withSpace(session) { $0.reserveRun(shape, now: now, session) }
    }

    /// Lets a published run (or one given up) join the others.
    /// - Parameter life: `ProcessState.life` when the run was taken.
    func finishRun(block: UInt32, life: UInt32, _ session: Shared<SessionSlot>) {
        withSpace(session) { $0.finishRun(slabIndex(ofBlock: block), block: block, life: life, session) }
    }
}

extension Space {
    /// Gives back the run of the item that a session replaced, for the next large one: its memory is there already.
    private func retireEmptiedRun(_ session: Shared<SessionSlot>) {
        let run = Int(session.pointee.emptiedRun)
        guard run != 0 else { return }
        session.pointee.emptiedRun = 0
        // Others may have been faster, and may have used its slabs for something else.
        guard slabs.state(run) == .runHead, slabs.liveBlocks(run) == 0 else { return }
        retireRun(run, session)
    }
}

extension StoreState {
    /// Whether a slot leads to a run's item. A flush that came before the run was on a list has
    /// taken the one without the other.
    fileprivate func isInIndex(_ block: UInt32) -> Bool {
        let item = item(ofBlock: block)
        let hash = hash(of: item)
        let bucket = lockBucket(hash)
        return slot(ofBlock: block, KeyHash.tag(hash), in: bucket) != nil
    }

    func runHead(of slab: Int) -> Int {
        slabs.state(slab) == .runTail ? slab - Int(slabs[slab].run_slabs) : slab
    }
}

extension Space {
    /// Takes a run's item from the index, and the run to limbo.
    func dropRun(_ head: Int, _ session: Shared<SessionSlot>, now: Int64) {
        _ = evacuate(head, .drop, session, now: now)
        retireRun(head, session)
    }

    /// Sends the slabs of an emptied run to limbo.
    func retireRun(_ head: Int, _ session: Shared<SessionSlot>) {
        owned.freshSlabs.remove(head, owned.links)
        let count = Int(slabs[head].run_slabs)
        assert(slabs.state(head) == .runHead && count > 1 && head + count <= slabCount)
        // The live count belongs to the head; the tails have none.
        for slab in head..<head + count {
            sendToLimbo(slab, session)
            state.crashPoint()
        }
    }

    // MARK: Finding a window

    /// Claims `count` adjacent slabs; returns the first.
    private func claimWindow(
        _ count: Int, _ session: Shared<SessionSlot>, now: Int64
    ) -> Int? {
        recycleLimbo(session)
        for _ in 0..<Self.windowsTriedMax {
            guard let first = windowLastFreed(count) ?? cheapestWindow(count) else { return nil }
            if process.pointee.configuration.evicts { spendHitsToStay(outside: first..<first + count) }
            if claim(first..<first + count, session, now: now) { return first }
        }
        return nil
    }

    /// Claims all slabs of a window, or none.
    func claim(_ window: Range<Int>, _ session: Shared<SessionSlot>, now: Int64) -> Bool {
        // Free slabs first, so that what eviction keeps is not moved into the window.
        for slab in window where slabs.state(slab) == .free {
            _ = claim(slab, session, now: now)
        }
        let complete = window.allSatisfy { slab in
            slabs.state(slab) == .claimed || claim(slab, session, now: now)
        }
        if complete { return true }
        for slab in window where slabs.state(slab) == .claimed {
            resetSlab(slab, session)
            owned.freeSlabs.append(slab, owned.links)
        }
        return false
    }

    /// A window of slabs that are all free, rather of those that were in use.
    func freeWindow(_ count: Int) -> Int? {
        if let first = windowLastFreed(count) { return first }
        // The search for another is long where there may be none.
        guard owned.freeSlabs.count > state.slabsInUse / Self.windowFreeShareDivisor,
            let first = cheapestWindow(count)
        else { return nil }
        return (first..<first + count).allSatisfy({ isFree($0) }) ? first : nil
    }

    /// A window of free slabs among those that were in use until lately, which come first in their list.
    private func windowLastFreed(_ count: Int) -> Int? {
        var next = owned.freeSlabs.head
        for _ in 0..<Self.freeSlabsTried where next != SlabList.none {
            let slab = Int(next)
            next = owned.links[slab].next
            guard slabs[slab].sequence != 0 else { return nil }
            var first = slab
            var end = slab + 1
            while end - first < count, first > 0, isFree(first - 1) { first -= 1 }
            while end - first < count, end < slabCount, isFree(end) { end += 1 }
            if end - first == count, !(first..<end).contains(where: state.isPinned) { return first }
        }
        return nil
    }

    /// The window whose eviction costs least: free slabs cost nothing, others the more the
    /// younger they are, by the third power, so that what was stored last stays even where a
    /// young slab has old neighbours; an old large item that was asked for costs more than a dozen others
    /// that are old, and what was stored of late more than all of those. In a large arena it is one of a part
    /// of the slabs, and the next search takes the next part, so that its cost does not grow with the arena.
    /// While much is free, another part is looked at before anything is dropped.
    private func cheapestWindow(_ count: Int) -> Int? {
        guard count <= slabCount else { return nil }
        let span = max(Self.slabsSearched, 4 * count)
        guard span < slabCount else { return cheapestWindow(count, in: 0..<slabCount)?.first }
        let muchIsFree = owned.freeSlabs.count > state.slabsInUse / Self.windowFreeShareDivisor
        var best: (cost: UInt64, first: Int)?
        for _ in 0...slabCount / span {
            // The last part is as long as the others, so that what comes and goes is not at the very end,
            // where the index grows.
            let start = min(owned.windowHand, slabCount - span)
            let end = start + span
            // The next part begins with the windows that reach over the end of this one.
            owned.windowHand = end == slabCount ? 0 : end - count + 1
            guard let found = cheapestWindow(count, in: start..<end) else { continue }
            if best.map({ found.cost < $0.cost }) ?? true { best = found }
            if found.cost == 0 || !muchIsFree { break }
        }
        return best?.first
    }

    private func cheapestWindow(_ count: Int, in range: Range<Int>) -> (cost: UInt64, first: Int)? {
        // What a slab cost when it came into the window is what it costs when it leaves: an open one may have
        // got items meanwhile, without this lock.
        withUnsafeTemporaryAllocation(of: UInt64.self, capacity: count) { costs in
            costs.initialize(repeating: 0)
            var best: (cost: UInt64, first: Int)?
            var cost: UInt64 = 0
            var usable = 0
            var place = 0
            for slab in range {
                guard let own = evictionCost(slab) else {
                    usable = 0
                    cost = 0
                    continue
                }
                if usable < count { usable += 1 } else { cost &-= costs[place] }
                cost &+= own
                costs[place] = own
                place = place + 1 == count ? 0 : place + 1
                guard usable == count, best.map({ cost < $0.cost }) ?? true else { continue }
                best = (cost, slab - count + 1)
                if cost == 0 { break }
            }
            return best
        }
    }

    /// What it costs to empty a slab; nil when it can't be.
    private func evictionCost(_ slab: Int) -> UInt64? {
        let owner = state.runHead(of: slab)
        if state.isPinned(slab) || state.isPinned(owner) { return nil }
        switch slabs.state(slab) {
        case .free: return owned.isWithheld[slab] ? nil : 0
        // Whoever takes it waits for others.
        case .limbo: return 1
        case .sealed, .open, .runHead, .runTail:
            // An open one may get an item at any moment.
            if state.isEmpty(owner), slabs.state(slab) != .open { return 1 }
            guard process.pointee.configuration.evicts else {
                return account == nil ? nil : compactionCost(slab)
            }
            let youth = renewedYouth(owner)
            // Whatever has to be emptied, if nothing in it lives, is cheaper than one slab of items.
            let cost = (youth * youth * youth + 1) << 12
            if isYoung(owner) { return cost + Self.youngCost }
            let isRun = slabs.state(owner) == .runHead
            return isRun && canPayToStay(owner) ? cost + Self.usedCost : cost
        default: return nil
        }
    }

    // MARK: Making a run

    fileprivate func reserveRun(
        _ shape: ItemShape, now: Int64, _ session: Shared<SessionSlot>
    ) -> Reservation? {
        let form = shape.form(wideCas: shape.cas != nil)
        let bytes = form.headerBytes + shape.keyLength + shape.valueLength
        let count = state.slabCount(forBytes: bytes)
        guard
            let head = takeCommitted(shape, form, slabs: count, session)
                ?? claimWindow(count, session, now: now)
        else {
            changeCount(&session.pointee.counters.outOfMemory, 1)
            return nil
        }
        superblock.pointee.slab_sequence += 1
        beginAge(head, count: count)
        let order = shape.order ?? atomicAdd(&superblock.pointee.cas_last, 1) + 1
        for slab in head..<head + count {
            slabs[slab].sequence = superblock.pointee.slab_sequence
            slabs[slab].run_slabs = UInt32(slab == head ? count : slab - head)
            // Until the item is published, only this session may use the run.
            slabs.transition(slab, to: .claimed)
        }
        let expires = shape.expiryMilliseconds != Int64.max
        slabs[head].expiry_base_ms = expires ? shape.expiryMilliseconds - 1 : 0
        slabs[head].expiry_end_ms = shape.expiryMilliseconds
        slabs[head].level = 0
        slabs[head].cas_base = order
        slabs[head].opened_seconds = UInt32(truncatingIfNeeded: now / 1000)
        // As in `openSlab`.
        larder_full_fence()
        let blocks = state.blockCount(forBytes: bytes)
        let block = state.firstBlock(ofSlab: head)
        slabs.setLiveBlocks(head, blocks)
        changeCount(&session.pointee.counters.liveBlocks, Int64(blocks))
        return Reservation(
            session: session, block: block, blockCount: blocks, cas: shape.cas ?? order, order: order,
            form: form, locksOpenSlabs: false, life: process.pointee.life)
    }

    fileprivate func finishRun(_ head: Int, block: UInt32, life: UInt32, _ session: Shared<SessionSlot>) {
        // The store was emptied meanwhile, so the run's slabs may have another owner now.
        guard life == process.pointee.life else { return }
        for slab in head + 1..<head + Int(slabs[head].run_slabs) {
            slabs.transition(slab, to: .runTail)
        }
        state.crashPoint()
        slabs.transition(head, to: .runHead)
        state.crashPoint()
        owned.freshSlabs.append(head, owned.links)
        if slabs.liveBlocks(head) == 0 || !state.isInIndex(block) {
            retireRun(head, session)
        } else if slabs[head].sequence <= process.pointee.flushedSequence {
            // The flush passed before the slot was there: it counts for this item as well.
            dropRun(head, session, now: Int64.min)
        } else if slabs[head].expiry_end_ms != Int64.max {
            awaitAttention(of: head, at: slabs[head].expiry_end_ms)
        }
        retireEmptiedRun(session)
    }
}
