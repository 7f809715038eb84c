import CLarderArena

/// A limited store has more arena than it may fill, so that there is room for everything that its limits
/// allow. What it takes of it is to follow what it holds all the same. Under the space lock.
extension StoreState {
    /// Slabs in use before holes are worth a look.
    private static let slabsToSpare = 16
    /// Slabs looked at, of which one is emptied for each that is opened.
    private static let slabsLookedAt = 32

    /// Closes the holes of one slab if live items fill less than half of what is in use.
    func keepCompact(_ session: Shared<SessionSlot>, now: Int64) {
        let inUse = process.pointee.freshSlabs.count + process.pointee.keptSlabs.count
        let filled = Int(liveBlockCount()) / blocksPerSlab
        guard inUse > 2 * filled + Self.slabsToSpare else { return }
        for _ in 0..<min(Self.slabsLookedAt, process.pointee.freshSlabs.count) {
            guard let slab = process.pointee.freshSlabs.first else { return }
            if slabs.state(slab) == .sealed,
                Int(slabs.liveBlocks(slab)) < blocksPerSlab / 2,
                !isPinned(slab)
            {
                removeSealed(slab)
                guard evacuate(slab, .move, session, now: now) else { return appendSealed(slab) }
                return sendToLimbo(slab, session)
            }
            // Nobody is dropped by age here, so the order of the list is nothing but whose turn it is.
            process.pointee.freshSlabs.remove(slab, process.pointee.links)
            process.pointee.freshSlabs.append(slab, process.pointee.links)
        }
    }

    /// What it costs to empty a slab whose items must not be lost: nil when it is a run's.
    func compactionCost(_ slab: Int) -> UInt64? {
        switch slabs.state(slab) {
        case .sealed, .open:
            UInt64(slabs.liveBlocks(slab)) + 2
        default: nil
        }
    }
}
