import CLarderArena

/// Finds the items of an arena that nobody vouches for, and changes nothing in it.
///
/// What is read may be anything at all: left by a process that was killed in the middle of any
/// instruction, truncated, or made up. So no number is used before it was compared with the arena's
/// bounds, and an item counts only with the checksum that its place, its slab and its bytes ask for.
struct ArenaScan {
    /// The geometry, and where the arena is. The process's part of it is not used.
    let state: StoreState
    /// Slabs opened up to this one were flushed.
    let flushedSequence: UInt64
    /// Absolute milliseconds: what expires up to now is dead.
    let now: Int64

    enum Kind {
        case live
        /// Deleted, replaced or moved.
        case dead
        case expired
        /// It was not published, and might have been refused.
        case pending
        /// No item starts here.
        case damaged
    }

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
        if record.state == LARDER_SLAB_INDEX.rawValue { return .index }
        guard record.sequence < Rebuild.sequenceMax else { return .nothing }
        switch record.state {
        case LARDER_SLAB_OPEN.rawValue, LARDER_SLAB_SEALED.rawValue:
            return record.sequence > flushedSequence && Int(record.cursor_blocks) <= state.blocksPerSlab
                ? .items : .nothing
        // A run is claimed until its maker knows it published, which may be an instant too late.
        case LARDER_SLAB_RUN_HEAD.rawValue, LARDER_SLAB_CLAIMED.rawValue:
            let count = Int(record.run_slabs)
            guard record.sequence > flushedSequence, count > 1, count <= state.slabCount - slab else {
                return .nothing
            }
            for tail in slab + 1..<slab + count {
                let state = state.slabs[tail].state
                guard state == LARDER_SLAB_RUN_TAIL.rawValue || state == LARDER_SLAB_CLAIMED.rawValue,
                    Int(self.state.slabs[tail].run_slabs) == tail - slab
                else { return .nothing }
            }
            return .run(count)
        default: return .nothing
        }
    }

    /// Visits a slab's items in their order, and what lies between them.
    func forEachItem(in slab: Int, _ visit: (Kind, _ block: Int, _ blockCount: Int) -> Void) {
        let start = Int(state.firstBlock(ofSlab: slab))
        let end = start + min(Int(state.slabs[slab].cursor_blocks), state.blocksPerSlab)
        var damagedFrom: Int?
        var wrongBytesLeft = Self.wrongSlabsMax << Int(state.slabShift)
        var position = start
        while position < end, wrongBytesLeft > 0 {
            guard let (kind, count) = item(at: position, end: end, &wrongBytesLeft) else {
                damagedFrom = damagedFrom ?? position
                position += 1
                continue
            }
            if let from = damagedFrom {
                // Too short to be made a dead item of: what follows goes with it.
                guard position - from >= Self.holeBlocksMin(state) else {
                    position += count
                    continue
                }
                visit(.damaged, from, position - from)
                damagedFrom = nil
            }
            visit(kind, position, count)
            position += count
        }
        if damagedFrom != nil || position < end {
            let from = damagedFrom ?? position
            visit(.damaged, from, end - from)
        }
    }

    /// The item of a run of slabs, if it is there and fills them.
    func run(at head: Int, slabs count: Int) -> (kind: Kind, blockCount: Int)? {
        let start = Int(state.firstBlock(ofSlab: head))
        var wrongBytesLeft = 0
        guard let (kind, blocks) = item(at: start, end: start + count * state.blocksPerSlab, &wrongBytesLeft),
            blocks > (count - 1) * state.blocksPerSlab
        else { return nil }
        return (kind, blocks)
    }

    /// What starts at a block; nil when it is no item.
    ///
    /// SAFETY: `end` lies inside the arena, and nothing is read behind it.
    private func item(at block: Int, end: Int, _ wrongBytesLeft: inout Int) -> (Kind, Int)? {
        let item = Item(state.address(ofBlock: UInt32(truncatingIfNeeded: block)))
        let form = item.form
        let room = (end - block) << Int(state.blockShift)
        guard form.isSubset(of: .known), form.headerBytes <= room else { return nil }
        let total = item.totalBytes
        guard total <= room else { return nil }
        let count = state.blockCount(forBytes: total)
        // Made of blocks that were reserved and not used: `writeDeadItem`.
        if form.contains(.dead), !form.contains(.checked) { return (.dead, count) }
        guard form.contains(.checked), item.keyLength > 0 else { return nil }
        guard state.storedChecksum(of: item) == state.checksum(of: item, block: block) else {
            wrongBytesLeft -= total
            return nil
        }
        if form.contains(.dead) { return (.dead, count) }
        if larder_load_u8(item.stateField) & ItemState.pending != 0 { return (.pending, count) }
        return (lifetime(of: item, block: block), count)
    }

    /// The expiry is no part of the checksum: one that its slab cannot have is damage.
    private func lifetime(of item: Item, block: Int) -> Kind {
        let slab = state.slabs + state.slabIndex(ofBlock: UInt32(truncatingIfNeeded: block))
        guard item.form.contains(.expires) else { return slab.pointee.expiry_end_ms == Int64.max ? .live : .damaged }
        let expiry = state.expiry(of: item)
        let end = slab.pointee.expiry_end_ms
        // A touch in place may have given a run's item a later one.
        let isRun = slab.pointee.run_slabs > 1
        guard end != Int64.max, expiry > slab.pointee.expiry_base_ms, expiry <= end || isRun else { return .damaged }
        return expiry <= now ? .expired : .live
    }
}
