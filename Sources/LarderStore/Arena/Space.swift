import CLarderArena
import Glibc

// SAFETY: the mutex is part of the process state, which stays where it is as long as the store.

/// The space lock, held by this thread: to have one is to hold it, and its end is the unlock.
///
/// Under it slabs change hands, the index grows and items are evicted. What belongs to it beside the arena is in
/// `SpaceState`, which nothing but a `Space` reaches: queues, ages, limbo, and what the searches remember.
struct Space: ~Copyable {
    let state: StoreState

    /// Waits for the lock. The session of the thread is offline.
    init(locking state: StoreState) {
        state.checkMayTake(.space, waits: true)
        pthread_mutex_lock(&state.process.pointee.spaceLock)
        state.noteTaken(.space)
        self.state = state
    }

    /// Nil while another thread has the lock.
    init?(tryLocking state: StoreState) {
        state.checkMayTake(.space)
        guard pthread_mutex_trylock(&state.process.pointee.spaceLock) == 0 else { return nil }
        state.noteTaken(.space)
        self.state = state
    }

    /// Ends the lock before the end of the scope.
    consuming func unlock() {}

    deinit {
        state.noteReleased(.space)
        pthread_mutex_unlock(&state.process.pointee.spaceLock)
    }

    /// The values that the lock guards.
    @inline(__always)
    var owned: SpaceState {
        @inline(__always) unsafeAddress { UnsafePointer(state.process.pointee.space.pointer) }
        @inline(__always) nonmutating unsafeMutableAddress { state.process.pointee.space.pointer }
    }
}

/// The part of the store that is outside the arena and under the space lock. It ends with the process.
struct SpaceState {
    /// Slabs ready for use.
    var freeSlabs = SlabList()
    /// Sealed slabs and runs that hold fresh items, the oldest first.
    var freshSlabs = SlabList()
    /// Sealed slabs of items that eviction passed over, the oldest first.
    var keptSlabs = SlabList()
    /// Slabs given back, in the order of their epochs.
    var limboSlabs = SlabList()
    /// Links of those lists, a pair for each slab.
    var links: SharedArray<SlabLinks>
    /// When each slab's youngest item was stored: see `SlabAge.swift`.
    var youngestWrite: SharedArray<UInt64>
    /// By slab: where `slabsWritten` stood when the large item in it was last left where it is since it is asked for.
    var secondChance: SharedArray<UInt64>
    /// By slab: when it wants attention. The heap's entries with other times are stale.
    var attentions: SharedArray<Int64>
    /// By slab: whether it was sealed although there was room in it, since its session had too many open.
    var sealedEarly: SharedArray<Bool>
    /// By slab: whether the memory limit withholds it. Such a slab is free, and must not be used.
    var isWithheld: SharedArray<Bool>
    /// Slabs that the memory limit allows.
    var slabsAllowed: Int
    /// The next slab to withhold. It moves from the end of the arena to the beginning.
    var withholdingHand: Int
    /// Slabs that new items were put in so far.
    var slabsWritten: UInt64 = 0
    /// Where the search for adjacent slabs goes on in a large arena.
    var windowHand = 0
    /// Slabs that values are arriving in.
    var incomingSlabs = 0
    /// Slabs of the index.
    var indexSlabs = 0
    /// Slabs at the beginning of the arena, for its tables.
    let metadataSlabs: Int
    /// Slabs by the time when their time bucket wants attention.
    var expiryHeap = ExpiryHeap()
    /// Where the last slice of the upkeep stopped.
    var duePlace = DuePlace()
    /// Draws the slabs that are looked at for holes, and fractions of a hit.
    var sampleState: UInt64 = 1
    /// Blocks of an item that a hit pays for, in a size-aware store.
    var blocksPerHit = Space.blocksPerHitInitial
    /// Keys that eviction dropped recently, in a size-aware store.
    var droppedKeys: DroppedKeys?
    /// A rotating hand over the slab table, for the slab with the most holes.
    var holeHand = 0
    /// A rotating hand over the slab table, for slabs whose items were all deleted.
    var emptyHand = 0
    /// An earlier value of `cas_last`.
    var casNoted: UInt64 = 0

    init(slabCount: Int, metadataSlabs: Int) {
        self.metadataSlabs = metadataSlabs
        links = SharedArray(allocating: SlabLinks(), count: slabCount)
        youngestWrite = SharedArray(allocating: 0, count: slabCount)
        secondChance = SharedArray(allocating: 0, count: slabCount)
        attentions = SharedArray(allocating: Int64.max, count: slabCount)
        sealedEarly = SharedArray(allocating: false, count: slabCount)
        isWithheld = SharedArray(allocating: false, count: slabCount)
        slabsAllowed = slabCount
        withholdingHand = slabCount - 1
    }

    func deallocate() {
        links.deallocate()
        youngestWrite.deallocate()
        secondChance.deallocate()
        attentions.deallocate()
        sealedEarly.deallocate()
        isWithheld.deallocate()
        droppedKeys?.deallocate()
    }
}

/// The parts of the store that its functions under the lock work on.
extension Space {
    @inline(__always) var process: Shared<ProcessState> { state.process }
    @inline(__always) var superblock: Shared<larder_superblock> { state.superblock }
    @inline(__always) var slabs: SlabTable { state.slabs }
    @inline(__always) var directory: SharedArray<UInt32> { state.directory }
    @inline(__always) var account: Shared<LimitAccount>? { state.account }
    @inline(__always) var slabCount: Int { state.slabCount }
    @inline(__always) var blocksPerSlab: Int { state.blocksPerSlab }
    @inline(__always) var slabShift: UInt32 { state.slabShift }
    @inline(__always)
    func hash(of item: Item) -> UInt64 { state.hash(of: item) }
    @inline(__always) var mover: Shared<SessionSlot> { state.mover }
}

extension StoreState {
    /// Calls `body` under the space lock. The session is offline meanwhile, because the lock's holder may wait for
    /// sections to end. Items found before are no longer valid.
    @inline(__always)
    func withSpace<Result: ~Copyable>(
        _ session: Shared<SessionSlot>, _ body: (borrowing Space) -> Result
    ) -> Result {
        goOffline(session)
        defer { goOnline(session) }
        let space = Space(locking: self)
        return body(space)
    }
}
