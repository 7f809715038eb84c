import CLarderArena

/// A bucket of the index that this thread has locked: its version is odd. The lock ends with this value.
struct LockedBucket: ~Copyable {
    /// The bucket's own line; its overflow lines are changed under the same lock.
    let first: Shared<larder_bucket>
    #if DEBUG
        /// nil if no other thread can reach the bucket. It then counts for no lock of the thread.
        private let store: Shared<ProcessState>?
    #endif

    /// A bucket whose lock was taken a moment ago.
    @inline(__always)
    init(taken bucket: Shared<larder_bucket>, of store: Shared<ProcessState>) {
        first = bucket
        #if DEBUG
            self.store = store
            StoreLocks.bucket.noteTaken(of: store)
        #endif
    }

    /// A bucket that no other thread can reach: of an index that is being made, or behind the last one.
    @inline(__always)
    init(unreachable bucket: Shared<larder_bucket>) {
        first = bucket
        bucket.pointee.version |= 1
        #if DEBUG
            store = nil
        #endif
    }

    /// Ends the lock before the end of the scope.
    @inline(__always)
    consuming func unlock() {}

    @inline(__always)
    deinit {
        #if DEBUG
            if let store { StoreLocks.bucket.noteReleased(of: store) }
        #endif
        first.unlock()
    }
}

/// A slot of the index, found under its bucket's lock.
struct IndexSlot {
    var line: Shared<larder_bucket>
    var number: UInt32
    var block: UInt32
}

extension StoreState {
    /// Locks the bucket of a hash.
    @inline(__always)
    func lockBucket(_ hash: UInt64) -> LockedBucket {
        checkMayTake(.bucket)
        var wait = BoundedWait()
        while true {
            let count = atomicLoad(&superblock.pointee.bucket_count)
            let number = bucketNumber(hash, count: count)
            let bucket = bucketAddress(number)
            if bucket.tryLock() {
                let locked = LockedBucket(taken: bucket, of: process)
                // A split may have moved the key's home while we waited.
                let now = atomicLoad(&superblock.pointee.bucket_count)
                if now == count || bucketNumber(hash, count: now) == number {
                    if isFlushing { clearFlushed(locked) }
                    return locked
                }
            }
            if !wait.goesOn(until: .bucketIsFree, self) {
                if checked != 0 { return breakLock(of: bucket) }
                wait = BoundedWait()
            }
        }
    }

    /// Locks a bucket under the space lock, so that the bucket cannot be divided meanwhile.
    func lock(_ bucket: Shared<larder_bucket>) -> LockedBucket {
        checkMayTake(.bucket)
        var wait = BoundedWait()
        while !bucket.tryLock() {
            if wait.goesOn(until: .bucketIsFree, self) { continue }
            if checked != 0 { return breakLock(of: bucket) }
            wait = BoundedWait()
        }
        let locked = LockedBucket(taken: bucket, of: process)
        if isFlushing { clearFlushed(locked) }
        return locked
    }

    /// Takes a bucket that stays locked, since its page in the file was damaged. The store is emptied after the current
    /// sections have ended, so the bucket's contents do not matter.
    @inline(never)
    private func breakLock(of bucket: Shared<larder_bucket>) -> LockedBucket {
        condemn(.lockedForEver)
        return LockedBucket(taken: bucket, of: process)
    }

    /// A page of a file that goes missing takes the lock with it.
    @inline(__always)
    private func assertLocked(_ bucket: borrowing LockedBucket) {
        #if DEBUG
            let version = bucket.first.version
            assert(version & 1 == 1 || checked != 0, "a bucket is looked at under its lock, and is not locked")
        #endif
    }

    /// The slot that holds a key.
    @inline(__always)
    func slot(of key: HashedKey, in bucket: borrowing LockedBucket) -> IndexSlot? {
        if let slot = slot(of: key, in: bucket, isLong: false) { return slot }
        return key.length > ItemForm.shortKeyMax ? slot(ofLong: key, in: bucket) : nil
    }

    @inline(never)
    private func slot(ofLong key: HashedKey, in bucket: borrowing LockedBucket) -> IndexSlot? {
        slot(of: key, in: bucket, isLong: true)
    }

    @inline(__always)
    private func slot(of key: HashedKey, in bucket: borrowing LockedBucket, isLong: Bool) -> IndexSlot? {
        assertLocked(bucket)
        let tag = key.tag
        var current = bucket.first
        for _ in 0..<Self.chainLinesMax {
            var mask = current.match(tag)
            while mask != 0 {
                let number = UInt32(truncatingIfNeeded: mask.trailingZeroBitCount)
                let block = current.block(number)
                if block != 0, keyMatches(address(ofBlock: block), key.bytes, key.length, isLong: isLong) {
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
    func slot(ofBlock block: UInt32, _ tag: UInt8, in bucket: borrowing LockedBucket) -> IndexSlot? {
        assertLocked(bucket)
        var current = bucket.first
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

    /// The most lines of a chain. A longer chain is damaged: its links lead in a circle.
    static var chainLinesMax: Int { 4096 }

    /// Puts an item into the first empty slot of a bucket's chain; false when the chain is full and there is no
    /// overflow line left.
    func insert(block: UInt32, tag: UInt8, into bucket: borrowing LockedBucket) -> Bool {
        assertLocked(bucket)
        assert(tag != UInt8(LARDER_TAG_EMPTY) && tag != UInt8(LARDER_TAG_LINK) && block != 0)
        var current = bucket.first
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

    /// Empties a slot of a bucket's chain, and gives back the chain's last lines if that leaves them empty.
    func removeSlot(_ slot: IndexSlot, from bucket: borrowing LockedBucket) {
        assertLocked(bucket)
        slot.line.setTag(slot.number, UInt8(LARDER_TAG_EMPTY))
        slot.line.publish(slot.number, 0)
        guard slot.line != bucket.first else { return }
        unlinkIfEmpty(slot.line, from: bucket)
    }

    /// A line in the middle holds a link and so is not empty: it goes after those behind it.
    private func unlinkIfEmpty(_ line: Shared<larder_bucket>, from bucket: borrowing LockedBucket) {
        let all = UInt32(1) << UInt32(LARDER_BUCKET_SLOTS) - 1
        let last = UInt32(LARDER_BUCKET_SLOTS) - 1
        var emptied = line
        while emptied != bucket.first, emptied.match(UInt8(LARDER_TAG_EMPTY)) == all {
            var previous = bucket.first
            while let next = overflow(of: previous), next != emptied { previous = next }
            let number = previous.block(last)
            previous.setTag(last, UInt8(LARDER_TAG_EMPTY))
            previous.publish(last, 0)
            giveBackOverflowLine(number)
            emptied = previous
        }
    }
}
