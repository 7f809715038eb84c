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
    func countRecovered(now: Int64) {
        guard let bounds else { return }
        var found: [Found] = []
        forEachItem { item, block in
            let hash = hash(of: item)
            found.append(Found(order: order(of: item), hash: hash, block: block))
        }
        found.sort { $0.order > $1.order }
        let limits = bounds.pointee.limits
        var kept = 0
        var blocksTaken: Int64 = 0
        for place in found.indices {
            let item = item(ofBlock: found[place].block)
            let blocks = limits.blocks(forValueBytes: item.valueLength)
            let fits =
                kept < limits.itemsMax && item.valueLength <= limits.valueBytesMax
                && item.keyLength <= limits.keyBytesMax
                && (!limits.isBitmap || blocksTaken + blocks <= Int64(limits.blocksMax))
            // Counted first: to drop an item takes it off the count.
            guard fits else {
                changeCount(&bounds.pointee.items, 1)
                changeCount(&bounds.pointee.blocks, blocks)
                dropFromIndex(item, found[place].hash, mover, now: now)
                continue
            }
            found[kept] = found[place]
            kept += 1
            blocksTaken += blocks
        }
        for entry in found[..<kept].reversed() { bounds.inserted(item(ofBlock: entry.block), entry.hash) }
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
