/// Limits of a store of uWSGI's kind: it holds so many items in so many blocks, rather than what fits
/// in its memory. The arena has to have room for all that they allow.
public struct StoreLimits: Sendable {
    public var itemsMax: Int
    /// Bytes of a block.
    public var blockBytes: Int
    /// The most blocks that values may take; a value takes as many as it needs (`isBitmap`), or one.
    public var blocksMax: Int
    public var isBitmap: Bool
    public var valueBytesMax: Int
    public var keyBytesMax: Int
    /// When full: drop what was least recently found or stored, until there is room.
    public var purgesLeastRecentlyUsed = false
    /// When full: drop what has expired, at most once in so many milliseconds; 0: leave it to its time
    /// bucket.
    public var sweepOnFullMilliseconds: Int64 = 0
    /// When full: drop everything, unless a sweep made room.
    public var clearsOnFull = false
    /// Whether items of a file that exceed these limits are dropped when the file is opened. If false, such a file is
    /// refused, and its items do not change.
    public var dropsItemsBeyond = true
    /// Keep the time of the last change.
    public var notesLastModified = false

    public init(
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
public struct StoreLimitUse: Sendable {
    public var items: Int64
    public var blocks: Int64
    /// Times that there was no room for an item.
    public var full: Int64
    /// Absolute milliseconds, 0 when nothing was changed or nobody wants to know.
    public var lastModifiedMilliseconds: Int64
}
