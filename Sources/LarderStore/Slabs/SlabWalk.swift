import CLarderArena

/// Items lie in a slab without gaps, from its first block to its cursor: each one's length tells where
/// the next begins. One that is no more has `dead` set in its form, so that a walk can pass it over.
///
/// The flag is set once, by whoever took the item's slot, while the slot's bucket is still locked: so
/// when a file is opened again it tells what was deleted. No other thread writes that byte.
extension StoreState {
    /// Gives an item's blocks back: its index slot is gone already.
    @inline(__always)
    func release(block: UInt32, blockCount: Int, _ session: Shared<SessionSlot>) {
        // SAFETY: the first byte of an item is its form.
        let form = address(ofBlock: block).assumingMemoryBound(to: UInt8.self)
        larder_store_u8(form, larder_load_u8(form) | ItemForm.dead.rawValue)
        let slab = slabIndex(ofBlock: block)
        slabs.takeLiveBlocks(slab, blockCount)
        larder_count(&session.pointee.counters.liveBlocks, Int64(0 &- blockCount))
        if blockCount > blocksPerSlab { session.pointee.emptiedRun = UInt32(truncatingIfNeeded: slab) }
    }

    /// Makes blocks that were reserved, and not published, one dead item.
    func writeDeadItem(block: UInt32, blockCount: Int) {
        let form: ItemForm = [.dead, .longValue]
        // An item has a key, so two blocks of 8 bytes at least: enough for this header.
        let valueLength = max(0, blockCount << Int(blockShift) - form.headerBytes)
        let item = address(ofBlock: block)
        let low = UInt64(UInt16(truncatingIfNeeded: valueLength))
        item.storeBytes(of: UInt64(form.rawValue) | low << 48, as: UInt64.self)
        item.storeBytes(
            of: UInt32(truncatingIfNeeded: valueLength >> 16), toByteOffset: form.longValueOffset,
            as: UInt32.self)
    }
}
