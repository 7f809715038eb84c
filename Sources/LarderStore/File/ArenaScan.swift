import CLarderArena

/// Finds the items of an arena that nobody vouches for, and changes nothing in it.
///
/// What is read may be anything at all: so no number is used before it was compared with the arena's bounds. What an
/// item is says `ItemImage`.
struct ArenaScan {
    /// The geometry, and where the arena is. The process's part of it is not used.
    let state: StoreState
    /// Slabs opened up to this one were flushed.
    let flushedSequence: UInt64
    /// Absolute milliseconds. An item is dead if its expiry is not later.
    let now: Int64

    /// What a slab holds.
    enum Role: Equatable {
        case items
        /// One item, in this many slabs.
        case run(Int)
        case index
        /// The rest: free, or of no use.
        case nothing
    }

    /// Blocks that checksums may be wrong over, in slabs, before the rest of a slab is given up: what
    /// was made to look like items would otherwise be read again and again.
    private static let wrongSlabsMax = 4

    /// What `writeDeadItem` needs.
    private static func holeBlocksMin(_ state: StoreState) -> Int {
        let form: ItemForm = [.dead, .longValue]
        return state.blockCount(forBytes: form.headerBytes)
    }

    func role(of slab: Int) -> Role {
        let record = state.slabs[slab]
        if record.slabState == .index { return .index }
        guard record.sequence < Rebuild.sequenceMax else { return .nothing }
        switch record.slabState {
        case .open, .sealed:
            return record.sequence > flushedSequence ? .items : .nothing
        // A run is claimed until its maker knows it published, which may be an instant too late.
        case .runHead, .claimed:
            let count = Int(record.run_slabs)
            guard record.sequence > flushedSequence, count > 1, count <= state.slabCount - slab else {
                return .nothing
            }
            for tail in slab + 1..<slab + count {
                let state = state.slabs[tail].slabState
                guard state == .runTail || state == .claimed,
                    Int(self.state.slabs[tail].run_slabs) == tail - slab
                else { return .nothing }
            }
            return .run(count)
        default: return .nothing
        }
    }

    /// Visits a slab's items in their order, and what lies between them.
    func forEachItem(in slab: Int, _ visit: (ItemImage.Verdict, _ block: Int, _ blockCount: Int) -> Void) {
        let blocks = min(Int(state.slabs[slab].cursor_blocks), state.blocksPerSlab)
        let wrongBytesMax = Self.wrongSlabsMax << Int(state.slabShift)
        image(of: slab, blocks: blocks, roomBlocks: state.blocksPerSlab).forEachItem(wrongBytesMax: wrongBytesMax) {
            verdict, block, count, _ in visit(verdict, block, count)
        }
    }

    /// The item of a run of slabs, if it is there and fills them.
    func run(at head: Int, slabs count: Int) -> (verdict: ItemImage.Verdict, blockCount: Int)? {
        let blocks = count * state.blocksPerSlab
        return image(of: head, blocks: blocks, roomBlocks: blocks).run(slabs: count).map { ($0.verdict, $0.blockCount) }
    }

    /// `roomBlocks` from the slab's start lie inside the arena: `role` has compared them with its bounds.
    private func image(of slab: Int, blocks: Int, roomBlocks: Int) -> SlabImage {
        SlabImage(
            state, of: slab, state.slabs[slab], blocks: blocks, roomBlocks: roomBlocks, now: now,
            holeBlocksMin: Self.holeBlocksMin(state))
    }

    /// The blocks from a slab's start, read with the seeds of `record`. They must lie within the arena.
    func wholeImage(of slab: Int, _ record: larder_slab, blocks: Int) -> SlabImage {
        SlabImage(state, of: slab, record, blocks: blocks, roomBlocks: blocks, now: now, holeBlocksMin: 0)
    }
}
