import CLarderArena

/// One bit for each block of the arena: set exactly while a live item covers the block.
///
/// The bits of a sealed slab and the lengths in its items' headers are what a walk needs: from an
/// item's end, the next set bit is the next item's first block. For that, `clear` goes from the
/// item's last word to its first, so that what is left of a dying item always includes its start.
///
/// SAFETY: callers pass blocks inside the arena, so every word lies inside the bitmap.
extension StoreState {
    @inline(__always)
    private func mask(from low: Int, to high: Int) -> UInt64 {
        // Bits low..<high of a word, with 0 <= low < high <= 64.
        (UInt64.max &>> UInt64(truncatingIfNeeded: 64 &- (high &- low))) &<< UInt64(truncatingIfNeeded: low)
    }

    @inline(__always)
    func setBlocks(_ first: UInt32, count: Int) {
        var bit = Int(first)
        let end = bit &+ count
        while bit < end {
            let low = bit & 63
            let high = min(64, low &+ (end &- bit))
            larder_or_u64(bitmap + (bit &>> 6), mask(from: low, to: high))
            bit &+= high &- low
        }
    }

    @inline(__always)
    func clearBlocks(_ first: UInt32, count: Int) {
        let start = Int(first)
        var end = start &+ count
        while end > start {
            let wordStart = (end &- 1) & ~63
            let low = max(start, wordStart)
            larder_and_u64(bitmap + (wordStart &>> 6), ~mask(from: low & 63, to: end &- wordStart))
            end = low
        }
    }

    /// The first set block in `from..<end`, or nil.
    func nextUsedBlock(from: Int, end: Int) -> Int? {
        var bit = from
        while bit < end {
            let word = larder_load_u64(bitmap + (bit &>> 6)) &>> UInt64(truncatingIfNeeded: bit & 63)
            if word != 0 {
                let found = bit &+ word.trailingZeroBitCount
                return found < end ? found : nil
            }
            bit = (bit | 63) &+ 1
        }
        return nil
    }

    func isBlockUsed(_ block: Int) -> Bool {
        larder_load_u64(bitmap + (block >> 6)) >> UInt64(block & 63) & 1 == 1
    }

    /// Clears a whole slab's bits. Nobody else may reach the slab any more.
    func clearAllBlocks(ofSlab slab: Int) {
        let first = Int(firstBlock(ofSlab: slab))
        if blocksPerSlab >= 64 {
            // SAFETY: slabs are powers of two of at least 64 blocks here, so they own whole words.
            (bitmap + (first >> 6)).update(repeating: 0, count: blocksPerSlab >> 6)
        } else {
            clearBlocks(UInt32(first), count: blocksPerSlab)
        }
    }

    /// Gives an item's blocks back: its index slot is gone already.
    @inline(__always)
    func release(block: UInt32, blockCount: Int, _ session: UnsafeMutablePointer<SessionSlot>) {
        clearBlocks(block, count: blockCount)
        let slab = slabIndex(ofBlock: block)
        _ = larder_add_u32(&slabs[slab].live_blocks, 0 &- UInt32(truncatingIfNeeded: blockCount))
        larder_count(&session.pointee.counters.liveBlocks, Int64(0 &- blockCount))
    }
}
