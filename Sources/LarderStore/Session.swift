import CLarderArena
import Glibc

/// What a store did with a request. The words are memcached's.
@usableFromInline
package enum StoreOutcome: UInt8, Sendable {
    case stored, notStored, exists, notFound
    /// The item would be larger than the store's limit.
    case tooLarge
    /// There is no room, and nothing may be dropped to make some.
    case noMemory
}

/// How `Session.store` treats what is there already.
@usableFromInline
package enum WriteMode: UInt8, Sendable {
    case set, add, replace, append, prepend, compareAndSwap
}

/// A key with its hash, computed once for a request.
///
/// SAFETY: the key's bytes stay where they are as long as this is used.
@safe @usableFromInline package struct HashedKey {
    /// The longest key of an item.
    package static let lengthMax = 65_535

    @usableFromInline package let bytes: UnsafeRawPointer
    @usableFromInline package let length: Int
    @usableFromInline package let hash: UInt64
    @inlinable @inline(__always)
    package init(bytes: UnsafeRawPointer, length: Int, hash: UInt64) {
        self.bytes = bytes
        self.length = length
        self.hash = hash
    }

    @inline(__always)
    var tag: UInt8 { KeyHash.tag(hash) }
}

/// One thread's way into a store. Used by one thread at a time.
///
/// Work is done in turns: `begin`, any number of operations, `end`. An `Item` that an operation
/// returns is valid until the turn ends or the session stores, touches or flushes something,
/// whichever comes first; `pin` keeps its bytes in place for longer. Turns should be short: memory
/// that others gave back in the meantime is not reused before they end.
@usableFromInline
package struct Session: ~Copyable {
    /// What the operations need, in one place of its own: the handle itself is a pointer, so that
    /// lending it to a call copies nothing else.
    private struct Core {
        let state: StoreState
        let slot: Shared<SessionSlot>
        /// Keeps the store there as long as the session.
        let store: Store
    }
    private let core: Shared<Core>

    @inline(__always)
    var state: StoreState { core.pointee.state }
    @inline(__always)
    var slot: Shared<SessionSlot> { core.pointee.slot }

    init(_ store: Store, _ slot: Shared<SessionSlot>) {
        core = Shared(allocating: Core(state: store.state, slot: slot, store: store))
    }

    deinit {
        recordsEvictions(false)
        dropChangeLog()
        state.goOffline(slot)
        Space(locking: state).sealOpenSlabs(slot)
        state.lock(.sessions, &state.process.pointee.sessionLock)
        slot.pointee.isUsed = false
        state.unlock(.sessions, &state.process.pointee.sessionLock)
        core.deallocate()
    }

    /// Begins a turn at `now`, in absolute milliseconds; carries out a flush that has fallen due,
    /// and a slice of the upkeep. The owner of a store in a file calls `repair` first if `StoreDamage.count` has
    /// changed.
    @inline(__always)
    package func begin(now: Int64) {
        let time = UInt64(bitPattern: now)
        if time >= atomicLoad(&state.process.pointee.nextTickMilliseconds)
            || time >= atomicLoad(&state.process.pointee.flushAtMilliseconds)
        {
            upkeep(now: now)
        }
        state.goOnline(slot)
    }

    /// Empties the store if it was found damaged. Between turns.
    package func repair() {
        if state.isCondemned { core.pointee.store.repair() }
    }

    /// Whether the next turn would begin with a slice of the upkeep.
    package func isUpkeepDue(now: Int64) -> Bool {
        UInt64(bitPattern: now) >= atomicLoad(&state.process.pointee.nextTickMilliseconds)
    }

    /// Ends the turn: items found in it are no longer valid.
    @inline(__always)
    package func end() { state.goOffline(slot) }

    /// - Parameter length: 0 to `HashedKey.lengthMax` bytes.
    @inline(__always)
    package func hashed(_ key: UnsafeRawPointer, length: Int) -> HashedKey {
        HashedKey(bytes: key, length: length, hash: KeyHash.hash(key, count: length, seed: state.hashSeed))
    }

    // MARK: Reading

    /// Whether the store was found damaged. It is empty from the next turn on, and values read in this turn may be
    /// wrong.
    @inline(__always)
    package var isCondemned: Bool { state.isCondemned }

    /// The live item under a key, or nil. Neither locks nor writes.
    @inline(__always)
    package func find(_ key: HashedKey, now: Int64) -> Item? {
        guard let item = findEvenDead(key) else { return nil }
        return state.isDead(item, now: now) ? nil : item
    }

    /// As `find`, but tells an item that has expired from one that is not there.
    @inline(__always)
    package func findEvenDead(_ key: HashedKey) -> Item? {
        guard !state.needsAttention else { return findAttentively(key) }
        return state.find(key.bytes, key.length, hash: key.hash).map { Item($0, foundBy: slot) }
    }
    /// As `findEvenDead`, in a store that is condemned, or that has flushed items in its index.
    @inline(never)
    private func findAttentively(_ key: HashedKey) -> Item? {
        guard !state.isCondemned, let found = state.find(key.bytes, key.length, hash: key.hash), state.isValid(found)
        else { return nil }
        return Item(found, foundBy: slot)
    }

    @inline(__always)
    package func isDead(_ item: Item, now: Int64) -> Bool { state.isDead(item, now: now) }

    /// Marks an item as asked for. Writes only while that changes something, and the time of the
    /// access with it: the line of an item that is asked for all the time stays unchanged in every
    /// core's cache. memcached notes the time no oftener.
    @inline(__always)
    package func markUsed(_ item: Item, now: Int64) {
        let state = item.state
        if used(state) != state { noteUse(item, now) }
        if let account = self.state.account { noteOrder(item, account) }
    }

    @inline(__always)
    private func used(_ old: UInt8) -> UInt8 {
        (old & ItemState.frequencyMask >= state.frequencyMax ? old : old &+ 1) | ItemState.fetched
    }

    @inline(never)
    private func noteUse(_ item: Item, _ now: Int64) { countUse(item, now) }

    @inline(__always)
    func countUse(_ item: Item, _ now: Int64) {
        var state = item.state
        while used(state) != state {
            if item.exchangeState(state, used(state)) {
                item.accessed = ItemState.accessed(now)
                return
            }
            state = item.state
        }
    }

    @inline(__always)
    package func cas(of item: Item) -> UInt64 { state.cas(of: item) }
    /// Absolute milliseconds; `Int64.max`: never.
    @inline(__always)
    package func expiry(of item: Item) -> Int64 { state.expiry(of: item) }

    /// Whether the store lies in a file, which other programs may change.
    package var isInFile: Bool { state.checked != 0 }

    // MARK: Keeping an item in place

    /// Keeps an item's bytes where they are, whatever becomes of the item, until `unpin`. Nil when
    /// so much of the arena is pinned already that the rest could not make room: copy them then.
    /// - Parameter isBrief: whether it is for the rest of the turn at most. More of the arena may be pinned for that.
    package func pin(_ item: Item, isBrief: Bool = false) -> Pin? {
        let first = state.slabIndex(ofBlock: state.block(of: item))
        let last = state.slabIndex(ofBlock: state.lastBlock(of: item))
        let pin = Pin(process: state.process, firstSlab: UInt32(first), lastSlab: UInt32(last), isInFile: isInFile)
        var added: UInt32 = 0
        for slab in first...last where atomicAdd(&state.process.pointee.pins[slab], 1) == 0 {
            added += 1
        }
        let pinned = atomicAdd(&state.process.pointee.pinnedSlabs, added) + added
        let shareMax = isBrief ? Self.brieflyPinnedShareMax : Self.pinnedShareMax
        guard Int(pinned) > state.slabsInUse / shareMax else { return pin }
        unpin(pin)
        return nil
    }

    /// One in this many slabs may be pinned.
    private static let pinnedShareMax = 3
    /// The same with those that are pinned briefly.
    private static let brieflyPinnedShareMax = 2

    /// Any session may take a pin off, that of another store too.
    package func unpin(_ pin: Pin) {
        var removed: UInt32 = 0
        for slab in Int(pin.firstSlab)...Int(pin.lastSlab)
        where atomicAdd(&pin.process.pointee.pins[slab], UInt32.max) == 1 { removed += 1 }
        assert(atomicLoad(&pin.process.pointee.pinnedSlabs) >= removed, "more pins are taken off than were put on")
        _ = atomicAdd(&pin.process.pointee.pinnedSlabs, 0 &- removed)
    }

    // MARK: Flush and upkeep

    /// Drops every item stored until now. The items are missing at once; their slots and their memory are given back
    /// in slices by the upkeep, or when the memory is needed.
    package func flush() {
        state.goOffline(slot)
        if let account = state.account { state.lockWriting(account) }
        let space = Space(locking: state)
        if !state.isCondemned { space.flush(slot) }
        space.writeFlushTime(Int64.max)
        space.unlock()
        if let account = state.account { state.unlockWriting(account) }
        state.goOnline(slot)
    }

    /// Drops, at a time to come, every item stored until then.
    package func flush(atMilliseconds time: Int64) {
        state.withSpace(slot) { $0.writeFlushTime(max(0, time)) }
    }

    /// Does a slice of the upkeep if one is due; true when there is more to do at once. Items found
    /// before are no longer valid.
    package func maintain(now: Int64) -> Bool {
        guard isUpkeepDue(now: now) else { return false }
        let isUnfinished = upkeep(now: now)
        state.goOnline(slot)
        return isUnfinished
    }

    /// Gives back the memory of what has expired or was deleted and divides the index's fullest
    /// buckets, a slice at a time. Does nothing when another session is at it; only a flush that is
    /// due is waited for, since the turn must not serve what it drops.
    /// - Returns: whether there is more to do at once.
    @discardableResult
    private func upkeep(now: Int64) -> Bool {
        state.goOffline(slot)
        let time = UInt64(bitPattern: now)
        let flushIsDue = time >= atomicLoad(&state.process.pointee.flushAtMilliseconds)
        guard let space = lockForUpkeep(waits: flushIsDue) else { return false }
        defer { if let account = state.account { state.unlockWriting(account) } }
        // Its lists may be torn. It is emptied before the next turn.
        guard !state.isCondemned else { return false }
        // Again, under the lock: another session may have done it.
        if time >= atomicLoad(&state.process.pointee.flushAtMilliseconds) {
            space.flush(slot)
            space.writeFlushTime(Int64.max)
        }
        space.owned.casNoted = max(space.owned.casNoted, atomicLoad(&state.superblock.pointee.cas_last))
        space.sweepFlushed(slot, bucketsMax: state.process.pointee.configuration.bucketsSweptMax)
        var budget = WorkBudget.slice
        _ = space.reclaimDue(slot, now: now, slabsMax: Int.max, &budget)
        let isMoreInLimbo = space.recycleLimbo(slot, slabsMax: Self.slabsRecycledMax)
        if state.indexIsTooDense { space.growIndex(slot, now: now) }
        if !budget.isSpent { space.retireEmptied(slot) }
        let isLimitFar = !budget.isSpent && space.keepLimit(slot, now: now)
        let interval = max(1, min(250, state.process.pointee.configuration.bucketIntervalMilliseconds / 8))
        let isUnfinished = budget.isSpent || state.isFlushing || isMoreInLimbo || isLimitFar
        let next = isUnfinished ? now : now + interval
        atomicStore(&state.process.pointee.nextTickMilliseconds, UInt64(bitPattern: next))
        return isUnfinished
    }

    /// Slabs made new in one slice.
    private static let slabsRecycledMax = 256

    private func lockForUpkeep(waits: Bool) -> Space? {
        if waits {
            if let account = state.account { state.lockWriting(account) }
            return Space(locking: state)
        }
        if let account = state.account, !state.tryLockWriting(account) { return nil }
        if let space = Space(tryLocking: state) { return space }
        if let account = state.account { state.unlockWriting(account) }
        return nil
    }
}

/// Keeps an item's bytes in place: see `Session.pin`. To be taken off while its store lives.
///
/// SAFETY: `@unchecked Sendable` because what it points to are atomics of the store's.
package struct Pin: @unchecked Sendable {
    let process: Shared<ProcessState>
    let firstSlab: UInt32
    let lastSlab: UInt32
    /// Whether the bytes lie in a file, which other programs may change.
    package let isInFile: Bool
}
