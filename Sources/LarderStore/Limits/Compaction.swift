import CLarderArena

/// A limited store has more arena than it may fill, so that there is room for everything that its limits
/// allow. What it takes of it is to follow what it holds all the same. Under the space lock.
extension Space {
    /// Slabs in use before holes are worth a look.
    private static let slabsToSpare = 16
    /// Slabs looked at, of which one is emptied for each that is opened.
    private static let slabsLookedAt = 32

    /// Closes the holes of one slab if live items fill less than half of what is in use.
    func keepCompact(_ session: Shared<SessionSlot>, now: Int64) {
        let inUse = owned.freshSlabs.count + owned.keptSlabs.count
        let filled = Int(state.liveBlockCount()) / blocksPerSlab
        guard inUse > 2 * filled + Self.slabsToSpare else { return }
        for _ in 0..<min(Self.slabsLookedAt, owned.freshSlabs.count) {
            guard let slab = owned.freshSlabs.first else { return }
            if slabs.state(slab) == .sealed,
                Int(slabs.liveBlocks(slab)) < blocksPerSlab / 2,
                !state.isPinned(slab)
            {
                removeSealed(slab)
                guard evacuate(slab, .move, session, now: now) else { return appendSealed(slab) }
                return sendToLimbo(slab, session)
            }
            // Nobody is dropped by age here, so the order of the list is nothing but whose turn it is.
            owned.freshSlabs.remove(slab, owned.links)
            owned.freshSlabs.append(slab, owned.links)
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
