import CLarderArena

/// The items of a slab of this store, in their order: they lie without gaps, from the slab's first block to its cursor,
/// and each one's length tells where the next begins. A run has one.
///
/// The lengths are right, since this process wrote them or a recovery has judged them. The slab is not open, or its
/// set of open slabs is locked.
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
        let item = state.item(ofBlock: UInt32(truncatingIfNeeded: position))
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
        if position < end { state.prefetch(block: UInt32(truncatingIfNeeded: position)) }
    }
}
