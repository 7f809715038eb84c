import CLarderArena
import Glibc

/// What a session keeps beside the arena: its epoch, its open slabs, its counters.
struct SessionSlot {
    static let offline = UInt64.max
    /// Slabs that one session may keep open.
    static let openSlabsMax = 32
    /// Sessions of one store at a time.
    static let sessionsMax = 256
    /// Places of the sessions' table: theirs and the mover's.
    static let placesMax = sessionsMax + 1

    /// How many slabs the session has open. Under `openSlabsLock`. The first field, since the thread
    /// sanitizer takes a change of any field for one of the first, and the others are atomic.
    var openCount = 0
    /// Atomic. The epoch at which the session's turn began; `offline` between turns.
    var epoch: UInt64 = SessionSlot.offline
    /// Held from reserving blocks until the item is published, and while open slabs are sealed.
    var openSlabsLock: UInt32 = 0
    var isUsed = false
    /// Whether items have come to the index since its density was last looked at. The session's own.
    var mayBeDense = false
    /// Slabs this session may keep open. Under `openSlabsLock`.
    var openLimit = 4
    /// What `openLimit` is, by configuration: while memory is free, and while it is short.
    var openLimitMax = 4
    var openLimitWhenShort = 3
    /// Counts the items put in the open slabs. Under `openSlabsLock`.
    var useCount: UInt64 = 0
    /// The open slabs, the most recently opened last. Under `openSlabsLock`.
    var open: SharedArray<OpenSlab>
    var counters = StoreCounters()
    /// The run whose item the session took out of the index last; 0: none since it looked. The session's own.
    var emptiedRun: UInt32 = 0
    /// What the write under way may take. The session's own.
    var committed = CommittedValue()
    /// Where the session notes what it evicts; nil unless somebody wants to know. The session's own.
    var evictionLog: Shared<EvictionLog>?
    /// The keys that the session of a limited store has changed; nil without `recordChanges`. The session's own.
    var changeLog: Shared<ChangeLog>?
    #if DEBUG
        /// Increased whenever the session goes offline, or may: see `ViewGuard`. Only the session writes it.
        var viewGeneration: UInt64 = 0
    #endif
}

/// A slab that a session appends to.
struct OpenSlab {
    var slab: UInt32
    var bucket: TimeBucket
    /// For items that eviction passed over, rather than fresh ones.
    var isKept: Bool
    /// The session's `useCount` when an item was last put there.
    var lastUse: UInt64
}

/// Counters of one session: written by it alone, summed by whoever asks.
package struct StoreCounters: Sendable {
    /// Items in the index.
    package var items: Int64 = 0
    /// Blocks that they cover.
    package var liveBlocks: Int64 = 0
    /// Items ever stored.
    package var itemsStored: Int64 = 0
    /// Live items dropped to make room.
    package var evictions: Int64 = 0
    package var evictionsUnfetched: Int64 = 0
    /// Evicted items that had an expiry.
    package var evictionsWithExpiry: Int64 = 0
    /// Expired items whose memory was given back.
    package var expired: Int64 = 0
    package var expiredUnfetched: Int64 = 0
    /// Those of them that were met by a request, rather than when their time bucket was cleared.
    package var expiredFound: Int64 = 0
    /// Items that were moved: to keep them, or to a finer time bucket.
    package var itemsMoved: Int64 = 0
    /// Stores refused because nothing could be dropped.
    package var outOfMemory: Int64 = 0
    /// Slabs emptied.
    package var slabsReclaimed: Int64 = 0

    static let fieldCount = MemoryLayout<StoreCounters>.size / MemoryLayout<Int64>.size

    /// Adds what another thread may be counting at this moment.
    mutating func add(_ other: UnsafeMutablePointer<StoreCounters>) {
        // SAFETY: the struct is nothing but Int64 fields (`fieldCount` is checked by a test).
        other.withMemoryRebound(to: Int64.self, capacity: Self.fieldCount) { source in
            withUnsafeMutablePointer(to: &self) { target in
                target.withMemoryRebound(to: Int64.self, capacity: Self.fieldCount) { target in
                    for field in 0..<Self.fieldCount { target[field] &+= counted(source + field) }
                }
            }
        }
    }
}

/// Epochs: how memory is reused without a lock on any read.
///
/// A slab whose items have left the index goes to limbo with the next epoch's number. A session
/// announces the epoch it sees when its turn begins, and `offline` when it ends; a slab of limbo is
/// free once every session has announced its number or a later one, because whoever found an item
/// in it did so in an earlier turn. This is quiescent-state-based reclamation (McKenney & Slingwine
/// 1998). A reply that outlives its turn pins the slab instead.
extension StoreState {
    @inline(__always)
    func goOnline(_ session: Shared<SessionSlot>) {
        noteOnline(session)
        announce(&session.pointee.epoch, atomicLoad(&process.pointee.epoch))
        if atomicLoad(&process.pointee.isClosed) != 0 { awaitRepair(session) }
    }
    @inline(__always)
    func goOffline(_ session: Shared<SessionSlot>) {
        noteOffline(session)
        endViews(session)
        atomicStore(&session.pointee.epoch, SessionSlot.offline)
    }

    /// The oldest epoch that a session may still be reading in.
    func oldestEpoch() -> UInt64 {
        larder_full_fence()
        var oldest = SessionSlot.offline
        for place in 0..<SessionSlot.placesMax {
            guard let slot = sessionSlot(place) else { break }
            oldest = min(oldest, atomicLoad(&slot.pointee.epoch))
        }
        return oldest
    }

    /// The session that items are moved to, whichever session moves them: only one does at a time,
    /// under the space lock, and so has fewer slabs open than a set for each would.
    var mover: Shared<SessionSlot> {
        // SAFETY: the store puts a slot at place 0 before there is any session.
        sessionSlot(0).unsafelyUnwrapped
    }

    /// The slot at `place`, in use or not; nil where none was ever made. Slots are never freed
    /// while the store lives.
    @inline(__always)
    func sessionSlot(_ place: Int) -> Shared<SessionSlot>? {
        // SAFETY: the table has `placesMax` entries, each zero or a pointer stored with release.
        let bits = atomicLoad(&process.pointee.sessions[place])
        return UnsafeMutablePointer(bitPattern: UInt(bits)).map { Shared($0) }
    }
}
