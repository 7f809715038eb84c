import CLarderArena

/// Which slab to empty when room is needed. Under the space lock.
///
/// First those whose time is over, then those that are mostly holes, then the oldest. Fresh items
/// have a queue of slabs of their own: what is not asked for while it passes through is dropped
/// there, so that a scan does not push out what is in use (S3-FIFO, SOSP '23, by slabs).
extension Space {
    /// Slabs looked at to find one with holes; and before an item has to go though there are some.
    private static let samples = 16
    private static let samplesMax = 256
    /// How many random slabs are drawn to find one that is not withheld.
    private static let drawsMax = 16
    /// While less of the items' memory lives, holes of this share of a slab are closed rather than live items dropped.
    private static let livePercentMax: Int64 = 94
    private static let holesMinDivisor = 16
    /// Slabs emptied for one that is opened, where memory that never was used is to stay so.
    private static let closingsMax = 4
    /// Slabs looked at for the one with the most holes.
    private static let slabsSearched = 4096
    /// Slabs at the head of the queue of fresh ones that are looked at for large items in use.
    private static let waitingMax = 256
    /// Ticks in which the whole slab table is looked at for emptied slabs.
    private static let tableParts = 16
    /// Share of the slabs that fresh items may hold before they are the ones to make room.
    private static let freshShareDivisor = 6

    enum Reclaimed {
        /// No slab may be emptied.
        case nothing
        /// A slab's live items are in other slabs now: as much memory is gained as it had holes.
        case holes
        /// A slab was emptied.
        case slab
    }

    /// Empties one slab into limbo.
    /// - Parameters:
    ///   - mayMove: whether holes may be closed by moving all that lives.
    ///   - wait: how long this may wait for a slab that items can be moved to.
    func reclaimSlab(
        _ purpose: Evacuation, mayMove: Bool, _ wait: inout BoundedWait, _ session: Shared<SessionSlot>, now: Int64
    ) -> Reclaimed {
        if let flushed = oldestFlushedSlab() {
            dropFlushed(flushed, session)
            return .slab
        }
        var budget = WorkBudget.unlimited
        if reclaimDue(session, now: now, slabsMax: 1, &budget) > 0 { return .slab }
        if mayMove, let holey = slabWorthClosing() {
            awaitFreeSlab(&wait, session)
            if closeHoles(holey, session, now: now) { return .holes }
        }
        guard process.pointee.configuration.evicts else { return .nothing }
        return evictSlab(purpose, session, now: now) ? .slab : .nothing
    }

    /// Empties the slab whose items are found least; false when no slab may be emptied.
    private func evictSlab(_ purpose: Evacuation, _ session: Shared<SessionSlot>, now: Int64) -> Bool {
        // When nothing comes of it, the queues' order is left: what is found least has to go.
        let isInVain = if case .evict(surcharge: 0) = purpose { false } else { true }
        if isInVain, let cold = coldVictim() {
            evict(cold, purpose, session, now: now)
            return true
        }
        // A run is passed over a few times at most.
        for _ in 0..<4 * slabCount {
            guard let victim = evictionVictim() else { break }
            if passOver(victim) { continue }
            // At the head already, since large items that are in use were passed over: it has its time still.
            let spared = isNew(victim) ? coldVictim() : nil
            evict(spared ?? victim, purpose, session, now: now)
            return true
        }
        // Many sessions in a small arena: all there is lies in their open slabs.
        guard let open = oldestOpenSlab() else { return false }
        sealWherever(open)
        evict(open, purpose, session, now: now)
        return true
    }

    private func evict(
        _ slab: Int, _ purpose: Evacuation, _ session: Shared<SessionSlot>, now: Int64
    ) {
        if slabs.state(slab) == .runHead {
            return dropRun(slab, session, now: now)
        }
        removeSealed(slab)
        _ = evacuate(slab, purpose, session, now: now)
        sendToLimbo(slab, session)
    }

    /// Moves a slab's live items together elsewhere.
    private func closeHoles(_ slab: Int, _ session: Shared<SessionSlot>, now: Int64) -> Bool {
        if slabs.state(slab) == .runHead {
            retireRun(slab, session)
            return true
        }
        removeSealed(slab)
        guard evacuate(slab, .move, session, now: now) else {
            appendSealed(slab)
            return false
        }
        sendToLimbo(slab, session)
        return true
    }

    /// Closes holes rather than use memory that never was used: to fault in and clear pages costs more than to copy as
    /// many bytes twice. Where items are small, it is their number that costs, and only what is mostly holes is closed.
    func stayInUsedMemory(areItemsLarge: Bool, _ session: Shared<SessionSlot>, now: Int64) {
        // Of large ones five are copied for three that are gained, of small ones three for thirteen.
        let holesMin = areItemsLarge ? blocksPerSlab * 3 / 8 : blocksPerSlab * 13 / 16
        for _ in 0..<Self.closingsMax {
            recycleLimbo(session)
            guard !hasUsedFreeSlabs, let slab = holeySlab(holesMin), closeHoles(slab, session, now: now) else { return }
        }
    }

    /// Whether of the free slabs two were in use before: one to open, and one for what closing holes moves. They
    /// come first.
    private var hasUsedFreeSlabs: Bool {
        guard let first = owned.freeSlabs.first, slabs[first].sequence != 0 else { return false }
        let second = owned.links[first].next
        return second != SlabList.none && slabs[Int(second)].sequence != 0
    }

    /// Of the slabs that were filled first, and of some at random, the one with the most holes, if it has enough. What
    /// is overwritten often leaves young slabs empty behind old ones that are full.
    private func holeySlab(_ holesMin: Int) -> Int? {
        var best: (holes: Int, slab: Int)?
        func consider(_ slab: Int) {
            let holes = holes(slab)
            if holes >= holesMin, holes > best?.holes ?? 0, !state.isPinned(slab) { best = (holes, slab) }
        }
        for list in [owned.freshSlabs, owned.keptSlabs] {
            var next = list.head
            for _ in 0..<Self.samples where next != SlabList.none {
                consider(Int(next))
                next = owned.links[Int(next)].next
            }
        }
        for _ in 0..<Self.samples { consider(nextSample()) }
        return best?.slab
    }

    /// Where nothing may be dropped, every hole counts: the slab with the most of them, if those of all slabs
    /// that were looked at make up for one. In a large arena that is a part of it, and the next search goes on
    /// behind it.
    private func slabOfMostHoles() -> Int? {
        var best: (holes: Int, slab: Int)?
        var total = 0
        for _ in 0..<min(slabCount, Self.slabsSearched) {
            owned.holeHand = (owned.holeHand + 1) % slabCount
            let slab = owned.holeHand
            let holes = holes(slab)
            guard holes > 0, !state.isPinned(slab) else { continue }
            total += holes
            if holes > best?.holes ?? 0 { best = (holes, slab) }
        }
        return total >= blocksPerSlab ? best?.slab : nil
    }

    /// A slab with so many holes that closing them is better than to drop items.
    private func slabWorthClosing() -> Int? {
        if !process.pointee.configuration.evicts, account == nil { return slabOfMostHoles() }
        let isThorough = hasManyHoles || !process.pointee.configuration.evicts
        let holesMin = isThorough ? blocksPerSlab / Self.holesMinDivisor : blocksPerSlab / 2
        var best: (holes: Int, slab: Int)?
        func consider(_ slab: Int) {
            let holes = holes(slab)
            if holes > max(holesMin, best?.holes ?? 0), !state.isPinned(slab) { best = (holes, slab) }
        }
        for _ in 0..<Self.samples { consider(nextSample()) }
        guard isThorough, best?.holes ?? 0 < blocksPerSlab / 2 else { return best?.slab }
        // What was filled first has most holes where everything is overwritten alike.
        for list in [owned.freshSlabs, owned.keptSlabs] {
            var next = list.head
            for _ in 0..<Self.samples where next != SlabList.none {
                consider(Int(next))
                next = owned.links[Int(next)].next
            }
        }
        for _ in Self.samples..<Self.samplesMax {
            if let best, best.holes >= 2 * holesMin { break }
            consider(nextSample())
        }
        return best?.slab
    }

    /// Whether the slabs have so many holes that Larder closes them rather than drops a live item. With fewer holes,
    /// too many items would have to be moved for one free slab.
    var hasManyHoles: Bool {
        let unused = owned.freeSlabs.count + owned.limboSlabs.count + state.withheldCount
        let itemSlabs = slabCount - owned.metadataSlabs - owned.indexSlabs - unused
        return state.liveBlockCount() < Int64(itemSlabs) * Int64(blocksPerSlab) * Self.livePercentMax / 100
    }

    /// A slab at random. Neighbours would not do: they were filled one after the other, and so are
    /// of one age and much alike.
    func nextSample() -> Int {
        for _ in 1..<Self.drawsMax {
            let slab = Int(nextSampleBits()) % slabCount
            if !owned.isWithheld[slab] { return slab }
        }
        return Int(nextSampleBits()) % slabCount
    }

    /// Blocks that moving a slab's live items together gains. What is free at the end of a sealed slab was too short
    /// for the next item, and would be again: it counts only where most is holes, or the slab was sealed early.
    private func holes(_ slab: Int) -> Int {
        let live = Int(slabs.liveBlocks(slab))
        switch slabs.state(slab) {
        case .sealed:
            let counts = live <= blocksPerSlab / 2 || owned.sealedEarly[slab]
            return counts ? blocksPerSlab - live : Int(slabs[slab].cursor_blocks) - live
        case .runHead: return live == 0 ? blocksPerSlab : 0
        default: return 0
        }
    }

    /// Sends slabs to limbo whose items were all deleted, a part of the slab table at a time.
    func retireEmptied(_ session: Shared<SessionSlot>) {
        for _ in 0..<(slabCount + Self.tableParts - 1) / Self.tableParts {
            owned.emptyHand = (owned.emptyHand + 1) % slabCount
            let slab = owned.emptyHand
            guard slabs.liveBlocks(slab) == 0, holes(slab) == blocksPerSlab else {
                continue
            }
            if slabs.state(slab) == .runHead {
                retireRun(slab, session)
            } else {
                removeSealed(slab)
                sendToLimbo(slab, session)
            }
        }
    }
}

extension StoreState {
    func isPinned(_ slab: Int) -> Bool { atomicLoad(&process.pointee.pins[slab]) != 0 }
}

extension Space {
    /// The open slab that was opened first, of any session.
    private func oldestOpenSlab() -> Int? {
        (0..<slabCount)
            .filter { slabs.state($0) == .open && !state.isPinned($0) }
            .min { slabs[$0].sequence < slabs[$1].sequence }
    }

    private func evictionVictim() -> Int? {
        let fresh = owned.freshSlabs
        let kept = owned.keptSlabs
        if kept.count == 0 { return fresh.first }
        if fresh.count * Self.freshShareDivisor > fresh.count + kept.count { return fresh.first }
        return kept.first
    }

    /// A large item that was asked for goes to the end of the queue, once for each time. So does a
    /// pinned slab: to empty it would give no memory now.
    private func passOver(_ slab: Int) -> Bool {
        let isRun = slabs.state(slab) == .runHead
        if isRun {
            guard state.isPinned(slab) || spendHitsToStay(slab) else { return false }
            renew(slab)
            moveToEnd(slab)
        } else {
            guard state.isPinned(slab) else { return false }
            removeSealed(slab)
            appendSealed(slab)
        }
        return true
    }

    /// Takes from a large item the hits that its staying costs; false when it has too few.
    private func spendHitsToStay(_ run: Int) -> Bool {
        let blockCount = Int(slabs.liveBlocks(run))
        guard blockCount > 0 else { return false }
        let item = state.item(ofBlock: state.firstBlock(ofSlab: run))
        let before = item.state
        let hits = Int(before & ItemState.frequencyMask)
        let price = retentionPrice(blockCount: blockCount, hits: hits, isKept: false)
        guard hits >= price else { return false }
        // A hit at this very moment keeps its count.
        _ = item.exchangeState(before, stateAfterPaying(price, before))
        return true
    }

    /// Whether a large item was asked for often enough to stay.
    func canPayToStay(_ run: Int) -> Bool {
        let blockCount = Int(slabs.liveBlocks(run))
        guard blockCount > 0 else { return false }
        let before = state.item(ofBlock: state.firstBlock(ofSlab: run)).state
        let hits = Int(before & ItemState.frequencyMask)
        return hits > 0 && hits >= retentionPriceMax(blockCount: blockCount)
    }

    /// Lets large items pay whose turn it was before that of a window that is to be emptied, and which stay since they
    /// were asked for: each of them is then as old as what is stored now.
    func spendHitsToStay(outside window: Range<Int>) {
        var youth: UInt64 = 0
        for slab in window {
            let owner = state.runHead(of: slab)
            if slabs.liveBlocks(owner) > 0 { youth = max(youth, renewedYouth(owner)) }
        }
        // Most windows are free, and nobody's turn.
        guard youth > 0 else { return }
        var next = owned.freshSlabs.head
        for _ in 0..<Self.waitingMax where next != SlabList.none {
            let slab = Int(next)
            next = owned.links[slab].next
            guard slabs.state(slab) == .runHead,
                !window.contains(slab), !isYoung(slab), renewedYouth(slab) < youth, spendHitsToStay(slab)
            else { continue }
            renew(slab)
            moveToEnd(slab)
        }
    }

    private func moveToEnd(_ run: Int) {
        owned.freshSlabs.remove(run, owned.links)
        owned.freshSlabs.append(run, owned.links)
    }
}
