/// Limits of a store of uWSGI's kind: it holds so many items in so many blocks, rather than what fits
/// in its memory. The arena has to have room for all that they allow.
package struct StoreLimits: Sendable {
    package var itemsMax: Int
    /// Bytes of a block.
    package var blockBytes: Int
    /// The most blocks that values may take; a value takes as many as it needs (`isBitmap`), or one.
    package var blocksMax: Int
    package var isBitmap: Bool
    package var valueBytesMax: Int
    package var keyBytesMax: Int
    /// When full: drop what was least recently found or stored, until there is room.
    package var purgesLeastRecentlyUsed = false
    /// When full: drop what has expired, at most once in so many milliseconds; 0: leave it to its time
    /// bucket.
    package var sweepOnFullMilliseconds: Int64 = 0
    /// When full: drop everything, unless a sweep made room.
    package var clearsOnFull = false
    /// Whether items of a file that exceed these limits are dropped when the file is opened. If false, such a file is
    /// refused, and its items do not change.
    package var dropsItemsBeyond = true
    /// Keep the time of the last change.
    package var notesLastModified = false

    package init(
        itemsMax: Int, blockBytes: Int, blocksMax: Int, isBitmap: Bool, valueBytesMax: Int, keyBytesMax: Int = 250
    ) {
        self.itemsMax = itemsMax
        self.blockBytes = max(1, blockBytes)
        self.blocksMax = blocksMax
        self.isBitmap = isBitmap
        self.valueBytesMax = valueBytesMax
        self.keyBytesMax = keyBytesMax
    }

    /// Blocks that count against `blocksMax`. Where each item has one, the number of items says it all.
    @inline(__always)
    func blocks(forValueBytes bytes: Int) -> Int64 {
        isBitmap ? Int64((bytes &+ blockBytes &- 1) / blockBytes) : 0
    }
}

/// How far a limited store has come.
package struct StoreLimitUse: Sendable {
    package var items: Int64
    package var blocks: Int64
    /// Times that there was no room for an item.
    package var full: Int64
    /// Absolute milliseconds, 0 when nothing was changed or nobody wants to know.
    package var lastModifiedMilliseconds: Int64
}
