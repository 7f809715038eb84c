import CLarderArena

/// Walks over a private copy of a slab, or of a run of slabs: what it reads does not change under it.
///
/// The copy may be of anything, so nothing is read behind its end, and an item counts only with the
/// checksum that its place, its slab's record and its bytes ask for.
struct SlabImageWalk {
    let geometry: Geometry
    let hashSeed: UInt64
    let record: larder_slab
    let slab: Int
    /// Slabs in the copy.
    let slabs: Int
    let now: Int64

    enum Kind { case live, expired, dead, pending, unfinished, damaged }

    struct Found {
        var kind: Kind
        var block: Int
        var blocks: Int
        var contentBytes = 0
        var hash: UInt64 = 0
    }

    private var isRun: Bool { slabs > 1 }

    func forEach(in bytes: [UInt8], wrongBytesMax: Int, _ visit: (Found) -> Void) {
        let first = slab << (geometry.slabShift - geometry.blockShift)
        bytes.withUnsafeBytes { bytes in
            let end = isRun ? bytes.count >> geometry.blockShift : Int(record.cursor_blocks)
            var wrongBytesLeft = wrongBytesMax
            var damagedFrom: Int?
            var position = 0
            while position < end, wrongBytesLeft > 0 {
                guard var found = item(at: position, end: end, bytes, &wrongBytesLeft) else {
                    damagedFrom = damagedFrom ?? position
                    position += 1
                    if isRun { break }
                    continue
                }
                if let from = damagedFrom {
                    visit(Found(kind: .damaged, block: first + from, blocks: position - from))
                }
                damagedFrom = nil
                position += found.blocks
                found.block = first + position - found.blocks
                visit(found)
                if isRun { return }
            }
            guard damagedFrom != nil || position < end else { return }
            let from = damagedFrom ?? position
            // The end of a slab that is open is what was being written.
            let isTail =
                record.state == LARDER_SLAB_OPEN.rawValue || record.state == LARDER_SLAB_CLAIMED.rawValue
            visit(Found(kind: isTail ? .unfinished : .damaged, block: first + from, blocks: end - from))
        }
    }

    /// What starts at a block; nil when it is no item.
    private func item(
        at position: Int, end: Int, _ bytes: UnsafeRawBufferPointer, _ wrongBytesLeft: inout Int
    ) -> Found? {
        let start = position << geometry.blockShift
        let room = end << geometry.blockShift - start
        guard room >= 16, let base = bytes.baseAddress else { return nil }
        // SAFETY: only read, and all of it lies in `bytes`: the lengths are compared with `room` first.
        let item = Item(UnsafeMutableRawPointer(mutating: base + start))
        guard item.form.isSubset(of: .known), item.form.headerBytes <= room else { return nil }
        let total = item.totalBytes
        guard total <= room else { return nil }
        let count = (total + 1 << geometry.blockShift - 1) >> geometry.blockShift
        var found = Found(kind: .dead, block: 0, blocks: max(1, count))
        // Made of blocks that were reserved and not used.
        if item.form.contains(.dead), !item.form.contains(.checked) { return found }
        guard item.form.contains(.checked), item.keyLength > 0 else { return nil }
        guard isWhole(item, start) else {
            wrongBytesLeft -= total
            return nil
        }
        if item.form.contains(.dead) { return found }
        found.hash = KeyHash.hash(item.key, count: item.keyLength, seed: hashSeed)
        found.contentBytes = item.keyLength + item.valueLength
        found.kind = kind(of: item)
        return found
    }

    private func isWhole(_ item: Item, _ start: Int) -> Bool {
        var record = record
        let block = (slab << geometry.slabShift + start) >> geometry.blockShift
        let cas =
            item.form.contains(.wideCas) ? item.base.loadUnaligned(fromByteOffset: 8, as: UInt64.self) : 0
        let checksum = larder_item_checksum(
            larder_item_seed(&record, hashSeed, UInt64(block)), item.head, cas, item.clientFlags, item.key,
            item.keyLength + item.valueLength)
        return checksum == item.base.loadUnaligned(fromByteOffset: item.form.checksumOffset, as: UInt32.self)
    }

    private func kind(of item: Item) -> Kind {
        if UInt8(truncatingIfNeeded: item.head >> 8) & ItemState.pending != 0 { return .pending }
        guard item.form.contains(.expires) else {
            return record.expiry_end_ms == Int64.max ? .live : .damaged
        }
        let left = item.base.loadUnaligned(fromByteOffset: item.form.expiryOffset, as: UInt32.self)
        let (expiry, isBeyond) = record.expiry_base_ms.addingReportingOverflow(Int64(left))
        guard !isBeyond, record.expiry_end_ms != Int64.max, left > 0, expiry <= record.expiry_end_ms || isRun
        else {
            return .damaged
        }
        return expiry <= now ? .expired : .live
    }
}
