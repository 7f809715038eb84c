import CLarderArena

/// Records of the slab table with a wrong bit. The items show it: their checksums are seeded with the record.
extension ArenaScan {
    /// Bytes that the item at a slab's start takes by its header, before its checksum is looked at; 0: there is none, or
    /// the record cannot be that of a slab in use.
    func firstItemBytes(of slab: Int) -> Int {
        let record = state.slabs[slab]
        // A run is found by its head. One wrong bit does not make a used slab a claimed or a free one without items.
        let isUnused = record.slabState == .free && record.cursor_blocks == 0
        guard !isUnused, record.slabState != .claimed, record.slabState != .runTail,
            let item = firstItem(of: slab), item.isCandidate
        else { return 0 }
        return item.totalBytes
    }

    /// The role that the items at a slab's start prove, whatever state the record has; nil: they prove none.
    ///
    /// The items of a slab that is not in use are dead. So a live one shows that its slab is in use.
    func provenRole(of slab: Int) -> Role? {
        let record = state.slabs[slab]
        guard isOfUse(record), let first = first(of: slab, record) else { return nil }
        guard first.blockCount > state.blocksPerSlab else { return hasLiveItem(slab) ? .items : nil }
        let count = (first.blockCount + state.blocksPerSlab - 1) / state.blocksPerSlab
        return first.verdict == .live && count <= state.slabCount - slab ? .run(count) : nil
    }

    /// Whether a slab of items begins with one, or with a hole.
    func beginsWithItem(_ slab: Int) -> Bool {
        let record = state.slabs[slab]
        let blocks = state.blocksPerSlab
        return wholeImage(of: slab, record, blocks: blocks).first() != nil
    }

    /// Whether a slab in use begins with an item whose checksum is not the one that the record asks for. What was being
    /// written at a kill is not meant.
    func needsMending(_ slab: Int) -> Bool {
        let record = state.slabs[slab]
        guard [.open, .sealed, .runHead].contains(record.slabState), let item = firstItem(of: slab),
            item.state & ItemState.pending == 0, item.totalBytes <= Self.triedBytesMax
        else { return false }
        return first(of: slab, record) == nil
    }

    /// Items larger than this are not tried with many records.
    private static let triedBytesMax = 1 << 20

    /// A slab's record with one bit changed, so that the first item has the checksum that the record asks for; nil: no
    /// bit does it.
    func mendedRecord(of slab: Int) -> larder_slab? {
        let record = state.slabs[slab]
        for number in 0..<Self.recordBits {
            var changed = record
            let bit = UInt64(1) << UInt64(number % UInt64.bitWidth)
            switch number / UInt64.bitWidth {
            case 0: changed.sequence ^= bit
            case 1: changed.cas_base ^= bit
            case 2: changed.expiry_base_ms ^= Int64(bitPattern: bit)
            default: changed.expiry_end_ms ^= Int64(bitPattern: bit)
            }
            if isOfUse(changed), first(of: slab, changed) != nil { return changed }
        }
        return nil
    }

    /// Those that `mendedRecord` tries.
    static let recordBits = 4 * UInt64.bitWidth

    func isOfUse(_ record: larder_slab) -> Bool {
        record.sequence > flushedSequence && record.sequence < Rebuild.sequenceMax
    }

    private func firstItem(of slab: Int) -> ItemImage? {
        let start = UnsafeRawPointer(state.address(ofBlock: state.firstBlock(ofSlab: slab)))
        return ItemImage(start, room: blocksFrom(slab, state.slabs[slab]) << Int(state.blockShift))
    }

    private func first(of slab: Int, _ record: larder_slab) -> SlabImage.Found? {
        var record = record
        let blocks = blocksFrom(slab, record)
        // So that an item of a run may have been given a later expiry.
        record.run_slabs = 2
        return wholeImage(of: slab, record, blocks: blocks).first()
    }

    /// One wrong bit makes a run's head one of few things. In other slabs the item may not go beyond the slab.
    private func blocksFrom(_ slab: Int, _ record: larder_slab) -> Int {
        let states: [UInt32] = [0b0011, 0b0010, 0b0001, 0b0111, 0b1011]
        let mayBeHead = states.contains(record.state) || record.state > 0b1111
        return (mayBeHead ? state.slabCount - slab : 1) * state.blocksPerSlab
    }

    private func hasLiveItem(_ slab: Int) -> Bool {
        var isThere = false
        forEachItem(in: slab) { verdict, _, _ in isThere = isThere || verdict == .live }
        return isThere
    }
}
