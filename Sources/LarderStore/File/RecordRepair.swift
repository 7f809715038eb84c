import CLarderArena

/// Records of the slab table with a wrong bit. The items show the bit, because their checksums are seeded with the
/// record.
extension ArenaScan {
    /// The size of the item at a slab's start by its header, before its checksum is compared. 0: there is no item, or
    /// the record cannot be that of a slab in use.
    func firstItemBytes(of slab: Int) -> Int {
        let record = state.slabs[slab]
        // A run is found by its head. One wrong bit cannot turn a used slab into a claimed one, or a free one without
        // items.
        let isUnused = record.slabState == .free && record.cursor_blocks == 0
        guard !isUnused, record.slabState != .claimed, record.slabState != .runTail,
            let item = firstItem(of: slab), item.isCandidate
        else { return 0 }
        return item.totalBytes
    }

    /// The role that the items at a slab's start prove. It does not depend on the record's state. nil: they prove no role.
    ///
    /// The items of a slab that is not in use are dead. So a live one shows that its slab is in use.
    func provenRole(of slab: Int) -> Role? {
        let record = state.slabs[slab]
        guard isOfUse(record), let first = first(of: slab, record) else { return nil }
        guard first.blockCount > state.blocksPerSlab else { return hasLiveItem(slab) ? .items : nil }
        let count = (first.blockCount + state.blocksPerSlab - 1) / state.blocksPerSlab
        return first.verdict == .live && count <= state.slabCount - slab ? .run(count) : nil
    }

    /// Whether a slab of items begins with an item, or with holes and an item.
    func beginsWithItem(_ slab: Int) -> Bool {
        let record = state.slabs[slab]
        let blocks = state.blocksPerSlab
        return wholeImage(of: slab, record, blocks: blocks).first() != nil
    }

    /// Whether a slab in use begins with an item whose checksum does not fit the record. An item that was being written
    /// at a kill does not count.
    func needsMending(_ slab: Int) -> Bool {
        let record = state.slabs[slab]
        guard [.open, .sealed, .runHead].contains(record.slabState), let item = firstItem(of: slab),
            item.state & ItemState.pending == 0, item.totalBytes <= Self.triedBytesMax
        else { return false }
        return first(of: slab, record) == nil
    }

    /// The checksum of a larger item takes too long to be computed for every bit of a record.
    private static let triedBytesMax = 1 << 20

    /// A slab's record with one bit changed, so that the checksum of the first item fits; nil: it fits with no bit
    /// changed.
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

    /// The number of bits that `mendedRecord` tries.
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
        // The item may be one of a run, and such an item may have been given a later expiry.
        record.run_slabs = 2
        return wholeImage(of: slab, record, blocks: blocks).first()
    }

    /// The blocks that the first item may take. One wrong bit turns the state of a run's head into one of a few states.
    /// In all other states the item must end within the slab.
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
