import CLarderArena

// SAFETY: `items` has room for `ItemWalk.itemsMax`, as many as a chain may have.

/// A place in a walk over everything that a store holds, which may take as many turns as it likes.
///
/// The walk goes through the hashes in the order of their reversed bits. A bucket's hashes are those
/// with the same lowest bits: neighbours in this order, and so they stay when the bucket is divided.
/// What has been visited is therefore a stretch of the order whatever becomes of the index, and a
/// key that is there all the time is met exactly once (the idea of Redis's SCAN).
package struct ItemWalk: Sendable {
    /// The hash, its bits reversed, with which the next bucket begins.
    private var position: UInt64 = 0
    /// The hash with which the next bucket begins.
    var hash: UInt64 { position.bitsReversed }
    /// Whether there is nothing left to visit.
    package internal(set) var isComplete = false

    /// A walk from the beginning.
    package init() {}

    /// A walk from a place in the order of hashes, which may lie within a bucket. The bucket is then visited as a
    /// whole.
    init(at place: UInt64) { position = place }

    /// The place in the order of hashes that the walk has reached.
    var place: UInt64 { position }

    /// The place of a hash in that order.
    static func place(ofHash hash: UInt64) -> UInt64 { hash.bitsReversed }

    /// Items that one bucket can have: what `nextItems` needs room for.
    package static let itemsMax = 64 * Int(LARDER_BUCKET_SLOTS)

    /// Skips all hashes with the same `bits` lowest bits.
    mutating func advance(overBits bits: Int) {
        guard bits > 0 else {
            isComplete = true
            return
        }
        let bucket = position >> UInt64(64 - bits)
        // A shift by all 64 bits does not come here.
        (position, isComplete) = (bucket << UInt64(64 - bits)).addingReportingOverflow(1 << UInt64(64 - bits))
    }
}

extension Session {
    /// Steps over one bucket of the index, and returns how many items there are in it. They are valid
    /// as those of `find` are. Takes no lock.
    /// - Parameter items: room for `ItemWalk.itemsMax`.
    package func nextItems(_ walk: inout ItemWalk, into items: UnsafeMutablePointer<Item>) -> Int {
        if walk.isComplete { return 0 }
        let hash = walk.hash
        var wait = BoundedWait()
        while true {
            let count = atomicLoad(&state.superblock.pointee.bucket_count)
            let number = state.bucketNumber(hash, count: count)
            let bucket = state.bucketAddress(number)
            let version = bucket.version
            if version & 1 == 0, let found = collect(bucket, version, into: items),
                bucket.isUnchanged(since: version),
                atomicLoad(&state.superblock.pointee.bucket_count) == count
            {
                walk.advance(overBits: StoreState.hashBits(ofBucket: number, count: count))
                return found
            }
            guard wait.goesOn(until: .bucketIsFree, state) else {
                state.condemn(.lockedForEver)
                walk.isComplete = true
                return 0
            }
        }
    }

    /// Steps over one bucket of the index and removes the expired items in it.
    /// - Parameter itemsMax: the most items of the bucket to look at.
    /// - Returns: the number of items seen, and the number removed.
    package func removeDead(_ walk: inout ItemWalk, itemsMax: Int, now: Int64) -> (seen: Int, removed: Int) {
        // The lock is taken before the items are found: waiting for it would end their validity.
        if let account = state.account { lockWriting(account) }
        defer { if let account = state.account { unlockWriting(account) } }
        return withUnsafeTemporaryAllocation(of: Item.self, capacity: ItemWalk.itemsMax) { items in
            guard let items = items.baseAddress else { return (0, 0) }
            let count = min(itemsMax, nextItems(&walk, into: items))
            var removed = 0
            for place in 0..<count where isDead(items[place], now: now) {
                let key = state.key(of: items[place])
                if remove(key, onlyDeadAt: now) == .stored { removed += 1 }
            }
            return (count, removed)
        }
    }

    /// The items of a bucket and its overflow lines; nil when a writer came between.
    private func collect(
        _ bucket: Shared<larder_bucket>, _ version: UInt32,
        into items: UnsafeMutablePointer<Item>
    ) -> Int? {
        var current = bucket
        var found = 0
        while found <= ItemWalk.itemsMax - Int(LARDER_BUCKET_SLOTS) {
            var next: UInt32 = 0
            for slot in 0..<UInt32(LARDER_BUCKET_SLOTS) {
                let tag = current.tag(slot)
                guard tag != UInt8(LARDER_TAG_EMPTY) else { continue }
                let block = current.block(slot)
                // Before the number is followed: it could be a line's by now, or nothing.
                guard bucket.isUnchanged(since: version) else { return nil }
                if tag == UInt8(LARDER_TAG_LINK) {
                    next = block
                } else if !state.needsAttention || state.isValid(block: block) {
                    (items + found).initialize(to: Item(state.address(ofBlock: block), foundBy: self.slot))
                    found += 1
                }
            }
            if next == 0 { return found }
            current = state.line(next)
        }
        return nil
    }
}

extension StoreState {
    /// How many of a hash's lowest bits decide that it belongs to a bucket.
    static func hashBits(ofBucket number: Int, count: UInt64) -> Int {
        let level = 63 - count.leadingZeroBitCount
        let low = 1 << level
        let isDivided = number >= low || number < Int(truncatingIfNeeded: count) - low
        return isDivided ? level + 1 : level
    }
}

extension UInt64 {
    /// The same bits, the lowest first.
    fileprivate var bitsReversed: UInt64 {
        var value = byteSwapped
        value = (value & 0x0f0f_0f0f_0f0f_0f0f) << 4 | (value >> 4) & 0x0f0f_0f0f_0f0f_0f0f
        value = (value & 0x3333_3333_3333_3333) << 2 | (value >> 2) & 0x3333_3333_3333_3333
        return (value & 0x5555_5555_5555_5555) << 1 | (value >> 1) & 0x5555_5555_5555_5555
    }
}
