import LarderStore

/// How large an arena has to be so that a cache of items and blocks always keeps its promise: `items`
/// items and `blocks` blocks' worth of values, whatever came and went before. Memory is taken as it is
/// used, so room to spare costs addresses only.
enum StoreSize {
    /// What a store can address.
    static let arenaBytesMax = 1 << 38
    /// The most that an item takes beside key and value.
    private static let itemOverheadBytes = 40
    /// What the index takes for an item, when it is least dense.
    private static let indexBytesPerItem = 16
    /// Longest key that clients of a memcached port can name.
    private static let keyBytesMax = 250
    /// Slabs beyond which tables of slabs are large themselves.
    private static let slabCountMax = 65_536
    private static let slabBytesMin = 16 << 10
    private static let slabBytesMax = 64 << 20
    /// Blocks of that size in a slab at least, so that what no block fits in at its end is little.
    private static let blocksPerSlab = 8

    static func fits(_ cache: CacheSettings) -> Bool {
        // The first comparison keeps the numbers of the second in bounds.
        contentBytes(cache) <= arenaBytesMax && arenaBytes(cache, sessions: 256) <= arenaBytesMax
    }

    /// Arena and slabs of a named cache that `sessions` threads use.
    static func arena(_ cache: CacheSettings, sessions: Int) -> (bytes: Int, slabBytes: Int) {
        (arenaBytes(cache, sessions: sessions), slabBytes(cache))
    }

    private static func contentBytes(_ cache: CacheSettings) -> Int {
        let items = cache.items ?? 0
        let beside = min(cache.keyBytesMax, keyBytesMax) + itemOverheadBytes
        // Within what the options allow: 2^32 blocks of 2^30 bytes.
        let values = cache.isBitmap ? cache.blocks * cache.blockBytes : items * cache.blockBytes
        return values + items * beside
    }

    private static func slabBytes(_ cache: CacheSettings) -> Int {
        let forBlocks = cache.isBitmap ? 256 << 10 : cache.blockBytes * blocksPerSlab
        let forSize = contentBytes(cache) / 512
        let forCount = 4 * contentBytes(cache) / slabCountMax
        // Small caches have small slabs, but never smaller than their blocks ask for.
        let small = cache.isBitmap ? min(forBlocks, forSize) : max(min(256 << 10, forSize), forBlocks)
        let wanted = max(slabBytesMin, min(slabBytesMax, max(small, forCount)))
        return 1 << (Int.bitWidth - (wanted - 1).leadingZeroBitCount)
    }

    private static func arenaBytes(_ cache: CacheSettings, sessions: Int) -> Int {
        let slab = slabBytes(cache)
        let content = contentBytes(cache)
        // An item of more than half a slab wastes the rest of it, and a run is of whole slabs; blocks of
        // one size pack well. An eighth more lies in slabs that are open.
        let isPacked = !cache.isBitmap && cache.blockBytes <= slab / blocksPerSlab
        let packed = isPacked ? content + content / 2 : 2 * content + content / 2
        // Room to bring the largest item together while the others are where they are.
        let largest = 2 * (cache.valueBytesMax + slab)
        let open = (4 * (sessions + 1) + 32) * slab
        return packed + (cache.items ?? 0) * indexBytesPerItem + largest + open
    }
}
