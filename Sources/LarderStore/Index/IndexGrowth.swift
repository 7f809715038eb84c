import CLarderArena

/// The index grows by one bucket at a time, in slabs taken from the arena's end.
///
/// Under the space lock, but for taking and giving back overflow lines, which have a lock of their
/// own because they happen under a bucket's lock.
extension StoreState {
    /// Items a bucket holds on average when the index is as dense as it should be. Twelve slots and
    /// this many items make some 8 bytes an item, overflow lines included, and a fifth of the
    /// buckets overflow.
    static let itemsPerBucket: Int64 = 9
}

extension Space {
    /// Buckets divided in one go at most: some tens of microseconds.
    private static let splitsAtOnceMax = 64
}

extension StoreState {
    /// Overflow lines that must be at hand before an item is inserted: one for each session, and
    /// some for the splits.
    var overflowReserve: UInt64 { UInt64(process.pointee.configuration.sessionsExpected) &+ 8 }

    func takeOverflowLine() -> UInt32? {
        lock(.overflow, &process.pointee.overflowLock)
        defer { unlock(.overflow, &process.pointee.overflowLock) }
        let number = process.pointee.overflowFree
        guard number != 0 else {
            // The list lies in the arena. If one page of it is lost, the rest of the list is lost, too.
            atomicStore(&process.pointee.overflowLineCount, 0)
            return nil
        }
        let taken = line(number)
        process.pointee.overflowFree = taken.block(0)
        atomicStore(&process.pointee.overflowLineCount, process.pointee.overflowLineCount &- 1)
        taken.publish(0, 0)
        return number
    }

    func giveBackOverflowLine(_ number: UInt32) {
        let free = line(number)
        lock(.overflow, &process.pointee.overflowLock)
        // A reader may still look at it: tags stay empty, only the link below changes.
        free.publish(0, process.pointee.overflowFree)
        process.pointee.overflowFree = number
        atomicStore(&process.pointee.overflowLineCount, process.pointee.overflowLineCount &+ 1)
        unlock(.overflow, &process.pointee.overflowLock)
    }

    @inline(__always)
    var hasOverflowReserve: Bool { atomicLoad(&process.pointee.overflowLineCount) >= overflowReserve }
}

extension Space {
    /// Makes the lines of one more slab available for overflow. Under the space lock.
    func addOverflowSlab(_ session: Shared<SessionSlot>, now: Int64) -> Bool {
        guard let slab = takeIndexSlab(session, now: now) else { return false }
        let first = slab << Int(slabShift - 6)
        for number in first..<first + (1 << Int(slabShift - 6)) {
            state.giveBackOverflowLine(UInt32(truncatingIfNeeded: number))
        }
        return true
    }

    /// Divides buckets until the index is as dense as it should be, or as often as one go allows.
    /// Under the space lock.
    func growIndex(_ session: Shared<SessionSlot>, now: Int64) {
        let wanted = state.itemCount() / StoreState.itemsPerBucket
        for _ in 0..<Self.splitsAtOnceMax {
            let count = atomicLoad(&superblock.pointee.bucket_count)
            guard Int64(count) < wanted else { return }
            if !state.hasOverflowReserve, !addOverflowSlab(session, now: now) { return }
            let slab = Int(count) >> Int(slabShift - 6)
            if slab >= Int(superblock.pointee.index_slab_count) {
                guard slab < slabCount, let taken = takeIndexSlab(session, now: now) else { return }
                directory[slab] = UInt32(taken)
                superblock.pointee.index_slab_count += 1
            }
            if !splitBucket(count: count, session), !addOverflowSlab(session, now: now) { return }
        }
    }
}

extension StoreState {
    var indexIsTooDense: Bool {
        Int64(atomicLoad(&superblock.pointee.bucket_count)) < itemCount() / Self.itemsPerBucket
    }

    /// Items in the index, summed over sessions. Flushed ones do not count.
    func itemCount() -> Int64 { max(0, countedItems() &- flushedItemCount) }

    /// Blocks of live items, summed over sessions. Those of flushed items do not count.
    func liveBlockCount() -> Int64 { max(0, countedBlocks() &- flushedBlockCount) }

    /// Items that sessions have counted, flushed ones included.
    func countedItems() -> Int64 {
        var sum = process.pointee.endedCounters.items
        for place in 0..<SessionSlot.placesMax {
            guard let slot = sessionSlot(place) else { break }
            sum &+= counted(&slot.pointee.counters.items)
        }
        return sum
    }

    /// The same of blocks.
    func countedBlocks() -> Int64 {
        var sum = process.pointee.endedCounters.liveBlocks
        for place in 0..<SessionSlot.placesMax {
            guard let slot = sessionSlot(place) else { break }
            sum &+= counted(&slot.pointee.counters.liveBlocks)
        }
        return sum
    }
}

extension Space {
    /// Moves what belongs to the new bucket `count` out of the bucket that it splits from; false,
    /// and nothing moved, when the halves could need more overflow lines than there are to spare.
    private func splitBucket(count: UInt64, _ session: Shared<SessionSlot>) -> Bool {
        let low = (1 as UInt64) << UInt64(63 - count.leadingZeroBitCount)
        state.prefetchItems(of: state.bucketAddress(Int(count & (low - 1))))
        let source = state.lock(state.bucketAddress(Int(count & (low - 1))))
        guard
            atomicLoad(&process.pointee.overflowLineCount) >= state.overflowReserve
                + state.lineCount(after: source.first)
        else { return false }
        // Nobody can reach the new bucket before the count says so.
        let target = LockedBucket(unreachable: state.bucketAddress(Int(count)))
        var current: Shared<larder_bucket>? = source.first
        for _ in 0..<StoreState.chainLinesMax {
            guard let line = current else { break }
            // Taken before a slot's removal may give the line back.
            current = state.overflow(of: line)
            for number in 0..<UInt32(LARDER_BUCKET_SLOTS) {
                let tag = line.tag(number)
                guard tag != UInt8(LARDER_TAG_EMPTY), tag != UInt8(LARDER_TAG_LINK) else { continue }
                let slot = IndexSlot(line: line, number: number, block: line.block(number))
                let item = state.item(ofBlock: slot.block)
                let hash = hash(of: item)
                guard hash & (2 * low - 1) == count else { continue }
                if state.insert(block: slot.block, tag: tag, into: target) {
                    state.removeSlot(slot, from: source)
                } else {
                    // More sessions than expected took the lines meanwhile: an item dropped is a miss,
                    // one left in the wrong bucket could come back after its deletion.
                    changeCount(&session.pointee.counters.items, -1)
                    changeCount(&session.pointee.counters.evictions, 1)
                    if let account { account.removed(item, hash) }
                    state.remove(slot, from: source, session)
                }
            }
        }
        target.unlock()
        atomicStore(&superblock.pointee.bucket_count, count + 1)
        return true
    }
}

extension StoreState {
    /// Overflow lines in a locked bucket's chain.
    fileprivate func lineCount(after bucket: Shared<larder_bucket>) -> UInt64 {
        var count: UInt64 = 0
        var current = bucket
        while count < Self.chainLinesMax, let next = overflow(of: current) {
            count += 1
            current = next
        }
        return count
    }

    /// The items' keys are read for their hashes: fetch them together.
    fileprivate func prefetchItems(of bucket: Shared<larder_bucket>) {
        for number in 0..<UInt32(LARDER_BUCKET_SLOTS) {
            let block = bucket.block(number)
            if block != 0, bucket.tag(number) != UInt8(LARDER_TAG_LINK) {
                prefetch(block: block)
            }
        }
    }
}
