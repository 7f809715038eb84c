import CLarderArena

/// How far the sweep after a flush has come. Under the space lock; the counts are atomic and may be read without it.
struct FlushSweep {
    /// The next bucket to clear.
    var bucket = 0
    /// Buckets behind this one have been made since the flush, and lead to no flushed item.
    var bucketsEnd = 0
    /// The next slab to give back, once no slot leads to a flushed item.
    var slab = 0
    /// Items that the sessions had counted at the flush, those of earlier flushes included.
    var itemsCounted: Int64 = 0
    /// Blocks of flushed items that the sessions still count.
    var blocksCounted: Int64 = 0
}

/// A flush drops every item at once, by the number of the slab that was opened last: an item in a slab with that number
/// or a lower one is missing. What is left of it in the index and in the slabs is given back in slices, so that no
/// request waits for a walk through the index:
///
/// - a lookup that finds an item of a flushed slab has found nothing (`isValid`);
/// - a session that locks a bucket clears it of flushed items first, so that no code under the lock meets one;
/// - the upkeep clears the buckets in their order, then gives the slabs back;
/// - where memory is needed before, a flushed slab is the first to be given back: the buckets of its items are cleared.
///
/// The index may hold slots of flushed items only while `attention.flushing` is set, but for a large item that is
/// stored while it begins: `finishRun` takes that one away.
extension Space {
    /// Slabs that are given back in one slice for each bucket of a slice.
    private static let slabsForBuckets = 4
    /// The slices that a flush does at once, so that a small store has nothing left of it.
    private static let slicesAtOnce = 8
    /// Slabs looked at for a flushed one that is not pinned.
    private static let flushedSearched = 64
}

extension StoreState {
    @inline(__always)
    var isFlushing: Bool { atomicLoad(&process.pointee.attention.flushing) != 0 }

    /// Whether a slot may lead to an item that is missing: see `isValid`.
    @inline(__always)
    var needsAttention: Bool { isAttentionNeeded(&process.pointee.attention) }

    /// Whether the sweep is still under way does not matter: it may have ended since the index was read.
    func isValid(block: UInt32) -> Bool { !isCondemned && !isFlushed(block: block) }

    private func isFlushed(block: UInt32) -> Bool {
        let slab = slabIndex(ofBlock: block)
        // Of a damaged slot, which leads out of the arena, nothing is left either.
        return slab >= slabCount || slabs[slab].sequence <= atomicLoad(&process.pointee.flushedSequence)
    }

    /// Whether all items in a slab were flushed, and slots may still lead to them.
    func isFlushed(slab: Int) -> Bool { isFlushing && slabs[slab].sequence <= process.pointee.flushedSequence }
}

extension Space {
    /// Drops every item. Under the space lock.
    func flush(_ session: Shared<SessionSlot>) {
        for place in 0..<SessionSlot.placesMax {
            guard let slot = state.sessionSlot(place) else { break }
            sealOpenSlabs(slot)
        }
        state.crashPoint()
        // Nothing is stored before this flush ends but into runs, which `finishRun` looks after.
        writeFlushSequence(superblock.pointee.slab_sequence)
        process.pointee.flushSweep = FlushSweep(
            bucketsEnd: Int(atomicLoad(&superblock.pointee.bucket_count)),
            itemsCounted: state.countedItems(), blocksCounted: state.countedBlocks())
        state.crashPoint()
        atomicStore(&process.pointee.attention.flushing, 1)
        account?.removedAll()
        state.crashPoint()
        atomicStore(&process.pointee.nextTickMilliseconds, 0)
        for _ in 0..<Self.slicesAtOnce where state.isFlushing {
            sweepFlushed(session, bucketsMax: process.pointee.configuration.bucketsSweptMax)
        }
        recycleLimbo(session)
    }

    /// Does a slice of what a flush has left to do. Under the space lock.
    func sweepFlushed(_ session: Shared<SessionSlot>, bucketsMax: Int) {
        guard state.isFlushing else { return }
        let end = process.pointee.flushSweep.bucketsEnd
        let all = UInt32(1) << UInt32(LARDER_BUCKET_SLOTS) - 1
        for _ in 0..<bucketsMax where process.pointee.flushSweep.bucket < end {
            let bucket = state.bucketAddress(process.pointee.flushSweep.bucket)
            process.pointee.flushSweep.bucket += 1
            if bucket.match(UInt8(LARDER_TAG_EMPTY)) == all { continue }
            // To lock it clears it.
            state.lock(bucket).unlock()
        }
        guard process.pointee.flushSweep.bucket >= end else { return }
        for _ in 0..<bucketsMax * Self.slabsForBuckets where process.pointee.flushSweep.slab < slabCount {
            let slab = process.pointee.flushSweep.slab
            process.pointee.flushSweep.slab += 1
            guard slabs[slab].sequence <= process.pointee.flushedSequence else { continue }
            giveBack(flushed: slab, session)
        }
        guard process.pointee.flushSweep.slab >= slabCount else { return }
        atomicStore(&process.pointee.attention.flushing, 0)
    }
}

extension StoreState {
    /// Takes the slots of flushed items out of a locked bucket.
    @inline(never)
    func clearFlushed(_ bucket: borrowing LockedBucket) {
        var cleared: UInt64 = 0
        var current: Shared<larder_bucket>? = bucket.first
        for _ in 0..<Self.chainLinesMax {
            guard let line = current else { break }
            // Taken before a slot's removal may give the line back.
            current = overflow(of: line)
            for number in 0..<UInt32(LARDER_BUCKET_SLOTS) {
                let tag = line.tag(number)
                guard tag != UInt8(LARDER_TAG_EMPTY), tag != UInt8(LARDER_TAG_LINK) else { continue }
                let block = line.block(number)
                guard isFlushed(block: block) else { continue }
                removeSlot(IndexSlot(line: line, number: number, block: block), from: bucket)
                cleared += 1
            }
        }
        if cleared > 0 { _ = atomicAdd(&process.pointee.itemsFlushed, cleared) }
    }
}

extension Space {
    // MARK: Slabs

    /// A slab whose items were flushed, to be given back before any other is emptied.
    func oldestFlushedSlab() -> Int? {
        guard state.isFlushing else { return nil }
        // Where nothing may be dropped, no other slab gives room.
        let searched = process.pointee.configuration.evicts ? Self.flushedSearched : slabCount
        for list in [owned.freshSlabs, owned.keptSlabs] {
            var next = list.head
            for _ in 0..<searched where next != SlabList.none {
                let slab = Int(next)
                next = owned.links[slab].next
                if state.isFlushed(slab: slab), !state.isPinned(slab) { return slab }
            }
        }
        return nil
    }

    /// Takes a slab's items from the index, and sends it to limbo.
    func dropFlushed(_ slab: Int, _ session: Shared<SessionSlot>) {
        takeFromIndex(flushed: slab)
        giveBack(flushed: slab, session)
    }

    /// Clears the buckets of a slab's items.
    /// - Returns: how many there are.
    @discardableResult
    func takeFromIndex(flushed slab: Int) -> Int {
        var items = SlabItems(state, of: slab)
        var count = 0
        while slabs.liveBlocks(slab) != 0, let item = items.next() {
            if item.form.contains(.dead) { continue }
            items.prefetchNext()
            count += 1
            // To lock it clears it.
            state.lockBucket(hash(of: item)).unlock()
        }
        return count
    }

    /// Sends a slab to limbo that no slot leads to. A run that is still being made is left to `finishRun`.
    private func giveBack(flushed slab: Int, _ session: Shared<SessionSlot>) {
        switch slabs.state(slab) {
        case .runHead: retireRun(slab, session)
        case .sealed:
            removeSealed(slab)
            sendToLimbo(slab, session)
        default: break
        }
    }
}

extension StoreState {
    // MARK: Counts

    /// Items that sessions count and that are no more. Until the sweep has cleared their slots, that is what was
    /// counted at the flush.
    var flushedItemCount: Int64 {
        isFlushing
            ? counted(&process.pointee.flushSweep.itemsCounted)
            : Int64(bitPattern: atomicLoad(&process.pointee.itemsFlushed))
    }

    /// Blocks that sessions count and that are no item's any more.
    var flushedBlockCount: Int64 { counted(&process.pointee.flushSweep.blocksCounted) }
}

extension Space {
    /// The blocks of a slab are no longer counted.
    func noteReset(_ slab: Int, blocks: Int64) {
        guard slabs[slab].sequence <= process.pointee.flushedSequence else { return }
        changeCount(&process.pointee.flushSweep.blocksCounted, -blocks)
    }

    /// Nothing is in limbo. What was deleted while a flush began may have been counted twice.
    func noteLimboIsEmpty() {
        let left = counted(&process.pointee.flushSweep.blocksCounted)
        if left != 0, !state.isFlushing { changeCount(&process.pointee.flushSweep.blocksCounted, -left) }
    }
}

extension StoreState {
    /// Makes the store one that was never flushed. No session is in a section.
    func forgetFlush() {
        atomicStore(&process.pointee.flushedSequence, 0)
        atomicStore(&process.pointee.itemsFlushed, 0)
        process.pointee.flushSweep = FlushSweep()
        atomicStore(&process.pointee.attention.flushing, 0)
    }
}
