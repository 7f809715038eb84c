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
    /// Bytes of a key that every cache has room for in each item: the longest one on a memcached port.
    private static let keyBytesAlways = 250
    /// Room for longer keys does not make an arena larger than this, because the blocks of a larger one are larger.
    private static let smallBlocksBytesMax = 1 << 35
    /// Slabs beyond which tables of slabs are large themselves.
    private static let slabCountMax = 65_536
    private static let slabBytesMin = 16 << 10
    private static let slabBytesMax = 64 << 20
    /// Blocks of that size in a slab at least, so that what no block fits in at its end is little.
    private static let blocksPerSlab = 8

    static func fits(_ cache: CacheSettings) -> Bool {
        // The first comparison keeps the numbers of the second in bounds.
        contentBytes(cache, 0) <= arenaBytesMax
            && arenaBytes(cache, 0, slabBytes(cache, 0), sessions: 256) <= arenaBytesMax
    }

    /// Arena and slabs of a named cache that `sessions` threads use.
    /// - Parameter keyBytes: what every key may take; see `keyBytes(of:isInFile:)`.
    static func arena(_ cache: CacheSettings, keyBytes: Int, sessions: Int) -> (bytes: Int, slabBytes: Int) {
        let long = max(0, keyBytes - keyBytesAlways)
        let usual = arenaBytes(cache, 0, slabBytes(cache, 0), sessions: sessions)
        // As many items as there may be, with the longest keys, are at most 2^48 bytes.
        guard long > 0 else { return (usual, slabBytes(cache, 0)) }
        let slab = slabBytes(cache, long)
        let wanted = arenaBytes(cache, long, slab, sessions: sessions)
        return (min(wanted, max(usual, usual > smallBlocksBytesMax ? arenaBytesMax : smallBlocksBytesMax)), slab)
    }

    /// What every key may take in a cache that keeps its promise. A file takes its disk space at once, so without
    /// `keysize=` it has room for the keys of memcached's clients only.
    static func keyBytes(of cache: CacheSettings, isInFile: Bool) -> Int {
        isInFile ? cache.givenKeyBytesMax ?? keyBytesAlways : cache.keyBytesMax
    }

    /// - Parameter long: bytes of each key beyond `keyBytesAlways`.
    private static func contentBytes(_ cache: CacheSettings, _ long: Int) -> Int {
        let items = cache.items ?? 0
        let beside = min(cache.keyBytesMax, keyBytesAlways) + long + itemOverheadBytes
        // Within what the options allow: 2^32 blocks of 2^30 bytes.
        let values = cache.isBitmap ? cache.blocks * cache.blockBytes : items * cache.blockBytes
        return values + items * beside
    }

    private static func slabBytes(_ cache: CacheSettings, _ long: Int) -> Int {
        let forBlocks = cache.isBitmap ? 256 << 10 : cache.blockBytes * blocksPerSlab
        let forSize = contentBytes(cache, 0) / 512
        let forCount = 4 * contentBytes(cache, long) / slabCountMax
        // Small caches have small slabs, but never smaller than their blocks ask for.
        let small = cache.isBitmap ? min(forBlocks, forSize) : max(min(256 << 10, forSize), forBlocks)
        let wanted = max(slabBytesMin, min(slabBytesMax, max(small, forCount)))
        return 1 << (Int.bitWidth - (wanted - 1).leadingZeroBitCount)
    }

    private static func arenaBytes(_ cache: CacheSettings, _ long: Int, _ slab: Int, sessions: Int) -> Int {
        let content = contentBytes(cache, long)
        // An item of more than half a slab wastes the rest of it, and a run is of whole slabs; blocks of
        // one size pack well. An eighth more lies in slabs that are open.
        let isPacked = !cache.isBitmap && cache.blockBytes + long <= slab / blocksPerSlab
        let packed = isPacked ? content + content / 2 : 2 * content + content / 2
        // Room to bring the largest item together while the others are where they are.
        let largest = 2 * (cache.valueBytesMax + long + slab)
        let open = (4 * (sessions + 1) + 32) * slab
        return packed + (cache.items ?? 0) * indexBytesPerItem + largest + open
    }
}
