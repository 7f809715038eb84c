import CLarderArena
import Glibc

/// Pointers into one arena and to the state of its process: all that the store's parts share.
///
/// A pointer and no more: passing it on costs one register, and no reference counting on the hot path. `Store` owns what
/// it points to and outlives every session.
///
/// SAFETY: `@unchecked Sendable` because the memory behind it is shared by design. What several
/// threads change is changed by the atomics of `larder_arena.h`, under a bucket's lock, under a
/// lock of open slabs, or under `process.pointee.spaceLock`; each field says which.
struct StoreState: @unchecked Sendable {
    /// None of it changes after `init`.
    private struct Parts {
        let base: UnsafeMutableRawPointer
        let superblock: Shared<larder_superblock>
        let slabs: SlabTable
        let directory: SharedArray<UInt32>
        let process: Shared<ProcessState>
        let account: Shared<LimitAccount>?
        let blockShift: UInt32
        let slabShift: UInt32
        let slabCount: Int
        let blocksPerSlab: Int
        let hashSeed: UInt64
        let checked: UInt8
        let frequencyMax: UInt8
    }
    private let parts: Shared<Parts>

    @inline(__always) var base: UnsafeMutableRawPointer { parts.pointee.base }
    @inline(__always) var superblock: Shared<larder_superblock> { parts.pointee.superblock }
    @inline(__always) var slabs: SlabTable { parts.pointee.slabs }
    @inline(__always) var directory: SharedArray<UInt32> { parts.pointee.directory }
    @inline(__always) var process: Shared<ProcessState> { parts.pointee.process }
    @inline(__always) var blockShift: UInt32 { parts.pointee.blockShift }
    @inline(__always) var slabShift: UInt32 { parts.pointee.slabShift }
    @inline(__always) var slabCount: Int { parts.pointee.slabCount }
    @inline(__always) var blocksPerSlab: Int { parts.pointee.blocksPerSlab }
    @inline(__always) var hashSeed: UInt64 { parts.pointee.hashSeed }
    /// In files `ItemForm.checked`, else 0: the bit of items with a checksum.
    @inline(__always) var checked: UInt8 { parts.pointee.checked }
    /// Where items and blocks are counted against limits; nil: the memory is the limit.
    @inline(__always) var account: Shared<LimitAccount>? { parts.pointee.account }
    /// Hits that an item keeps count of.
    @inline(__always) var frequencyMax: UInt8 { parts.pointee.frequencyMax }

    /// - Parameter hashSeed: the superblock's, unless that is not to be trusted.
    init(
        base: UnsafeMutableRawPointer, geometry: Geometry, process: Shared<ProcessState>,
        hashSeed: UInt64? = nil
    ) {
        let superblock = Shared(base.assumingMemoryBound(to: larder_superblock.self))
        // It shares no cache line with anything that changes.
        let bytes = (MemoryLayout<Parts>.stride + 127) & ~127
        let memory = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 128)
        parts = Shared(memory.bindMemory(to: Parts.self, capacity: 1))
        parts.pointer.initialize(
            to: Parts(
                base: base, superblock: superblock,
                slabs: SlabTable((base + geometry.slabTableOffset).assumingMemoryBound(to: larder_slab.self)),
                directory: SharedArray(
                    (base + geometry.directoryOffset).assumingMemoryBound(to: UInt32.self),
                    count: geometry.slabCount),
                process: process, account: process.pointee.account, blockShift: UInt32(geometry.blockShift),
                slabShift: UInt32(geometry.slabShift), slabCount: geometry.slabCount,
                blocksPerSlab: geometry.blocksPerSlab, hashSeed: hashSeed ?? superblock.pointee.hash_seed,
                checked: process.pointee.configuration.filePath == nil ? 0 : ItemForm.checked.rawValue,
                frequencyMax: process.pointee.configuration.isSizeAware ? ItemState.frequencyMask : 3))
    }

    /// Frees what `init` has made, and nothing of the arena or the process. No thread may use the value, or a copy of it,
    /// afterwards.
    func deallocate() { parts.deallocate() }

    /// Between two stores after which a kill would leave something different: tests open what a file holds
    /// here. Nothing in an optimised build.
    @inline(__always)
    func crashPoint() {
        #if DEBUG
            process.pointee.crashHook?()
        #endif
    }

    @inline(__always)
    func address(ofBlock block: UInt32) -> UnsafeMutableRawPointer {
        assert(Int(block) < slabCount * blocksPerSlab || checked != 0, "block \(block) is beyond the arena")
        return base + (Int(block) &<< Int(blockShift))
    }
    /// Fetches what is at a block, while something else is worked on.
    @inline(__always)
    func prefetch(block: UInt32) { larder_prefetch(address(ofBlock: block)) }

    /// Makes the memory of a slab, which is nobody's, the empty lines that the index needs.
    func clear(slab: Int) {
        larder_full_fence()
        // SAFETY: the slab lies within the arena.
        (base + slab << Int(slabShift)).initializeMemory(as: UInt8.self, repeating: 0, count: 1 << Int(slabShift))
        slabs[slab].expiry_end_ms = Int64.max
    }

    /// The item at a block that the index leads to, or that a walk has come to.
    @inline(__always)
    func item(ofBlock block: UInt32) -> Item { Item(address(ofBlock: block)) }
    @inline(__always)
    func block(of item: Item) -> UInt32 { block(ofItem: item.base) }
    @inline(__always)
    func lastBlock(of item: Item) -> UInt32 { block(ofItem: item.base + (item.totalBytes - 1)) }
    /// An item's key, as long as the item may be looked at.
    @inline(__always)
    func key(of item: Item) -> HashedKey {
        HashedKey(bytes: item.key, length: item.keyLength, hash: hash(of: item))
    }
    @inline(__always)
    func hash(of item: Item) -> UInt64 { KeyHash.hash(item.key, count: item.keyLength, seed: hashSeed) }
    @inline(__always)
    func slabIndex(ofBlock block: UInt32) -> Int { Int(block) &>> Int(slabShift &- blockShift) }
    @inline(__always)
    func block(ofItem item: UnsafeMutableRawPointer) -> UInt32 {
        UInt32(truncatingIfNeeded: (item - base) &>> Int(blockShift))
    }
    @inline(__always)
    func blockCount(forBytes bytes: Int) -> Int {
        (bytes &+ (1 &<< Int(blockShift)) &- 1) &>> Int(blockShift)
    }
    @inline(__always)
    func firstBlock(ofSlab slab: Int) -> UInt32 {
        UInt32(truncatingIfNeeded: slab &<< Int(slabShift &- blockShift))
    }

    /// What the store and the length of a key decide of an item's form.
    @inline(__always)
    func formBits(keyLength: Int) -> UInt8 {
        keyLength > ItemForm.shortKeyMax ? checked | ItemForm.longKey.rawValue : checked
    }

    /// Absolute milliseconds when the item dies; `Int64.max`: never.
    @inline(__always)
    func expiry(of item: Item) -> Int64 {
        guard item.form.rawValue & ItemForm.expires.rawValue != 0 else { return Int64.max }
        let slab = slabIndex(ofBlock: block(of: item))
        return slabs[slab].expiry_base_ms &+ Int64(item.expiresAfter)
    }
    @inline(__always)
    func cas(of item: Item) -> UInt64 {
        if item.form.rawValue & ItemForm.wideCas.rawValue != 0 {
            return item.base.load(fromByteOffset: 8, as: UInt64.self)
        }
        return order(of: item)
    }
    /// The number of the write that made the item; moving it may raise it, never beyond a later one.
    @inline(__always)
    func order(of item: Item) -> UInt64 {
        let slab = slabIndex(ofBlock: block(of: item))
        return slabs[slab].cas_base &+ (item.head >> 24 & 0xff_ffff)
    }
    /// Dead means expires ≤ now, everywhere.
    @inline(__always)
    func isDead(_ item: Item, now: Int64) -> Bool {
        guard item.form.rawValue & ItemForm.expires.rawValue != 0 else { return false }
        return expiry(of: item) <= now
    }
}

/// What the store keeps outside the arena: it ends with the process.
struct ProcessState {
    /// Guards slab states and lists, the growth of the index, and eviction. `StoreLocks` has the rules. Locked by
    /// `Space`.
    var spaceLock = pthread_mutex_t()
    /// What the space lock guards: see `Space.owned`.
    let space: Shared<SpaceState>
    /// Pins of each slab: replies that are still being sent from it. Atomic.
    var pins: SharedArray<UInt32>
    /// Slabs with a pin. Atomic.
    var pinnedSlabs: UInt32 = 0
    /// Slabs that are withheld: see `MemoryLimit.swift`. Atomic; changed under the space lock.
    var slabsWithheld: UInt32 = 0
    /// Sessions' epochs and open slabs.
    /// Addresses of the sessions' slots, 0 where there is none. Atomic.
    var sessions: SharedArray<UInt64>
    /// Atomic; counts the givings back of slabs.
    var epoch: UInt64 = 1
    /// Free lines of overflow buckets, linked through their first block number. Under `overflowLock`.
    var overflowFree: UInt32 = 0
    var overflowLock: UInt32 = 0
    var overflowLineCount: UInt64 = 0
    /// Atomic; when a delayed flush falls due, `Int64.max` when none is.
    var flushAtMilliseconds: UInt64 = UInt64(Int64.max)
    /// Atomic; 1 once the version of the format was raised for long keys.
    var hasLongKeys: UInt32 = 0
    /// The superblock's copy behind the arena of a file.
    var secondSuperblock: Shared<larder_superblock>?
    /// Slabs opened up to this one were flushed. Atomic; changed under the space lock.
    var flushedSequence: UInt64 = 0
    /// How far the sweep after a flush has come. Under the space lock.
    var flushSweep = FlushSweep()
    /// Slots that were cleared after flushes, in all. Atomic.
    var itemsFlushed: UInt64 = 0
    /// Atomic; 1 once what a file held has been found again.
    var isReady: UInt32 = 1
    #if DEBUG
        var crashHook: (() -> Void)?
    #endif
    /// Guards the sessions' table.
    var sessionLock: UInt32 = 0
    /// How long the item evicted last had not been asked for. Atomic.
    var lastEvictionIdleSeconds: UInt32 = 0
    /// Next look at the time buckets. Atomic.
    var nextTickMilliseconds: UInt64 = 0
    /// Its `damage` is a `StoreDamage`, its `flushing` 1 while a flush is not swept.
    var attention = larder_attention()
    /// Atomic. 1 while the store is being emptied: no section may begin.
    var isClosed: UInt32 = 0
    /// How often the store was emptied because of damage. Changed only while no session is in a section.
    var life: UInt32 = 0
    var configuration: StoreConfiguration
    var account: Shared<LimitAccount>?
    /// Counters of sessions that have ended. Under `sessionLock`.
    var endedCounters = StoreCounters()
}
