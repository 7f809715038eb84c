import CLarderArena

/// A limited store whose items were found again in a file.
extension StoreState {
    private struct Found {
        var order: UInt64
        var hash: UInt64
        var block: UInt32
    }

    /// Counts what is there, the most recently written as the most recently used, and drops what is
    /// beyond limits that are narrower than before. Before any turn begins, under the space lock.
    ///
    /// - Returns: the number of items beyond the limits. If they must not be dropped, this changes nothing.
    func countRecovered(now: Int64) -> Int {
        guard let account else { return 0 }
        var found: [Found] = []
        forEachItem { item, block in
            let hash = hash(of: item)
            found.append(Found(order: order(of: item), hash: hash, block: block))
        }
        found.sort { $0.order > $1.order }
        let limits = account.pointee.limits
        let beyond = takeBeyond(limits, &found)
        guard beyond.isEmpty || limits.dropsItemsBeyond else { return beyond.count }
        for entry in beyond {
            let item = item(ofBlock: entry.block)
            // The item is counted first, because dropping it lowers the count.
            changeCount(&account.pointee.items, 1)
            changeCount(&account.pointee.blocks, limits.blocks(forValueBytes: item.valueLength))
            dropFromIndex(item, entry.hash, mover, now: now)
        }
        for entry in found.reversed() { account.inserted(item(ofBlock: entry.block), entry.hash) }
        return beyond.count
    }

    /// Takes the items out that exceed the limits. The first ones in the order of `found` stay.
    private func takeBeyond(_ limits: StoreLimits, _ found: inout [Found]) -> [Found] {
        var beyond: [Found] = []
        var kept = 0
        var blocksTaken: Int64 = 0
        for place in found.indices {
            let item = item(ofBlock: found[place].block)
            let blocks = limits.blocks(forValueBytes: item.valueLength)
            let fits =
                kept < limits.itemsMax && item.valueLength <= limits.valueBytesMax
                && item.keyLength <= limits.keyBytesMax
                && (!limits.isBitmap || blocksTaken + blocks <= Int64(limits.blocksMax))
            guard fits else {
                beyond.append(found[place])
                continue
            }
            found[kept] = found[place]
            kept += 1
            blocksTaken += blocks
        }
        found.removeSubrange(kept...)
        return beyond
    }

    private func forEachItem(_ body: (_ item: Item, _ block: UInt32) -> Void) {
        for number in 0..<Int(atomicLoad(&superblock.pointee.bucket_count)) {
            var current: Shared<larder_bucket>? = bucketAddress(number)
            while let line = current {
                current = overflow(of: line)
                for slot in 0..<UInt32(LARDER_BUCKET_SLOTS) {
                    let tag = line.tag(slot)
                    guard tag != UInt8(LARDER_TAG_EMPTY), tag != UInt8(LARDER_TAG_LINK) else { continue }
                    let block = line.block(slot)
                    body(item(ofBlock: block), block)
                }
            }
        }
    }
}
