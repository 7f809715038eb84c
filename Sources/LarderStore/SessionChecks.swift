import CLarderArena

/// Checks of single items, for decisions that outlive the store: its file may be changed by another program.
extension Session {
    /// Whether an item has its checksum. To be asked after its bytes were used. An item in memory has none, and is
    /// taken for intact.
    package func isIntact(_ item: Item) -> Bool {
        guard isInFile else { return true }
        let block = Int(state.block(of: item))
        let slab = state.slabIndex(ofBlock: UInt32(truncatingIfNeeded: block))
        // SAFETY: the item was found within the arena, whose bytes up to its end may be read.
        let room = state.slabCount << Int(state.slabShift) - block << Int(state.blockShift)
        guard let image = ItemImage(item.base, room: room), image.isCandidate else { return false }
        let count = image.contentBytes
        guard image.form.headerBytes &+ count <= room else { return false }
        let checksum = image.checksum(
            of: image.content, count: count, in: state.slabs[slab], hashSeed: state.hashSeed, block: block)
        return checksum == image.carriedChecksum
    }

    /// Has the store emptied, because an item of its file is not as it was written.
    package func condemn() { state.condemn(.fileChanged) }
}
