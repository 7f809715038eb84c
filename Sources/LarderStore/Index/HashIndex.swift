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
    /// The bucket for a hash when there are `count` of them (Litwin 1980).
    @inline(__always)
    static func bucketNumber(_ hash: UInt64, count: UInt64) -> Int {
        // A damaged superblock may have a count of 0. Then the result is the first bucket.
        let level = UInt64(truncatingIfNeeded: 63 &- (count | 1).leadingZeroBitCount)
        let low = (1 as UInt64) &<< level
        // `count` is low + split; buckets below `split` have been divided already.
        var number = hash & (low &+ low &- 1)
        if number >= count { number &= low &- 1 }
        return Int(truncatingIfNeeded: number)
    }

    @inline(__always)
    func bucketNumber(_ hash: UInt64, count: UInt64) -> Int { Self.bucketNumber(hash, count: count) }

    @inline(__always)
    func bucketAddress(_ number: Int) -> Shared<larder_bucket> {
        let shift = Int(slabShift &- 6)
        let slab = Int(directory[number &>> shift])
        let offset = (slab &<< Int(slabShift)) &+ ((number & ((1 &<< shift) &- 1)) &<< 6)
        return Shared((base + offset).assumingMemoryBound(to: larder_bucket.self))
    }

    @inline(__always)
    func line(_ number: UInt32) -> Shared<larder_bucket> {
        Shared((base + (Int(number) &<< 6)).assumingMemoryBound(to: larder_bucket.self))
    }

    @inline(__always)
    func prefetchBucket(_ hash: UInt64) {
        bucketAddress(bucketNumber(hash, count: larder_load_u64(&superblock.pointee.bucket_count))).prefetch()
    }

    @inline(__always)
    func keyMatches(_ item: UnsafeMutableRawPointer, _ key: UnsafeRawPointer, _ keyLength: Int) -> Bool {
        let head = larder_load_head(item)
        guard Int(head >> 16 & 0xff) == keyLength else { return false }
        let headerBytes = Int(truncatingIfNeeded: larder_header_bytes(UInt8(truncatingIfNeeded: head)))
        return larder_keys_equal(UnsafeRawPointer(item) + headerBytes, key, UInt64(truncatingIfNeeded: keyLength))
    }

    /// The item stored under a key, dead or alive; nil if there is none. No lock, no shared write.
    @inline(__always)
    func find(_ key: UnsafeRawPointer, _ keyLength: Int, hash: UInt64) -> UnsafeMutableRawPointer? {
        let tag = KeyHash.tag(hash)
        var wait = BoundedWait()
        while true {
            let count = larder_load_u64(&superblock.pointee.bucket_count)
            let bucket = bucketAddress(bucketNumber(hash, count: count))
            let version = bucket.version
            if version & 1 == 0 {
                let found = findInChain(bucket, version, tag, key, keyLength)
                if bucket.isUnchanged(since: version),
                    found != nil || larder_load_u64(&superblock.pointee.bucket_count) == count
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

    @inline(__always)
    private func findInChain(
        _ bucket: Shared<larder_bucket>, _ version: UInt32, _ tag: UInt8,
        _ key: UnsafeRawPointer, _ keyLength: Int
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
                    if keyMatches(item, key, keyLength) { return item }
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

    /// As `find`, for one who has found the bucket already, when there were `count` of them. A chain, and a
    /// writer that comes between, are left to `find`.
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
            bucket.isUnchanged(since: version), larder_load_u64(&superblock.pointee.bucket_count) == count
        {
            return nil
        }
        return findAnew(key, keyLength, hash: hash)
    }

    @inline(never)
    private func findAnew(_ key: UnsafeRawPointer, _ keyLength: Int, hash: UInt64) -> UnsafeMutableRawPointer? {
        find(key, keyLength, hash: hash)
    }

    // MARK: Under a bucket's lock

    /// Locks the bucket of a hash and returns it.
    @inline(__always)
    func lockBucket(_ hash: UInt64) -> Shared<larder_bucket> {
        checkMayTake(.bucket)
        var wait = BoundedWait()
        while true {
            let count = larder_load_u64(&superblock.pointee.bucket_count)
            let number = bucketNumber(hash, count: count)
            let bucket = bucketAddress(number)
            if bucket.tryLock() {
                noteTaken(.bucket)
                // A split may have moved the key's home while we waited.
                let now = larder_load_u64(&superblock.pointee.bucket_count)
                if now == count || bucketNumber(hash, count: now) == number {
                    if isFlushing { clearFlushed(bucket) }
                    return bucket
                }
                unlockBucket(bucket)
            }
            if !wait.goesOn(until: .bucketIsFree, self) {
                if checked != 0 { return breakLock(of: bucket) }
                wait = BoundedWait()
            }
        }
    }

    /// Locks a bucket under the space lock, so that the bucket cannot be divided meanwhile.
    func lock(_ bucket: Shared<larder_bucket>) {
        checkMayTake(.bucket)
        var wait = BoundedWait()
        while !bucket.tryLock() {
            if wait.goesOn(until: .bucketIsFree, self) { continue }
            if checked != 0 {
                _ = breakLock(of: bucket)
                return
            }
            wait = BoundedWait()
        }
        noteTaken(.bucket)
        if isFlushing { clearFlushed(bucket) }
    }

    @inline(__always)
    func unlockBucket(_ bucket: Shared<larder_bucket>) {
        noteReleased(.bucket)
        bucket.unlock()
    }

    /// Takes a bucket that stays locked, since its page in the file was damaged. The store is emptied after the current
    /// sections have ended, so the bucket's contents do not matter.
    @inline(never)
    private func breakLock(of bucket: Shared<larder_bucket>) -> Shared<larder_bucket> {
        condemn(.lockedForEver)
        noteTaken(.bucket)
        return bucket
    }

    /// The slot that holds a key.
    @inline(__always)
    func slot(
        of key: UnsafeRawPointer, _ keyLength: Int, _ tag: UInt8,
        in bucket: Shared<larder_bucket>
    ) -> IndexSlot? {
        var current = bucket
        for _ in 0..<Self.chainLinesMax {
            var mask = current.match(tag)
            while mask != 0 {
                let number = UInt32(truncatingIfNeeded: mask.trailingZeroBitCount)
                let block = current.block(number)
                if block != 0, keyMatches(address(ofBlock: block), key, keyLength) {
                    return IndexSlot(line: current, number: number, block: block)
                }
                mask &= mask &- 1
            }
            guard let next = overflow(of: current) else { return nil }
            current = next
        }
        condemn(.fileChanged)
        return nil
    }

    /// The slot that leads to a block.
    func slot(
        ofBlock block: UInt32, _ tag: UInt8, in bucket: Shared<larder_bucket>
    ) -> IndexSlot? {
        var current = bucket
        for _ in 0..<Self.chainLinesMax {
            var mask = current.match(tag)
            while mask != 0 {
                let number = UInt32(truncatingIfNeeded: mask.trailingZeroBitCount)
                if current.block(number) == block {
                    return IndexSlot(line: current, number: number, block: block)
                }
                mask &= mask &- 1
            }
            guard let next = overflow(of: current) else { return nil }
            current = next
        }
        condemn(.fileChanged)
        return nil
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

    /// The most lines of a chain. A longer chain is damaged: its links lead in a circle.
    static var chainLinesMax: Int { 4096 }

    /// Puts an item into the first empty slot of a locked bucket's chain; false when the chain is
    /// full and there is no overflow line left.
    func insert(block: UInt32, tag: UInt8, into bucket: Shared<larder_bucket>) -> Bool {
        var current = bucket
        var lines = 0
        while true {
            let empty = current.match(UInt8(LARDER_TAG_EMPTY))
            if empty != 0 {
                let number = UInt32(truncatingIfNeeded: empty.trailingZeroBitCount)
                current.setTag(number, tag)
                current.publish(number, block)
                return true
            }
            guard let next = overflow(of: current) else { break }
            current = next
            lines &+= 1
            guard lines < Self.chainLinesMax else {
                condemn(.fileChanged)
                return false
            }
        }
        guard let number = takeOverflowLine() else { return false }
        let last = UInt32(LARDER_BUCKET_SLOTS) &- 1
        let fresh = line(number)
        // The last slot's item moves to the new line; its place becomes the link.
        fresh.publish(0, current.block(last))
        fresh.setTag(0, current.tag(last))
        fresh.publish(1, block)
        fresh.setTag(1, tag)
        current.setTag(last, UInt8(LARDER_TAG_EMPTY))
        current.publish(last, number)
        current.setTag(last, UInt8(LARDER_TAG_LINK))
        return true
    }

    /// Empties a slot of a locked bucket's chain, and gives back the chain's last lines if that
    /// leaves them empty.
    func removeSlot(_ slot: IndexSlot, from bucket: Shared<larder_bucket>) {
        slot.line.setTag(slot.number, UInt8(LARDER_TAG_EMPTY))
        slot.line.publish(slot.number, 0)
        guard slot.line != bucket else { return }
        unlinkIfEmpty(slot.line, from: bucket)
    }

    /// A line in the middle holds a link and so is not empty: it goes after those behind it.
    private func unlinkIfEmpty(
        _ line: Shared<larder_bucket>, from bucket: Shared<larder_bucket>
    ) {
        let all = UInt32(1) << UInt32(LARDER_BUCKET_SLOTS) - 1
        let last = UInt32(LARDER_BUCKET_SLOTS) - 1
        var emptied = line
        while emptied != bucket, emptied.match(UInt8(LARDER_TAG_EMPTY)) == all {
            var previous = bucket
            while let next = overflow(of: previous), next != emptied { previous = next }
            let number = previous.block(last)
            previous.setTag(last, UInt8(LARDER_TAG_EMPTY))
            previous.publish(last, 0)
            giveBackOverflowLine(number)
            emptied = previous
        }
    }
}

/// A slot of the index, found under its bucket's lock.
struct IndexSlot {
    var line: Shared<larder_bucket>
    var number: UInt32
    var block: UInt32
}
