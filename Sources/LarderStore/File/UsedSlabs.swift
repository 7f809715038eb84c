import CLarderArena

extension Space {
    /// Puts a sealed slab or the head of a run into the lists, of a store whose arena another process has filled.
    func enlist(_ slab: Int, now: Int64) {
        appendSealed(slab)
        let record = slabs[slab]
        guard record.expiry_end_ms != Int64.max else { return }
        guard slabs.state(slab) == .sealed else {
            return awaitAttention(
                of: slab, at: state.expiry(of: state.item(ofBlock: state.firstBlock(ofSlab: slab))))
        }
        let bucket = TimeBucket(
            start: record.expiry_base_ms, end: record.expiry_end_ms, level: Int32(bitPattern: record.level))
        // A coarse one whose time has begun is sorted at once: what it holds may be about to expire.
        awaitAttention(of: slab, at: bucket.level > 0 ? min(bucket.end, max(bucket.start, now)) : bucket.end)
    }
}
