import CLarderArena

extension InvariantCheck {
    /// Invariants of a limited store: its counts are those of the items in the index, and within the
    /// limits; the order of use has each item once.
    mutating func checkAccount() {
        guard let account = state.account else { return }
        var items: Int64 = 0
        var blocks: Int64 = 0
        var hashes: [UInt64: Int] = [:]
        forEachItem { item in
            items += 1
            blocks += account.pointee.limits.blocks(forValueBytes: item.valueLength)
            hashes[state.hash(of: item), default: 0] += 1
        }
        let use = account.use
        if use.items != items { fail("\(use.items) items are counted against the limit, \(items) are there") }
        if use.blocks != blocks { fail("\(use.blocks) blocks are counted against the limit, \(blocks) are there") }
        let limits = account.pointee.limits
        if items > Int64(limits.itemsMax) { fail("\(items) items, and \(limits.itemsMax) are allowed") }
        if limits.isBitmap, blocks > Int64(limits.blocksMax) {
            fail("\(blocks) blocks, and \(limits.blocksMax) are allowed")
        }
        var listed: [UInt64: Int] = [:]
        var count = 0
        account.withRecency { list in
            list.visitAll {
                listed[$0, default: 0] += $1
                count += $1
            }
            if list.count != count { count = -1 }
        }
        guard limits.purgesLeastRecentlyUsed else { return }
        if count == -1 { fail("the order of use counts its items wrongly") }
        if listed != hashes { fail("the order of use has \(listed.count) keys, and \(hashes.count) are there") }
    }
}
