import CLarderArena

/// A bucket of the index, or an overflow line of one: a cache line in the arena.
///
/// SAFETY: the line lies within the arena (`Shared`), and slot numbers are below `LARDER_BUCKET_SLOTS`.
extension Shared<larder_bucket> {
    /// A bit for each slot that has a tag.
    @inline(__always)
    func match(_ tag: UInt8) -> UInt32 { larder_bucket_match(pointer, tag) }
    @inline(__always)
    func tag(_ slot: UInt32) -> UInt8 { larder_bucket_tag(pointer, slot) }
    @inline(__always)
    func block(_ slot: UInt32) -> UInt32 { larder_bucket_block(pointer, slot) }

    /// Even while no thread changes the bucket.
    @inline(__always)
    var version: UInt32 { larder_bucket_version(pointer) }
    @inline(__always)
    func isUnchanged(since version: UInt32) -> Bool { larder_bucket_unchanged(pointer, version) }

    @inline(__always)
    func prefetch() { larder_prefetch(pointer) }

    // MARK: Under the bucket's lock

    @inline(__always)
    func setTag(_ slot: UInt32, _ tag: UInt8) { larder_bucket_set_tag(pointer, slot, tag) }
    /// Makes an item visible to whoever sees its number.
    @inline(__always)
    func publish(_ slot: UInt32, _ block: UInt32) { larder_bucket_publish(pointer, slot, block) }
    @inline(__always)
    func tryLock() -> Bool { larder_bucket_try_lock(pointer) }
    @inline(__always)
    func unlock() { larder_bucket_unlock(pointer) }
}
