import CLarderArena

/// The second half of a recount: what is only right as a whole.
extension InvariantCheck {
    /// Every line of the overflow slabs is free or was met in a chain, and not both.
    mutating func checkOverflowLines() {
        let process = state.process
        var freeCount: UInt64 = 0
        var number = process.pointee.overflowFree
        while number != 0 {
            guard isOverflowLine(number) else { return fail("line \(number) is free and no overflow line") }
            guard linesMet.insert(number).inserted else { return fail("line \(number) is free and in use") }
            let empty = state.line(number).match(UInt8(LARDER_TAG_EMPTY))
            if empty != 1 << UInt32(LARDER_BUCKET_SLOTS) - 1 { fail("free line \(number) has tags") }
            freeCount += 1
            number = state.line(number).block(0)
        }
        if freeCount != process.pointee.overflowLineCount {
            fail("\(freeCount) overflow lines are free, \(process.pointee.overflowLineCount) are counted")
        }
        let slabs = (0..<state.slabCount).count {
            slabState($0) == .index && !directorySlabs.contains($0)
        }
        if linesMet.count != slabs * geometry.bucketsPerSlab {
            fail("\(linesMet.count) overflow lines are known of \(slabs) slabs of them")
        }
    }

    /// Whatever expires is waited for: its memory comes back without anyone reading it.
    mutating func checkHeap(_ space: borrowing Space) {
        let entries = space.owned.expiryHeap.entries
        var awaited: [Int64?] = Array(repeating: nil, count: state.slabCount)
        for (place, entry) in entries.enumerated() {
            if entries[(max(place, 1) - 1) / 2].time > entry.time {
                fail("the heap is out of order at \(place)")
            }
            guard Int(entry.slab) < state.slabCount else {
                fail("the heap waits for slab \(entry.slab), which does not exist")
                continue
            }
            if state.slabs[Int(entry.slab)].sequence == entry.sequence {
                awaited[Int(entry.slab)] = min(entry.time, awaited[Int(entry.slab)] ?? Int64.max)
            }
        }
        for slab in 0..<state.slabCount where firstExpiry[slab] != Int64.max {
            // A fine slab goes when its last item has expired, a run when its only one has.
            let isRun = slabState(slab) == .runHead
            let wanted = isRun ? firstExpiry[slab] : state.slabs[slab].expiry_end_ms
            guard let time = awaited[slab] else {
                fail("nobody waits for slab \(slab) to expire")
                continue
            }
            if time - state.process.pointee.configuration.bucketIntervalMilliseconds > wanted {
                fail("slab \(slab) is waited for until \(time) and expires at \(wanted)")
            }
        }
    }

    mutating func checkCounters() {
        // Of a flush that is not swept, the sum of the items is known to the item only after the sweep.
        let counted = state.countedItems() - Int64(bitPattern: state.process.pointee.itemsFlushed)
        if counted != Int64(itemCount + flushedItemCount) {
            fail("\(counted) items are counted, \(itemCount) and \(flushedItemCount) flushed ones are in the index")
        }
        // What a flush took from the index stays counted until its slab is made new.
        var live = 0
        for slab in 0..<state.slabCount {
            let isLeft = slabState(slab) == .limbo || state.isFlushed(slab: slab)
            live += isLeft ? Int(state.slabs.liveBlocks(slab)) : liveBlocks[slab]
        }
        if state.countedBlocks() != Int64(live) {
            fail("\(state.countedBlocks()) live blocks are counted, \(live) are there")
        }
    }
}
