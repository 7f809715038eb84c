import CLarderArena

/// The bytes at a block of an arena, read as an item. This is the one definition of a valid item.
///
/// The bytes may be anything at all: left by a process that was killed in the middle of any instruction, truncated, or
/// made up. So no length is used before it was compared with the room that there is, and an item counts only with the
/// checksum that its place, its slab's record and its bytes ask for.
///
/// SAFETY: `start` has as many bytes as the `room` that was given with it, or as many as a header may have where the
/// content is handed over apart.
@safe struct ItemImage {
    /// The result of the checks, in the order of the checks.
    enum Verdict {
        /// No item, or not one of this place in this life of the slab.
        case damaged
        /// Blocks that were reserved and not used: `StoreState.writeDeadItem`.
        case hole
        /// Deleted, replaced or moved.
        case dead
        /// It was not published, and might have been refused.
        case pending
        case expired
        case live
    }

    /// The first eight bytes, read once.
    let head: UInt64
    private let start: UnsafeRawPointer

    /// Nil when no item of this form can be in so little room.
    @inline(__always)
    init?(_ start: UnsafeRawPointer, room: Int) {
        guard room >= 8 else { return nil }
        self.start = start
        head = larder_load_head(start)
        guard form.headerBytes <= room, totalBytes <= room else { return nil }
    }

    /// An item that this process writes itself.
    @inline(__always)
    init(writtenBy item: Item) {
        start = UnsafeRawPointer(item.base)
        head = item.head
    }

    @inline(__always)
    var form: ItemForm { ItemForm(rawValue: UInt8(truncatingIfNeeded: head)) }
    @inline(__always)
    var state: UInt8 { UInt8(truncatingIfNeeded: head >> 8) }
    @inline(__always)
    var keyLength: Int {
        guard form.contains(.longKey) else { return shortKeyLength }
        return Int(start.loadUnaligned(fromByteOffset: form.longKeyOffset, as: UInt16.self))
    }
    /// 0 for a long key.
    @inline(__always)
    private var shortKeyLength: Int { Int(head >> 16 & 0xff) }
    @inline(__always)
    var valueLength: Int {
        let low = Int(head >> 48)
        return form.contains(.longValue) ? low | Int(field(form.longValueOffset)) << 16 : low
    }
    @inline(__always)
    var clientFlags: UInt32 { form.contains(.clientFlags) ? field(form.clientFlagsOffset) : 0 }
    /// The cas that a client chose, or 0.
    @inline(__always)
    var wideCas: UInt64 {
        form.contains(.wideCas) ? start.loadUnaligned(fromByteOffset: 8, as: UInt64.self) : 0
    }
    @inline(__always)
    func cas(in record: larder_slab) -> UInt64 {
        form.contains(.wideCas) ? wideCas : record.cas_base &+ (head >> 24 & 0xff_ffff)
    }
    /// Key and value.
    @inline(__always)
    var contentBytes: Int { keyLength &+ valueLength }
    @inline(__always)
    var totalBytes: Int { form.headerBytes &+ contentBytes }
    /// Key and value, which follow each other.
    @inline(__always)
    var content: UnsafeRawPointer { start + form.headerBytes }

    @inline(__always)
    private func field(_ offset: Int) -> UInt32 { start.loadUnaligned(fromByteOffset: offset, as: UInt32.self) }

    func keyHash(seed: UInt64) -> UInt64 { KeyHash.hash(content, count: keyLength, seed: seed) }

    // MARK: Checksum

    /// The checksum that the item has to have at a block of a slab.
    /// - Parameter count: bytes of `content`. Of an item that may be changing, `contentBytes` may be another number by now.
    @inline(__always)
    func checksum(
        of content: UnsafeRawPointer, count: Int, in record: larder_slab, hashSeed: UInt64, block: Int
    ) -> UInt32 {
        let seed = withUnsafePointer(to: record) { larder_item_seed($0, hashSeed, UInt64(block)) }
        return larder_item_checksum(seed, head, wideCas, clientFlags, content, count)
    }

    /// The checksum that the item carries; its form says that it has one.
    @inline(__always)
    var carriedChecksum: UInt32 { field(form.checksumOffset) }

    // MARK: Judging

    /// Whether bytes like these can be an item with a checksum, before that is looked at.
    @inline(__always)
    var isCandidate: Bool {
        guard form.contains(.checked) else { return false }
        guard form.contains(.longKey) else { return shortKeyLength > 0 }
        return shortKeyLength == 0 && keyLength > ItemForm.shortKeyMax
    }

    @inline(__always)
    var isHole: Bool { form.contains(.dead) && !form.contains(.checked) }

    /// Absolute milliseconds; `Int64.max`: never; nil: a time that the slab cannot have. The expiry is no part of the
    /// checksum, since it changes in place.
    @inline(__always)
    func expiry(in record: larder_slab) -> Int64? {
        guard form.contains(.expires) else { return record.expiry_end_ms == Int64.max ? Int64.max : nil }
        let left = field(form.expiryOffset)
        let (expiry, isBeyond) = record.expiry_base_ms.addingReportingOverflow(Int64(left))
        guard !isBeyond, record.expiry_end_ms != Int64.max, left > 0 else { return nil }
        // A touch in place may have given a run's item a later one.
        return expiry <= record.expiry_end_ms || record.run_slabs > 1 ? expiry : nil
    }

    /// The verdict on an item with a right checksum, at a time.
    func verdict(in record: larder_slab, now: Int64) -> Verdict {
        if form.contains(.dead) { return .dead }
        if state & ItemState.pending != 0 { return .pending }
        guard let expiry = expiry(in: record) else { return .damaged }
        return expiry <= now ? .expired : .live
    }
}

/// The bytes of a slab or of a run of slabs, not yet checked: in an arena that is being opened, or in a copy.
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
    /// Blocks that may be read. Items beyond `blockCount` are visited if they follow the others without a gap.
    let roomBlocks: Int
    let blockShift: Int
    let hashSeed: UInt64
    /// Absolute milliseconds. An item is dead if its expiry is not later.
    let now: Int64

    /// Blocks between two items that are too few to be made a hole go with the second one.
    let holeBlocksMin: Int

    /// In an arena that is open.
    init(
        _ state: StoreState, of slab: Int, _ record: larder_slab, blocks: Int, roomBlocks: Int, now: Int64,
        holeBlocksMin: Int
    ) {
        let first = state.firstBlock(ofSlab: slab)
        self.init(
            start: UnsafeRawPointer(state.address(ofBlock: first)), record: record, firstBlock: Int(first),
            blockCount: blocks, roomBlocks: roomBlocks, blockShift: Int(state.blockShift), hashSeed: state.hashSeed,
            now: now, holeBlocksMin: holeBlocksMin)
    }

    init(
        start: UnsafeRawPointer, record: larder_slab, firstBlock: Int, blockCount: Int, roomBlocks: Int? = nil,
        blockShift: Int, hashSeed: UInt64, now: Int64, holeBlocksMin: Int = 0
    ) {
        self.start = start
        self.record = record
        self.firstBlock = firstBlock
        self.blockCount = blockCount
        self.roomBlocks = roomBlocks ?? blockCount
        self.blockShift = blockShift
        self.hashSeed = hashSeed
        self.now = now
        self.holeBlocksMin = holeBlocksMin
    }

    /// Visits the items in their order, and the damaged bytes between them.
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
                // A hole carries no checksum: bytes of an item that is being written may look like one.
                guard verdict != .hole else {
                    position += 1
                    continue
                }
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
            return visit(.damaged, firstBlock + from, blockCount - from, nil)
        }
        visitFollowing(position, visit)
    }

    /// Visits items after the end that the record names, in case that end is too early. A writer moves the cursor
    /// before it writes an item. So there are no such items if the cursor is right.
    private func visitFollowing(
        _ end: Int, _ visit: (ItemImage.Verdict, _ block: Int, _ blockCount: Int, ItemImage?) -> Void
    ) {
        var wrongBytesLeft = 0
        var end = end
        var position = end
        while position < roomBlocks {
            let (verdict, count, image) = judge(at: position, &wrongBytesLeft)
            if count == 0 { return }
            // A hole has no checksum, so it is visited only with the item after it.
            if verdict != .hole {
                if position > end { visit(.hole, firstBlock + end, position - end, nil) }
                visit(verdict, firstBlock + position, count, image)
                end = position + count
            }
            position += count
        }
    }

    /// An item with a right checksum.
    typealias Found = (verdict: ItemImage.Verdict, blockCount: Int)

    /// The item at the first block, or after the holes there.
    func first() -> Found? {
        var wrongBytesLeft = 0
        var position = 0
        while position < roomBlocks {
            let (verdict, count, _) = judge(at: position, &wrongBytesLeft)
            if count == 0 || verdict == .damaged { return nil }
            if verdict != .hole { return (verdict, count) }
            position += count
        }
        return nil
    }

    /// The item of a run of slabs, if it is there and reaches into the last of them.
    func run(slabs count: Int) -> (verdict: ItemImage.Verdict, blockCount: Int, image: ItemImage)? {
        var wrongBytesLeft = 0
        let (verdict, blocks, image) = judge(at: 0, &wrongBytesLeft)
        guard let image, blocks > (count - 1) * (blockCount / count) else { return nil }
        return (verdict, blocks, image)
    }

    /// The item that starts at a block, and its blocks; 0 blocks if it is no item.
    private func judge(
        at position: Int, _ wrongBytesLeft: inout Int
    ) -> (verdict: ItemImage.Verdict, blockCount: Int, image: ItemImage?) {
        let offset = position << blockShift
        guard let image = ItemImage(start + offset, room: roomBlocks << blockShift - offset) else {
            return (.damaged, 0, nil)
        }
        let total = image.totalBytes
        let count = (total + 1 << blockShift - 1) >> blockShift
        if image.isHole { return (.hole, count, image) }
        guard image.isCandidate else { return (.damaged, 0, nil) }
        let checksum = image.checksum(
            of: image.content, count: total - image.form.headerBytes, in: record, hashSeed: hashSeed,
            block: firstBlock + position)
        guard checksum == image.carriedChecksum else {
            wrongBytesLeft -= total
            return (.damaged, 0, nil)
        }
        return (image.verdict(in: record, now: now), count, image)
    }
}
