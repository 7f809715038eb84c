import CLarderArena
import Glibc

/// The index: linear hashing over buckets of one cache line, which never stops for its growth.
///
/// Invariants:
/// - a key's slot is in the bucket that its hash chooses, or in an overflow line chained to it;
/// - slots and links of a chain change only while its bucket is locked (odd version);
/// - a slot's number is published last, so that a reader finds an item whole or not at all.
///
/// SAFETY: bucket addresses come from the directory, block numbers from slots that this process
/// wrote; a reader that raced a writer reads inside the mapping, and its version check fails.
extension StoreState {
    /// What addresses are computed from. A loop over many keys holds a copy, which stays in registers.
    struct Addresses {
        let base: UnsafeMutableRawPointer
        let directory: SharedArray<UInt32>
        let blockShift: UInt32
        let slabShift: UInt32

        @inline(__always)
        func ofBlock(_ block: UInt32) -> UnsafeMutableRawPointer { base + (Int(block) &<< Int(blockShift)) }

        @inline(__always)
        func ofBucket(_ number: Int) -> Shared<larder_bucket> {
            let bytes = number &<< 6
            let place = bytes &>> Int(slabShift)
            // The bytes from the start of the index, but in the slab that the directory says, not in slab `place`.
            let offset = bytes &+ ((Int(directory[place]) &- place) &<< Int(slabShift))
            return Shared((base + offset).assumingMemoryBound(to: larder_bucket.self))
        }
    }
    @inline(__always)
    var addresses: Addresses {
        Addresses(base: base, directory: directory, blockShift: blockShift, slabShift: slabShift)
    }

    /// The bucket for a hash when there are `count` of them (Litwin 1980).
    @inline(__always)
    static func bucketNumber(_ hash: UInt64, count: UInt64) -> Int {
        // A damaged superblock may have a count of 0. Then the result is the first bucket.
        let level = UInt64(truncatingIfNeeded: 63 &- (count | 1).leadingZeroBitCount)
        let mask = (2 as UInt64) &<< level &- 1
        // `count` is half of mask + 1, and split; buckets below `split` have been divided already.
        let number = hash & mask
        return Int(truncatingIfNeeded: number < count ? number : number & mask &>> 1)
    }

    @inline(__always)
    func bucketNumber(_ hash: UInt64, count: UInt64) -> Int { Self.bucketNumber(hash, count: count) }

    @inline(__always)
    func bucketAddress(_ number: Int) -> Shared<larder_bucket> {
        addresses.ofBucket(number)
    }

    @inline(__always)
    func line(_ number: UInt32) -> Shared<larder_bucket> {
        assert(Int(number) < slabCount << Int(slabShift - 6) || checked != 0, "line \(number) is beyond the arena")
        return Shared((base + (Int(number) &<< 6)).assumingMemoryBound(to: larder_bucket.self))
    }

    @inline(__always)
    func prefetchBucket(_ hash: UInt64) {
        bucketAddress(bucketNumber(hash, count: atomicLoad(&superblock.pointee.bucket_count))).prefetch()
    }

    /// Whether an item has a key of up to `ItemForm.shortKeyMax` bytes. Never for a longer key, which is looked for when
    /// no short one was found, so that those of short keys pay nothing.
    @inline(__always)
    func keyMatches(_ item: UnsafeMutableRawPointer, _ key: UnsafeRawPointer, _ keyLength: Int) -> Bool {
        let head = larder_load_head(item)
        // The length of a short key and the bit `longKey`, so that no key of 0 bytes has the length of a long one.
        guard head & 0xff_0020 == UInt64(truncatingIfNeeded: keyLength) &<< 16 else { return false }
        let headerBytes = ItemForm(rawValue: UInt8(truncatingIfNeeded: head)).headerLength
        return larder_keys_equal(UnsafeRawPointer(item) + headerBytes, key, UInt64(truncatingIfNeeded: keyLength))
    }

    /// As `keyMatches`, for a key of more than `ItemForm.shortKeyMax` bytes. The item may be no item any more, since a
    /// reader may race a writer: so its length is compared with the end of the arena.
    @inline(never)
    func longKeyMatches(_ item: UnsafeMutableRawPointer, _ key: UnsafeRawPointer, _ keyLength: Int) -> Bool {
        let form = ItemForm(rawValue: UInt8(truncatingIfNeeded: larder_load_head(item)))
        let room = slabCount &<< Int(slabShift) &- (item - base) &- form.headerBytes
        guard form.rawValue & ItemForm.longKey.rawValue != 0, keyLength <= room,
            Int(item.load(fromByteOffset: form.longKeyOffset, as: UInt16.self)) == keyLength
        else { return false }
        return larder_keys_equal(UnsafeRawPointer(item) + form.headerBytes, key, UInt64(keyLength))
    }

    /// As one of the two above.
    @inline(__always)
    func keyMatches(
        _ item: UnsafeMutableRawPointer, _ key: UnsafeRawPointer, _ keyLength: Int, isLong: Bool
    ) -> Bool {
        isLong ? longKeyMatches(item, key, keyLength) : keyMatches(item, key, keyLength)
    }

    func haveSameKey(_ one: Item, _ other: Item) -> Bool {
        let length = other.keyLength
        return keyMatches(one.base, other.key, length, isLong: length > ItemForm.shortKeyMax)
    }

    /// The item stored under a key, dead or alive; nil if there is none. No lock, no shared write.
    @inline(__always)
    func find(_ key: UnsafeRawPointer, _ keyLength: Int, hash: UInt64) -> UnsafeMutableRawPointer? {
        if let found = find(key, keyLength, hash: hash, isLong: false) { return found }
        return keyLength > ItemForm.shortKeyMax ? findLong(key, keyLength, hash: hash) : nil
    }

    @inline(never)
    private func findLong(_ key: UnsafeRawPointer, _ keyLength: Int, hash: UInt64) -> UnsafeMutableRawPointer? {
        find(key, keyLength, hash: hash, isLong: true)
    }

    @inline(__always)
    private func find(
        _ key: UnsafeRawPointer, _ keyLength: Int, hash: UInt64, isLong: Bool
    ) -> UnsafeMutableRawPointer? {
        let tag = KeyHash.tag(hash)
        var wait = BoundedWait()
        while true {
            let count = atomicLoad(&superblock.pointee.bucket_count)
            let bucket = bucketAddress(bucketNumber(hash, count: count))
            let version = bucket.version
            if version & 1 == 0 {
                let found = findInChain(bucket, version, tag, key, keyLength, isLong: isLong)
                if bucket.isUnchanged(since: version),
                    found != nil || atomicLoad(&superblock.pointee.bucket_count) == count
                {
                    return found
                }
            }
            guard wait.goesOn(until: .bucketIsFree, self) else {
                condemn(.lockedForEver)
                return nil
            }
        }
    }

    /// The item stored under a key, dead or alive.
    @inline(__always)
    func find(_ key: HashedKey) -> Item? { find(key.bytes, key.length, hash: key.hash).map { Item($0) } }

    @inline(__always)
    private func findInChain(
        _ bucket: Shared<larder_bucket>, _ version: UInt32, _ tag: UInt8,
        _ key: UnsafeRawPointer, _ keyLength: Int, isLong: Bool
    ) -> UnsafeMutableRawPointer? {
        var current = bucket
        // A reader that races the reuse of an overflow line could follow it in a circle; chains
        // are a handful of lines, and the version check sends such a reader back.
        for _ in 0..<64 {
            var mask = current.match(tag)
            while mask != 0 {
                let slot = UInt32(truncatingIfNeeded: mask.trailingZeroBitCount)
                let block = current.block(slot)
                if block != 0 {
                    let item = address(ofBlock: block)
                    if keyMatches(item, key, keyLength, isLong: isLong) { return item }
                }
                mask &= mask &- 1
            }
            guard current.tag(UInt32(LARDER_BUCKET_SLOTS) &- 1) == UInt8(LARDER_TAG_LINK)
            else {
                return nil
            }
            let next = current.block(UInt32(LARDER_BUCKET_SLOTS) &- 1)
            // Between the two loads the slot may have become an item's, whose number taken for a
            // line's could lead out of the arena.
            guard bucket.isUnchanged(since: version) else { return nil }
            current = line(next)
        }
        return nil
    }

    /// As `find`, for a caller that has found the bucket already. `count` is the number of buckets at that time. Callers
    /// use `find` for chains, for long keys, and after a change by another writer.
    @inline(__always)
    func find(
        _ key: UnsafeRawPointer, _ keyLength: Int, hash: UInt64, tag: UInt8,
        in bucket: Shared<larder_bucket>, count: UInt64
    ) -> UnsafeMutableRawPointer? {
        let version = bucket.version
        var mask = bucket.match(tag)
        while mask != 0, version & 1 == 0 {
            let block = bucket.block(UInt32(truncatingIfNeeded: mask.trailingZeroBitCount))
            if block != 0 {
                let item = address(ofBlock: block)
                if keyMatches(item, key, keyLength), bucket.isUnchanged(since: version) { return item }
            }
            mask &= mask &- 1
        }
        if version & 1 == 0,
            bucket.tag(UInt32(LARDER_BUCKET_SLOTS) &- 1) != UInt8(LARDER_TAG_LINK),
            bucket.isUnchanged(since: version), atomicLoad(&superblock.pointee.bucket_count) == count,
            keyLength <= ItemForm.shortKeyMax
        {
            return nil
        }
        return findAnew(key, keyLength, hash: hash)
    }

    /// Whether an item that the index leads to is one: the store is sound, and the item was not flushed.
    func isValid(_ item: UnsafeMutableRawPointer) -> Bool { isValid(block: block(ofItem: item)) }

    @inline(never)
    private func findAnew(_ key: UnsafeRawPointer, _ keyLength: Int, hash: UInt64) -> UnsafeMutableRawPointer? {
        find(key, keyLength, hash: hash)
    }

    @inline(__always)
    func overflow(of bucket: Shared<larder_bucket>) -> Shared<larder_bucket>? {
        let last = UInt32(LARDER_BUCKET_SLOTS) &- 1
        guard bucket.tag(last) == UInt8(LARDER_TAG_LINK) else { return nil }
        let number = bucket.block(last)
        // A damaged link must not lead out of the arena.
        guard Int(number) < slabCount &<< Int(slabShift &- 6) else {
            condemn(.fileChanged)
            return nil
        }
        return line(number)
    }
}
