import CLarderArena

/// What an item must have been found for eviction to pass it over, and pays for it. Under the space lock.
///
/// By default the price is one hit, whatever the size: of the items that go through eviction's hands,
/// those found since the last time stay, and the more often, the longer. A size-aware store asks for hits
/// per byte instead: an item a tenth as long stays for a tenth of the hits (GDSF's order in CLOCK's
/// hands). What a hit buys is found by itself, so that for four slabs of fresh items one of kept ones
/// goes through those hands: no more bytes are copied than a quarter of what is stored.
extension Space {
    /// Blocks that one hit buys at first.
    static let blocksPerHitInitial = 256.0
    private static let blocksPerHitRange = 1.0...65_536.0
    /// Corrections for each slab of fresh items and each of kept ones: four of the first undo one of the
    /// second.
    private static let freshCorrection = 1.02
    private static let keptCorrection = 1 / (1.02 * 1.02 * 1.02 * 1.02)
    /// Fresh items pay more: most of them are never asked for again.
    private static let freshPriceFactor = 2.0
    /// And so do items that nobody asked for meanwhile: it is only the smallest of them that stay, by chance.
    private static let unfoundPriceFactor = 2.0

    /// Hits that count for an item whose slab is emptied: those since it was stored or last looked at, and one
    /// more if its key had been dropped shortly before it was stored.
    func hits(of item: Item, _ hash: UInt64, isKept: Bool) -> Int {
        let hasReturned = !isKept && owned.droppedKeys?.contains(hash) == true
        return Int(item.frequency) + (hasReturned ? 1 : 0)
    }

    /// Hits that an item of this many blocks pays. A fraction is paid as a whole hit or none, by chance.
    /// - Parameters:
    ///   - hits: what it has.
    ///   - surcharge: 0, or more where too much would be kept otherwise.
    func retentionPrice(blockCount: Int, hits: Int, isKept: Bool, surcharge: Int = 0) -> Int {
        let surcharge = surcharge * Int(state.frequencyMax) / 3
        guard process.pointee.configuration.isSizeAware else { return 1 + surcharge }
        let factor = (isKept ? 1 : Self.freshPriceFactor) * (hits > 0 ? 1 : Self.unfoundPriceFactor)
        let blocks = Double(blockCount) * factor
        return surcharge
            + Int(blocks / owned.blocksPerHit + Double(nextSampleBits() & 0xffff) / 65_536)
    }

    /// The most that a fresh item with hits may have to pay.
    func retentionPriceMax(blockCount: Int) -> Int {
        guard process.pointee.configuration.isSizeAware else { return 1 }
        return Int((Double(blockCount) * Self.freshPriceFactor / owned.blocksPerHit).rounded(.up))
    }

    /// An item's state byte after it was passed over. What is no longer asked for is to go soon: half of
    /// the hits are taken at least, where every item pays the same.
    func stateAfterPaying(_ price: Int, _ state: UInt8) -> UInt8 {
        let hits = Int(state & ItemState.frequencyMask)
        let left = process.pointee.configuration.isSizeAware ? hits - price : min(hits / 2, hits - price)
        return state & ~ItemState.frequencyMask | UInt8(max(0, left))
    }

    /// Corrects what a hit buys, after a slab was looked through.
    func adaptRetention(isKept: Bool) {
        let corrected = owned.blocksPerHit * (isKept ? Self.keptCorrection : Self.freshCorrection)
        let range = Self.blocksPerHitRange
        owned.blocksPerHit = min(max(corrected, range.lowerBound), range.upperBound)
    }

    /// Evenly distributed bits, for choices where any would do.
    func nextSampleBits() -> UInt64 {
        owned.sampleState = owned.sampleState &* 6_364_136_223_846_793_005 &+ 1
        return owned.sampleState >> 33
    }
}
