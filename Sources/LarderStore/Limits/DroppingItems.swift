import CLarderArena

/// Single items that have to go.
extension StoreState {
    /// Drops the items whose keys have a hash: one, but for a coincidence. False when there is none.
    func dropItems(hash: UInt64, _ session: UnsafeMutablePointer<SessionSlot>, now: Int64) -> Bool {
        var dropped = false
        while let block = block(ofHash: hash) {
            let item = Item(address(ofBlock: block))
            dropFromIndex(item, hash, blockCount(forBytes: item.totalBytes), session, now: now)
            dropped = true
        }
        return dropped
    }

    private func block(ofHash hash: UInt64) -> UInt32? {
        let tag = KeyHash.tag(hash)
        let bucket = lockBucket(hash)
        defer { unlockBucket(bucket) }
        var current: UnsafeMutablePointer<larder_bucket>? = bucket
        for _ in 0..<Self.chainLinesMax {
            guard let line = current else { break }
            var mask = larder_bucket_match(line, tag)
            while mask != 0 {
                let number = UInt32(truncatingIfNeeded: mask.trailingZeroBitCount)
                let block = larder_bucket_block(line, number)
                let item = Item(address(ofBlock: block))
                if block != 0, KeyHash.hash(item.key, count: item.keyLength, seed: hashSeed) == hash { return block }
                mask &= mask &- 1
            }
            current = overflow(of: line)
        }
        return nil
    }

    /// Drops the dead items of a slab; true when there were some. Under the space lock.
    func dropDead(in slab: Int, _ session: UnsafeMutablePointer<SessionSlot>, now: Int64) -> Bool {
        guard slabs[slab].expiry_end_ms != Int64.max, slabs[slab].expiry_base_ms < now else { return false }
        // Nothing half-written is walked over: an open slab is sealed first.
        if larder_load_u32(&slabs[slab].state) == LARDER_SLAB_OPEN.rawValue { sealWherever(slab) }
        let before = larder_load_u32(&slabs[slab].live_blocks)
        switch larder_load_u32(&slabs[slab].state) {
        case LARDER_SLAB_RUN_HEAD.rawValue, LARDER_SLAB_SEALED.rawValue:
            _ = evacuate(slab, .dropDead, session, now: now)
        default: return false
        }
        return larder_load_u32(&slabs[slab].live_blocks) != before
    }
}
