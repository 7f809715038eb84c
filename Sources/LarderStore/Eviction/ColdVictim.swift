import CLarderArena

/// Whom to empty when the queues' heads are all in use. Under the space lock.
extension Space {
    /// Slabs, and items of each, that are looked at.
    private static let slabsLookedAt = 16
    private static let itemsLookedAt = 16

    /// Of some slabs drawn by lot, with nothing in them that was stored of late, the one whose items are
    /// found least; the first such slab in the queues where the lot fell on none.
    func coldVictim() -> Int? {
        var best: (found: Int, slab: Int)?
        for _ in 0..<Self.slabsLookedAt {
            let slab = nextSample()
            guard isOldAndSealed(slab) else { continue }
            let found = foundPercent(slab)
            if best.map({ found < $0.found }) ?? true { best = (found, slab) }
        }
        return best?.slab ?? firstOldSlab()
    }

    private func firstOldSlab() -> Int? {
        for list in [owned.keptSlabs, owned.freshSlabs] {
            var next = list.head
            while next != SlabList.none {
                if isOldAndSealed(Int(next)) { return Int(next) }
                next = owned.links[Int(next)].next
            }
        }
        return nil
    }

    private func isOldAndSealed(_ slab: Int) -> Bool {
        let kind = slabs.state(slab)
        return (kind == .sealed || kind == .runHead) && !isYoung(slab) && !state.isPinned(slab)
    }

    /// How many of a slab's first live items were found of late, of a hundred.
    private func foundPercent(_ slab: Int) -> Int {
        var items = SlabItems(state, of: slab)
        var live = 0
        var found = 0
        for _ in 0..<2 * Self.itemsLookedAt where live < Self.itemsLookedAt {
            guard let item = items.next() else { break }
            if item.form.contains(.dead) { continue }
            live += 1
            if item.frequency > 0 { found += 1 }
        }
        return live == 0 ? 0 : found * 100 / live
    }
}
