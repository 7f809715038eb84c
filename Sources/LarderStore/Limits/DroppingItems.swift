import CLarderArena

/// Single items that have to go.
extension StoreState {
    /// Drops the items whose keys have a hash: one, but for a coincidence. False when there is none.
    func dropItems(hash: UInt64, _ session: Shared<SessionSlot>, now: Int64) -> Bool {
        var dropped = false
        while let block = block(ofHash: hash) {
            let item = item(ofBlock: block)
            dropFromIndex(item, hash, session, now: now)
            dropped = true
        }
        return dropped
    }

    private func block(ofHash hash: UInt64) -> UInt32? {
        let tag = KeyHash.tag(hash)
        let bucket = lockBucket(hash)
        var current: Shared<larder_bucket>? = bucket.first
        for _ in 0..<Self.chainLinesMax {
            guard let line = current else { break }
            var mask = line.match(tag)
            while mask != 0 {
                let number = UInt32(truncatingIfNeeded: mask.trailingZeroBitCount)
                let block = line.block(number)
                let item = item(ofBlock: block)
                if block != 0, self.hash(of: item) == hash { return block }
                mask &= mask &- 1
            }
            current = overflow(of: line)
        }
        return nil
    }
}

extension Space {
    /// Drops the dead items of a slab; true when there were some. Under the space lock.
    func dropDead(in slab: Int, _ session: Shared<SessionSlot>, now: Int64) -> Bool {
        guard slabs[slab].expiry_end_ms != Int64.max, slabs[slab].expiry_base_ms < now else { return false }
        // Nothing half-written is walked over: an open slab is sealed first.
        if slabs.state(slab) == .open { sealWherever(slab) }
        let before = slabs.liveBlocks(slab)
        switch slabs.state(slab) {
        case .runHead, .sealed:
            _ = evacuate(slab, .dropDead, session, now: now)
        default: return false
        }
        return slabs.liveBlocks(slab) != before
    }
}
