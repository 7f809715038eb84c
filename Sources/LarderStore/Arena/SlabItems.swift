import CLarderArena

/// The items of a slab of this store, in their order: they lie without gaps, from the slab's first block to its cursor,
/// and each one's length tells where the next begins. A run has one.
///
/// The lengths are right, since this process wrote them or a recovery has judged them. The slab is not open, or its
/// lane is locked.
struct SlabItems {
    private let state: StoreState
    private let isRun: Bool
    private let end: Int
    /// The block at which the next item begins.
    private(set) var position: Int
    /// Blocks of the item that was returned last.
    private(set) var blockCount = 0

    /// - Parameter position: where an earlier walk stopped; nil: the slab's first block.
    @inline(__always)
    init(_ state: StoreState, of slab: Int, from position: Int? = nil) {
        self.state = state
        isRun = state.slabs.state(slab) == .runHead
        let first = Int(state.firstBlock(ofSlab: slab))
        end = isRun ? first + 1 : first + Int(state.slabs[slab].cursor_blocks)
        self.position = position ?? first
    }

    @inline(__always)
    var isAtEnd: Bool { position >= end }
    /// The block of the item that was returned last.
    @inline(__always)
    var block: Int { position - blockCount }
    /// Whether the items end where the slab's cursor is.
    var endsAtCursor: Bool { isRun || position == end }

    /// The next item, dead or alive; nil behind the last one.
    @inline(__always)
    mutating func next() -> Item? {
        guard position < end else { return nil }
        let item = Item(state.address(ofBlock: UInt32(truncatingIfNeeded: position)))
        blockCount = state.blockCount(forBytes: item.totalBytes)
        position += blockCount
        // A file's bytes are its owner's no longer once another program writes to them.
        assert(isRun || position <= end || state.checked != 0, "an item at \(block) goes beyond \(end)")
        return item
    }

    /// Has the next call return the same item again.
    mutating func stepBack() {
        position -= blockCount
        blockCount = 0
    }

    /// Fetches the next item while this one is worked on.
    @inline(__always)
    func prefetchNext() {
        if position < end { larder_prefetch(state.address(ofBlock: UInt32(truncatingIfNeeded: position))) }
    }
}

/// The bytes of a slab, or of a run of slabs, that nobody vouches for: in an arena that is being opened, or in a copy.
///
/// SAFETY: `start` has all the bytes of the slabs that `record` speaks for, and nothing behind them is read.
@safe struct SlabImage {
    /// Where the slab's first block is.
    let start: UnsafeRawPointer
    let record: larder_slab
    /// The number of that block.
    let firstBlock: Int
    /// Blocks that items may cover.
    let blockCount: Int
    let blockShift: Int
    let hashSeed: UInt64
    /// Absolute milliseconds: what expires up to now is dead.
    let now: Int64

    /// Blocks between two items that are too few to be made a hole go with the second one.
    var holeBlocksMin = 0

    /// Visits the items in their order, and what lies between them.
    /// - Parameter wrongBytesMax: bytes that checksums may be wrong over before the rest is given up: what was made to
    ///   look like items would otherwise be read again and again.
    func forEachItem(
        wrongBytesMax: Int, _ visit: (ItemImage.Verdict, _ block: Int, _ blockCount: Int, ItemImage?) -> Void
    ) {
        var damagedFrom: Int?
        var wrongBytesLeft = wrongBytesMax
        var position = 0
        while position < blockCount, wrongBytesLeft > 0 {
            let (verdict, count, image) = judge(at: position, &wrongBytesLeft)
            if count == 0 {
                damagedFrom = damagedFrom ?? position
                position += 1
                continue
            }
            if let from = damagedFrom {
                guard position - from >= holeBlocksMin else {
                    position += count
                    continue
                }
                visit(.damaged, firstBlock + from, position - from, nil)
                damagedFrom = nil
            }
            visit(verdict, firstBlock + position, count, image)
            position += count
        }
        if damagedFrom != nil || position < blockCount {
            let from = damagedFrom ?? position
            visit(.damaged, firstBlock + from, blockCount - from, nil)
        }
    }

    /// The item of a run of slabs, if it is there and reaches into the last of them.
    func run(slabs count: Int) -> (verdict: ItemImage.Verdict, blockCount: Int, image: ItemImage)? {
        var wrongBytesLeft = 0
        let (verdict, blocks, image) = judge(at: 0, &wrongBytesLeft)
        guard let image, blocks > (count - 1) * (blockCount / count) else { return nil }
        return (verdict, blocks, image)
    }

    /// What starts at a block; no block at all when it is no item.
    private func judge(
        at position: Int, _ wrongBytesLeft: inout Int
    ) -> (verdict: ItemImage.Verdict, blockCount: Int, image: ItemImage?) {
        let offset = position << blockShift
        guard let image = ItemImage(start + offset, room: blockCount << blockShift - offset) else {
            return (.damaged, 0, nil)
        }
        let total = image.totalBytes
        let count = (total + 1 << blockShift - 1) >> blockShift
        if image.isHole { return (.hole, count, image) }
        guard image.isCandidate else { return (.damaged, 0, nil) }
        let checksum = image.checksum(
            of: image.content, in: record, hashSeed: hashSeed, block: firstBlock + position)
        guard checksum == image.carriedChecksum else {
            wrongBytesLeft -= total
            return (.damaged, 0, nil)
        }
        return (image.verdict(in: record, now: now), count, image)
    }
}
