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
    /// Buckets divided in one go at most: some tens of microseconds.
    private static let splitsAtOnceMax = 64

    /// Overflow lines that must be at hand before an item is inserted: one for each session, and
    /// some for the splits.
    var overflowReserve: UInt64 { UInt64(process.pointee.configuration.sessionsExpected) &+ 8 }

    func takeOverflowLine() -> UInt32? {
        lock(.overflow, &process.pointee.overflowLock)
        defer { unlock(.overflow, &process.pointee.overflowLock) }
        let number = process.pointee.overflowFree
        guard number != 0 else {
            // The list lies in the arena. If one page of it is lost, the rest of the list is lost, too.
            larder_store_u64(&process.pointee.overflowLineCount, 0)
            return nil
        }
        let taken = line(number)
        process.pointee.overflowFree = taken.block(0)
        larder_store_u64(&process.pointee.overflowLineCount, process.pointee.overflowLineCount &- 1)
        taken.publish(0, 0)
        return number
    }

    func giveBackOverflowLine(_ number: UInt32) {
        let free = line(number)
        lock(.overflow, &process.pointee.overflowLock)
        // A reader may still look at it: tags stay empty, only the link below changes.
        free.publish(0, process.pointee.overflowFree)
        process.pointee.overflowFree = number
        larder_store_u64(&process.pointee.overflowLineCount, process.pointee.overflowLineCount &+ 1)
        unlock(.overflow, &process.pointee.overflowLock)
    }

    @inline(__always)
    var hasOverflowReserve: Bool { larder_load_u64(&process.pointee.overflowLineCount) >= overflowReserve }

    /// Makes the lines of one more slab available for overflow. Under the space lock.
    func addOverflowSlab(_ session: Shared<SessionSlot>, now: Int64) -> Bool {
        guard let slab = takeIndexSlab(session, now: now) else { return false }
        let first = slab << Int(slabShift - 6)
        for number in first..<first + (1 << Int(slabShift - 6)) {
            giveBackOverflowLine(UInt32(truncatingIfNeeded: number))
        }
        return true
    }

    /// Divides buckets until the index is as dense as it should be, or as often as one go allows.
    /// Under the space lock.
    func growIndex(_ session: Shared<SessionSlot>, now: Int64) {
        let wanted = itemCount() / Self.itemsPerBucket
        for _ in 0..<Self.splitsAtOnceMax {
            let count = larder_load_u64(&superblock.pointee.bucket_count)
            guard Int64(count) < wanted else { return }
            if !hasOverflowReserve, !addOverflowSlab(session, now: now) { return }
            let slab = Int(count) >> Int(slabShift - 6)
            if slab >= Int(superblock.pointee.index_slab_count) {
                guard slab < slabCount, let taken = takeIndexSlab(session, now: now) else { return }
                directory[slab] = UInt32(taken)
                superblock.pointee.index_slab_count += 1
            }
            if !splitBucket(count: count, session), !addOverflowSlab(session, now: now) { return }
        }
    }

    var indexIsTooDense: Bool {
        Int64(larder_load_u64(&superblock.pointee.bucket_count)) < itemCount() / Self.itemsPerBucket
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
            sum &+= larder_counted(&slot.pointee.counters.items)
        }
        return sum
    }

    /// The same of blocks.
    func countedBlocks() -> Int64 {
        var sum = process.pointee.endedCounters.liveBlocks
        for place in 0..<SessionSlot.placesMax {
            guard let slot = sessionSlot(place) else { break }
            sum &+= larder_counted(&slot.pointee.counters.liveBlocks)
        }
        return sum
    }

    /// Moves what belongs to the new bucket `count` out of the bucket that it splits from; false,
    /// and nothing moved, when the halves could need more overflow lines than there are to spare.
    private func splitBucket(count: UInt64, _ session: Shared<SessionSlot>) -> Bool {
        let low = (1 as UInt64) << UInt64(63 - count.leadingZeroBitCount)
        let source = bucketAddress(Int(count & (low - 1)))
        let target = bucketAddress(Int(count))
        prefetchItems(of: source)
        lock(source)
        guard
            larder_load_u64(&process.pointee.overflowLineCount) >= overflowReserve + lineCount(after: source)
        else {
            unlockBucket(source)
            return false
        }
        // Nobody can reach the new bucket before the count says so.
        var current: Shared<larder_bucket>? = source
        for _ in 0..<Self.chainLinesMax {
            guard let lineOfChain = current else { break }
            // Taken before a slot's removal may give the line back.
            let next = overflow(of: lineOfChain)
            for number in 0..<UInt32(LARDER_BUCKET_SLOTS) {
                let tag = lineOfChain.tag(number)
                guard tag != UInt8(LARDER_TAG_EMPTY), tag != UInt8(LARDER_TAG_LINK) else { continue }
                let block = lineOfChain.block(number)
                let item = Item(address(ofBlock: block))
                let hash = KeyHash.hash(item.key, count: item.keyLength, seed: hashSeed)
                guard hash & (2 * low - 1) == count else { continue }
                let moved = insert(block: block, tag: tag, into: target)
                removeSlot(IndexSlot(line: lineOfChain, number: number, block: block), from: source)
                if !moved {
                    // More sessions than expected took the lines meanwhile: an item dropped is a miss,
                    // one left in the wrong bucket could come back after its deletion.
                    larder_count(&session.pointee.counters.items, -1)
                    larder_count(&session.pointee.counters.evictions, 1)
                    if let bounds { bounds.removed(item, hash) }
                    release(block: block, blockCount: blockCount(forBytes: item.totalBytes), session)
                }
            }
            current = next
        }
        larder_store_u64(&superblock.pointee.bucket_count, count + 1)
        unlockBucket(source)
        return true
    }

    /// Overflow lines in a locked bucket's chain.
    private func lineCount(after bucket: Shared<larder_bucket>) -> UInt64 {
        var count: UInt64 = 0
        var current = bucket
        while count < Self.chainLinesMax, let next = overflow(of: current) {
            count += 1
            current = next
        }
        return count
    }

    /// The items' keys are read for their hashes: fetch them together.
    private func prefetchItems(of bucket: Shared<larder_bucket>) {
        for number in 0..<UInt32(LARDER_BUCKET_SLOTS) {
            let block = bucket.block(number)
            if block != 0, bucket.tag(number) != UInt8(LARDER_TAG_LINK) {
                larder_prefetch(address(ofBlock: block))
            }
        }
    }
}
