/// How a store is to be made.
package struct StoreConfiguration: Sendable {
    /// All of the arena: items, index and tables, in bytes.
    package var memoryBytes: Int
    /// Bytes of a slab, a power of two; nil chooses from `memoryBytes`.
    package var slabBytes: Int?
    /// The largest item, key and header included, in bytes.
    package var itemBytesMax: Int
    /// Whether a full store makes room by dropping items; if not, it answers `.noMemory`.
    package var evicts: Bool
    /// Whether eviction weighs how often an item is found against its size: more requests are hits,
    /// and fewer of the bytes that they ask for.
    package var isSizeAware: Bool
    /// How long an expired item's memory may stay taken, in milliseconds. wheezy.caching's 15 s is the
    /// default here too.
    package var bucketIntervalMilliseconds: Int64
    /// The finest time buckets are half as wide, so that half of the time is left for the work.
    var bucketWidthMilliseconds: Int64 { max(1, bucketIntervalMilliseconds >> 1) }
    /// Time buckets that items of one age are spread over, about: 4 to 1024.
    package var buckets = 60
    /// What it comes to: a bucket is as wide as what is left to an item's life, shifted by this.
    var bucketShift: Int64 { Int64(max(1, Int.bitWidth - buckets.leadingZeroBitCount - 2)) }
    /// Seeds the key hash; nil draws a random one. Tests give one.
    package var hashSeed: UInt64?
    /// Threads that are expected to hold a session; decides how many slabs each may keep open.
    package var sessionsExpected: Int
    /// The file that the arena lies in, so that it outlives the process; nil: memory only.
    package var filePath: String?
    /// Seconds between the times when a file's pages are handed to the disk, for the sake of what a
    /// power failure leaves; 0: when the system pleases.
    package var fileSyncSeconds = 0
    /// A file that cannot be used is deleted, instead of being set aside under another name.
    package var deletesBadFile = false
    /// The program that opened the store calls `Store.recover`, after the store was made.
    package var defersRecovery = false
    /// The time at which a file is opened, in absolute milliseconds; nil: the wall clock's.
    package var openedAtMilliseconds: Int64?
    /// How long a write waits for memory that other sessions may still be reading, before it is refused.
    package var waitMillisecondsMax: Int64 = 2_000

    /// Buckets of the index that one slice of the upkeep clears after a flush.
    package var bucketsSweptMax = 1024

    /// Ask the system for large pages.
    package var usesHugePages = false

    /// Whether an arena without a file lies in memory that another process can map: see `Store.suspend(forSessions:)`.
    package var isTransferable = false
    /// The store's file is memory of `memfd_create`, which outlives the process if another one keeps its descriptor. It has
    /// no name: `filePath` is only shown.
    package var isKept = false
    /// With `isKept`: the memory that an earlier process has left. The store closes the descriptor. Nil: new memory.
    package var keptMemory: Int32?
    /// The arena of another process, whose store this one becomes with `takeOver`. The store closes the descriptor. Nil:
    /// the store makes its own arena.
    package var arenaToTakeOver: Int32?

    /// Limits in items and blocks; nil: the memory is the limit.
    package var limits: StoreLimits?
    /// Expired items, which nobody is given, keep their memory until it is needed or they are asked for.
    package var keepsExpired = false

    package init(
        memoryBytes: Int, slabBytes: Int? = nil, itemBytesMax: Int = 1 << 20, evicts: Bool = true,
        isSizeAware: Bool = false, bucketIntervalMilliseconds: Int64 = 15_000, hashSeed: UInt64? = nil,
        sessionsExpected: Int = 1, filePath: String? = nil
    ) {
        self.memoryBytes = memoryBytes
        self.slabBytes = slabBytes
        self.itemBytesMax = itemBytesMax
        self.evicts = evicts
        self.isSizeAware = isSizeAware
        self.bucketIntervalMilliseconds = max(1, bucketIntervalMilliseconds)
        self.hashSeed = hashSeed
        self.sessionsExpected = max(1, sessionsExpected)
        self.filePath = filePath
    }
}
