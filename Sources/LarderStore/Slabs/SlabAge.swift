import CLarderArena

/// How long ago a slab's contents were stored, in slabs that new items have filled since. Items that are
/// moved take their age along: what was kept for long must not look young in its new place.
/// Under the space lock.
extension Space {
    /// Ages are told apart up to one arena's worth of writing.
    private static let youthMax: UInt64 = 1023

    /// Notes that a slab, or the first of a run of `count`, is to hold new items.
    func beginAge(_ slab: Int, count: Int = 1) {
        owned.slabsWritten += UInt64(count)
        owned.youngestWrite[slab] = owned.slabsWritten
        owned.secondChance[slab] = 0
    }

    /// Notes that a slab is to hold items of others, whose age it takes on.
    func beginAgeOfOld(_ slab: Int) {
        owned.youngestWrite[slab] = 0
        owned.secondChance[slab] = 0
    }

    /// Notes that the large item in a run stays since it is asked for.
    func renew(_ run: Int) { owned.secondChance[run] = owned.slabsWritten }

    /// Notes that a slab got an item of another.
    func inheritAge(_ slab: Int, from other: Int) {
        owned.youngestWrite[slab] = max(owned.youngestWrite[slab], owned.youngestWrite[other])
    }

    /// 1,023 for what was stored just now, 0 for what was stored an arena's worth of writing ago.
    func youth(_ slab: Int) -> UInt64 { youth(writtenAt: owned.youngestWrite[slab]) }

    /// The same since the slab was written or renewed.
    func renewedYouth(_ slab: Int) -> UInt64 {
        youth(writtenAt: max(owned.youngestWrite[slab], owned.secondChance[slab]))
    }

    private func youth(writtenAt write: UInt64) -> UInt64 {
        // Bounded first: the sequences of a damaged file may lie any distance apart.
        let slabsInUse = UInt64(state.slabsInUse)
        let age = min(owned.slabsWritten &- write, slabsInUse)
        return Self.youthMax - age * Self.youthMax / slabsInUse
    }

    /// Whether a slab's youngest item is among the last half arena's worth of what was stored.
    func isYoung(_ slab: Int) -> Bool { youth(slab) > Self.youthMax / 2 }

    /// Whether a slab's youngest item is among the last eighth of an arena's worth.
    func isNew(_ slab: Int) -> Bool { youth(slab) > Self.youthMax / 8 * 7 }

    /// After a rebuild: slabs are as old as their order of opening says.
    func restoreAges() {
        let last = min(superblock.pointee.slab_sequence, UInt64.max / 2)
        owned.slabsWritten = last
        for slab in 0..<slabCount { owned.youngestWrite[slab] = min(slabs[slab].sequence, last) }
    }
}
