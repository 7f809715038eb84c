import CLarderArena
import Glibc

/// What a write did, and the cas and length that the item has now.
public struct StoreResult: Sendable {
    public var outcome: StoreOutcome
    public var cas: UInt64
    public var valueLength: Int
    @inline(__always)
    init(_ outcome: StoreOutcome, cas: UInt64 = 0, valueLength: Int = 0) {
        self.outcome = outcome
        self.cas = cas
        self.valueLength = valueLength
    }
}

/// What a write asks beyond its mode. The plain writes ask for nothing.
public struct WriteOptions: Sendable {
    /// The cas that the item must have; nil: any. `.compareAndSwap` takes nil for one that no item has.
    public var cas: UInt64?
    /// The cas that the item is to have, whatever others have; nil: the next number.
    public var newCas: UInt64?
    /// Only over this very write of the item: `Session.version`.
    public var version: UInt64?
    /// `.compareAndSwap`: an item with a higher cas is overwritten, too, and is stale then: it keeps its
    /// expiry, and whether a win was sent.
    public var acceptsOlder = false
    /// `.append`, `.prepend`: a missing item is made.
    public var createsMissing = false
    /// `.replace`, `.append`, `.prepend`: the item takes the expiry of the call rather than keep its own.
    public var setsExpiry = true
    /// `.replace`: the client flags, and the marks of an item whose length stays the same, stay.
    public var keepsMarks = false
    /// The key was given in base64.
    public var keyIsBinary = false
    /// `.add`: what the item begins with.
    var state: UInt8 = 0
    /// `.append`: the item is stale afterwards, free for the next to win it, and was not accessed.
    var marksStale = false
    public init() {}
}

extension Session {
    /// Stores a value under a key.
    /// - Parameters:
    ///   - key: 1 to 250 bytes.
    ///   - expiry: absolute milliseconds, `Int64.max` for never; one that is past stores an item
    ///     that nobody will see. `append` and `prepend` keep the old one, and the old flags.
    ///   - cas: what is compared with; 0 equals none for `.compareAndSwap`, and asks nothing of the others.
    public func store(
        _ mode: WriteMode, _ key: HashedKey, value: UnsafeRawPointer, valueLength: Int,
        clientFlags: UInt32, expiry: Int64, cas: UInt64 = 0, now: Int64
    ) -> StoreResult {
        if mode == .set,
            let result = setInOpenSlab(
                key, value: value, valueLength: valueLength, clientFlags: clientFlags, expiry: expiry, now: now)
        {
            return result
        }
        var options = WriteOptions()
        if mode != .set {
            if cas != 0 { options.cas = cas }
            if mode == .append || mode == .prepend { options.setsExpiry = false }
        }
        return storeByWay(
            mode, key, value: value, valueLength: valueLength, clientFlags: clientFlags, expiry: expiry,
            options, now: now)
    }

    /// As above, with conditions and marks. All of it is one step for every other session.
    public func store(
        _ mode: WriteMode, _ key: HashedKey, value: UnsafeRawPointer, valueLength: Int,
        clientFlags: UInt32, expiry: Int64, _ options: WriteOptions, now: Int64
    ) -> StoreResult {
        if mode == .set, options.newCas == nil, !options.keyIsBinary,
            let result = setInOpenSlab(
                key, value: value, valueLength: valueLength, clientFlags: clientFlags, expiry: expiry, now: now)
        {
            return result
        }
        return storeByWay(
            mode, key, value: value, valueLength: valueLength, clientFlags: clientFlags, expiry: expiry, options,
            now: now)
    }

    /// With or without limits.
    private func storeByWay(
        _ mode: WriteMode, _ key: HashedKey, value: UnsafeRawPointer, valueLength: Int,
        clientFlags: UInt32, expiry: Int64, _ options: WriteOptions, now: Int64
    ) -> StoreResult {
        if let bounds = state.bounds {
            return storeWithin(
                bounds, mode, key, value: value, valueLength: valueLength, clientFlags: clientFlags, expiry: expiry,
                options, now: now)
        }
        return storeInArena(
            mode, key, value: value, valueLength: valueLength, clientFlags: clientFlags, expiry: expiry, options,
            now: now)
    }

    /// A `set` as most are, in few steps. Nil, and nothing done, for one that is out of the ordinary: its open slab is
    /// full, or limits are to be kept. Before many sets, call `approach` for all of them.
    @inline(never)
    private func setInOpenSlab(
        _ key: HashedKey, value: UnsafeRawPointer, valueLength: Int, clientFlags: UInt32, expiry: Int64, now: Int64
    ) -> StoreResult? {
        let state = self.state
        let slot = self.slot
        guard state.bounds == nil, !slot.pointee.mayBeDense, expiry > now, state.hasOverflowReserve, !state.isCondemned
        else { return nil }
        let shape = ItemShape(
            keyLength: key.length, valueLength: valueLength, clientFlags: clientFlags, expiryMilliseconds: expiry,
            accessed: ItemState.accessed(now), checked: state.checked)
        let bytes = shape.totalBytes(wideCas: false)
        guard bytes <= state.process.pointee.configuration.itemBytesMax,
            state.blockCount(forBytes: bytes) <= state.blocksPerSlab
        else { return nil }
        let bucket = TimeBucket(
            expiry: expiry, now: now, interval: state.process.pointee.configuration.bucketWidthMilliseconds,
            shift: state.process.pointee.configuration.bucketShift)
        state.lock(.lane, &slot.pointee.laneLock)
        guard let place = state.reserveInLane(shape, bucket, false, slot) else {
            state.unlock(.lane, &slot.pointee.laneLock)
            return nil
        }
        state.crashPoint()
        let target = state.writeHeader(place, shape, key: key.bytes)
        state.crashPoint()
        target.copyMemory(from: value, byteCount: valueLength)
        state.crashPoint()
        state.sign(place)
        state.crashPoint()
        return publishSet(place, key, valueLength: valueLength)
    }

    @inline(__always)
    func storeInArena(
        _ mode: WriteMode, _ key: HashedKey, value: UnsafeRawPointer, valueLength: Int,
        clientFlags: UInt32, expiry: Int64, _ options: WriteOptions, now: Int64
    ) -> StoreResult {
        if slot.pointee.mayBeDense { growIndexIfDense(now: now) }
        var refills = 0
        for _ in 0..<Self.attemptsMax {
            // A lookup finds nothing in it, and the index has the item all the same: callers would try for ever.
            guard !state.isCondemned else { return StoreResult(.noMemory) }
            if !state.hasOverflowReserve {
                guard refills < 8, refillOverflow(now: now) else { return refused(mode, key, .noMemory) }
                refills += 1
            }
            var shape = ItemShape(
                keyLength: key.length, valueLength: valueLength, clientFlags: clientFlags,
                expiryMilliseconds: expiry, cas: options.newCas, keyIsBinary: options.keyIsBinary,
                accessed: ItemState.accessed(now), checked: state.checked)
            var old: OldValue?
            if mode != .set {
                let existing = find(key, now: now)
                if let outcome = refusal(mode, existing, options) { return StoreResult(outcome) }
                if let existing { old = reshape(&shape, over: existing, mode, options) }
                if mode == .add { shape.state = options.state }
            }
            if shape.totalBytes(wideCas: false) > state.process.pointee.configuration.itemBytesMax {
                return refused(mode, key, .tooLarge)
            }
            // A time that is past (rather than none at all): dead at once, but there until somebody asks or
            // its time bucket is cleared, so that a get can tell that it has expired.
            let isKept = shape.expiryMilliseconds > 0 && state.bounds == nil
            if isKept { shape.expiryMilliseconds = max(now, shape.expiryMilliseconds) }
            guard shape.expiryMilliseconds > now || isKept else {
                let outcome = removeInstead(mode, key, old, options)
                if outcome != .stored {
                    if old != nil { continue }
                    return StoreResult(outcome)
                }
                let next = larder_add_u64(&state.superblock.pointee.cas_last, 1) + 1
                return StoreResult(.stored, cas: shape.cas ?? next, valueLength: shape.valueLength)
            }
            guard let place = state.reserve(shape, kept: false, now: now, spaceIsLocked: false, slot) else {
                return refused(mode, key, .noMemory)
            }
            state.crashPoint()
            let target = state.writeHeader(place, shape, key: key.bytes)
            state.crashPoint()
            if let old, mode == .append || mode == .prepend {
                guard copyBesideOld(old, key, mode, value, valueLength, to: target, now: now) else {
                    // It was replaced, deleted or evicted meanwhile: look again.
                    state.giveUp(place, slot)
                    continue
                }
            } else if UnsafeRawPointer(target) != value {
                // One that has landed is there already.
                target.copyMemory(from: value, byteCount: valueLength)
            }
            state.crashPoint()
            state.sign(place)
            state.crashPoint()
            if var result = publish(place, mode, key, options, old, now: now) {
                result.valueLength = shape.valueLength
                return result
            }
        }
        return refused(mode, key, .noMemory)
    }

    /// How often a write is tried again. Reasons: another session wrote the same item, and so has made progress; or a
    /// line of the index is missing, because of damage.
    static var attemptsMax: Int { 1 << 16 }

    /// What a write that depends on the old item found before it had room for the new one.
    private struct OldValue {
        var length: Int
        var order: UInt64
        /// What the new item took over, and so has to be there still.
        var expiry: Int64?
        /// Marks that go on to the new item as they are at the end.
        var keptState: UInt8
    }

    /// Why a conditional write cannot be, or nil.
    @inline(__always)
    func refusal(
        _ mode: WriteMode, _ existing: Item?, _ options: WriteOptions
    ) -> StoreOutcome? {
        switch mode {
        case .set: return nil
        case .add: return existing == nil ? nil : .notStored
        case .replace, .append, .prepend:
            guard let existing else {
                return options.createsMissing && mode != .replace ? nil : .notStored
            }
            if let version = options.version, state.order(of: existing) != version { return .exists }
            if let cas = options.cas, state.cas(of: existing) != cas { return .exists }
            return nil
        case .compareAndSwap:
            guard let existing else { return .notFound }
            guard let cas = options.cas else { return .exists }
            let present = state.cas(of: existing)
            return present == cas || options.acceptsOlder && cas < present ? nil : .exists
        }
    }

    /// Gives a new item what it takes over from the old one; nil when it takes over nothing.
    @inline(never)
    private func reshape(
        _ shape: inout ItemShape, over existing: Item, _ mode: WriteMode, _ options: WriteOptions
    ) -> OldValue? {
        var old = OldValue(
            length: existing.valueLength, order: state.order(of: existing), expiry: nil, keptState: 0)
        switch mode {
        case .append, .prepend:
            shape.valueLength += existing.valueLength
            shape.clientFlags = existing.clientFlags
            shape.keyIsBinary = existing.keyIsBinary || shape.keyIsBinary
            if options.marksStale {
                old.keptState = ItemState.fetched
                shape.accessed = larder_load_u16(existing.accessedField)
            }
        case .replace where options.version != nil:
            if options.keepsMarks {
                shape.clientFlags = existing.clientFlags
                shape.keyIsBinary = existing.keyIsBinary
                if shape.valueLength == existing.valueLength {
                    old.keptState = ItemState.fetched | ItemState.marksMask
                }
            }
        case .compareAndSwap where options.acceptsOlder:
            guard options.cas != state.cas(of: existing) else { return old }
            shape.state = ItemState.stale
            old.keptState = ItemState.winSent
            shape.expiryMilliseconds = state.expiry(of: existing)
            old.expiry = shape.expiryMilliseconds
            return old
        default: return nil
        }
        if options.marksStale { shape.state = ItemState.stale }
        if !options.setsExpiry {
            shape.expiryMilliseconds = state.expiry(of: existing)
            old.expiry = shape.expiryMilliseconds
        }
        return old
    }

    /// An item that would be dead at once is not stored: only what it replaces goes.
    @inline(never)
    private func removeInstead(
        _ mode: WriteMode, _ key: HashedKey, _ old: OldValue?, _ options: WriteOptions
    ) -> StoreOutcome {
        if let old { return remove(key, order: old.order) }
        switch mode {
        case .add: break
        case .compareAndSwap: return remove(key, cas: options.cas)
        case .set, .replace, .append, .prepend: _ = remove(key)
        }
        return .stored
    }

    /// A set that cannot be stored must not leave the old value to be read.
    func refused(_ mode: WriteMode, _ key: HashedKey, _ outcome: StoreOutcome) -> StoreResult {
        if mode == .set { _ = remove(key) }
        return StoreResult(outcome)
    }

    @inline(never)
    private func copyBesideOld(
        _ old: OldValue, _ key: HashedKey, _ mode: WriteMode, _ value: UnsafeRawPointer, _ valueLength: Int,
        to target: UnsafeMutableRawPointer, now: Int64
    ) -> Bool {
        guard let existing = find(key, now: now), state.order(of: existing) == old.order,
            existing.valueLength == old.length
        else { return false }
        let first = mode == .append ? UnsafeRawPointer(existing.value) : value
        let firstLength = mode == .append ? old.length : valueLength
        let second = mode == .append ? value : UnsafeRawPointer(existing.value)
        target.copyMemory(from: first, byteCount: firstLength)
        (target + firstLength).copyMemory(from: second, byteCount: old.length + valueLength - firstLength)
        return true
    }

    /// Puts a written item into the index; nil when it has to be tried again.
    @inline(__always)
    private func publish(
        _ place: Reservation, _ mode: WriteMode, _ key: HashedKey, _ options: WriteOptions,
        _ old: OldValue?, now: Int64
    ) -> StoreResult? {
        let tag = KeyHash.tag(key.hash)
        let bucket = state.lockBucket(key.hash)
        let slot = state.slot(of: key.bytes, key.length, tag, in: bucket)
        let present = slot.map { Item(state.address(ofBlock: $0.block)) }
        var keptState = ItemState.frequencyMask
        if mode != .set {
            let live = present.flatMap { state.isDead($0, now: now) ? nil : $0 }
            let isOther = !isStill(old, live, mode)
            let outcome = refusal(mode, live, options)
            if isOther || outcome != nil {
                state.unlockBucket(bucket)
                state.giveUp(place, self.slot)
                return outcome.map { StoreResult($0) }
            }
            if let old { keptState |= old.keptState }
        }
        if let slot, let present {
            putInPlace(of: slot, present, place, key.hash, bucket, keeping: keptState)
        } else {
            guard putInto(bucket, tag, place, key.hash) else { return nil }
        }
        larder_count(&self.slot.pointee.counters.itemsStored, 1)
        return StoreResult(.stored, cas: place.cas)
    }

    /// As `publish`, of a write that asks for nothing; nil when it has to be tried again.
    @inline(__always)
    private func publishSet(_ place: Reservation, _ key: HashedKey, valueLength: Int) -> StoreResult? {
        let tag = KeyHash.tag(key.hash)
        let bucket = state.lockBucket(key.hash)
        if let slot = state.slot(of: key.bytes, key.length, tag, in: bucket) {
            let present = Item(state.address(ofBlock: slot.block))
            putInPlace(of: slot, present, place, key.hash, bucket, keeping: ItemState.frequencyMask)
        } else {
            guard putInto(bucket, tag, place, key.hash) else { return nil }
        }
        larder_count(&slot.pointee.counters.itemsStored, 1)
        return StoreResult(.stored, cas: place.cas, valueLength: valueLength)
    }

    /// Puts a written item in the place of another of its key, and unlocks the bucket.
    @inline(__always)
    private func putInPlace(
        of slot: IndexSlot, _ present: Item, _ place: Reservation, _ hash: UInt64,
        _ bucket: UnsafeMutablePointer<larder_bucket>, keeping keptState: UInt8
    ) {
        // A key that is often asked for stays so when its value changes.
        let kept = larder_load_u8(present.stateField) & keptState
        if kept != 0 {
            let field = Item(state.address(ofBlock: place.block)).stateField
            larder_store_u8(field, larder_load_u8(field) | kept)
        }
        state.settle(place)
        state.crashPoint()
        larder_bucket_publish(slot.line, slot.number, place.block)
        state.crashPoint()
        if let bounds = state.bounds {
            bounds.replaced(present, by: Item(state.address(ofBlock: place.block)), hash)
        }
        // Before the bucket is unlocked, so that a kill leaves one item of a key that anybody saw;
        // and before the end of a run's making, which is the end of this turn's hold on the old slab.
        state.release(
            block: slot.block, blockCount: state.blockCount(forBytes: present.totalBytes), self.slot)
        state.crashPoint()
        state.unlockBucket(bucket)
        state.finish(place, self.slot)
    }

    /// Puts a written item into the index as a new one, and unlocks the bucket; false, and nothing is left of
    /// it, when there is no room.
    @inline(__always)
    private func putInto(
        _ bucket: UnsafeMutablePointer<larder_bucket>, _ tag: UInt8, _ place: Reservation, _ hash: UInt64
    ) -> Bool {
        state.settle(place)
        state.crashPoint()
        let isIn = state.insert(block: place.block, tag: tag, into: bucket)
        state.unlockBucket(bucket)
        guard isIn else {
            state.giveUp(place, self.slot)
            return false
        }
        larder_count(&self.slot.pointee.counters.items, 1)
        if let bounds = state.bounds { bounds.inserted(Item(state.address(ofBlock: place.block)), hash) }
        state.finish(place, self.slot)
        // Looked at by the next store: to make room for the index could cost this very item.
        if larder_counted(&self.slot.pointee.counters.items) & 63 == 0 {
            self.slot.pointee.mayBeDense = true
        }
        return true
    }

    /// Whether what the new item took over is still what there is.
    @inline(__always)
    private func isStill(_ old: OldValue?, _ live: Item?, _ mode: WriteMode) -> Bool {
        guard let old else {
            // Made for a missing item: then it has to be missing still.
            return live == nil || mode != .append && mode != .prepend
        }
        guard let live, state.order(of: live) == old.order else { return false }
        guard let expiry = old.expiry else { return true }
        return state.expiry(of: live) == expiry
    }

    func growIndexIfDense(now: Int64) {
        slot.pointee.mayBeDense = false
        state.endViews(slot)
        guard state.indexIsTooDense else { return }
        state.goOffline(slot)
        defer { state.goOnline(slot) }
        guard state.tryLockSpace() else { return }
        state.growIndex(slot, now: now)
        state.unlockSpace()
    }

    func refillOverflow(now: Int64) -> Bool {
        state.goOffline(slot)
        state.lockSpace()
        defer {
            state.unlockSpace()
            state.goOnline(slot)
        }
        return state.hasOverflowReserve || state.addOverflowSlab(slot, now: now)
    }

    // MARK: Removing

    /// Deletes the item under a key.
    /// - Parameter cas: if not 0, only when the item has this cas; otherwise `.exists`.
    /// - Returns: `.stored` when it was deleted.
    public func delete(_ key: HashedKey, cas: UInt64 = 0, now: Int64) -> StoreOutcome {
        delete(key, ifCas: cas == 0 ? nil : cas, now: now)
    }

    /// - Parameter cas: only when the item has this cas; nil: whatever it has.
    public func delete(_ key: HashedKey, ifCas cas: UInt64?, now: Int64) -> StoreOutcome {
        if let bounds = state.bounds { return deleteWithin(bounds, key, cas: cas, now: now) }
        return deleteInArena(key, cas: cas, now: now)
    }

    @inline(__always)
    func deleteInArena(_ key: HashedKey, cas: UInt64?, now: Int64) -> StoreOutcome {
        guard let existing = state.find(key.bytes, key.length, hash: key.hash) else { return .notFound }
        let isDead = state.isDead(Item(existing), now: now)
        let outcome = remove(key, cas: cas, onlyDeadAt: isDead ? now : nil)
        return isDead ? .notFound : outcome
    }

    /// Gives an expired item's memory back before its time bucket's turn.
    /// - Returns: whether it was there still.
    @discardableResult
    public func removeDead(_ key: HashedKey, now: Int64) -> Bool {
        if let bounds = state.bounds { lockWriting(bounds) }
        let outcome = remove(key, onlyDeadAt: now)
        if let bounds = state.bounds { unlockWriting(bounds) }
        return outcome == .stored
    }

    /// - Parameters:
    ///   - cas: what clients must see.
    ///   - order: the write that it must be.
    func remove(
        _ key: HashedKey, cas: UInt64? = nil, order: UInt64? = nil, onlyDeadAt: Int64? = nil
    ) -> StoreOutcome {
        let bucket = state.lockBucket(key.hash)
        guard let slot = state.slot(of: key.bytes, key.length, KeyHash.tag(key.hash), in: bucket) else {
            state.unlockBucket(bucket)
            return .notFound
        }
        let item = Item(state.address(ofBlock: slot.block))
        var isKept = false
        if let now = onlyDeadAt { isKept = !state.isDead(item, now: now) }
        if let cas, state.cas(of: item) != cas { isKept = true }
        if let order, state.order(of: item) != order { isKept = true }
        guard !isKept else {
            state.unlockBucket(bucket)
            return .exists
        }
        state.removeSlot(slot, from: bucket)
        state.crashPoint()
        if let now = onlyDeadAt {
            state.countDropped(item, key.hash, isDead: true, now: now, self.slot)
            larder_count(&self.slot.pointee.counters.expiredFound, 1)
        } else {
            larder_count(&self.slot.pointee.counters.items, -1)
            if let bounds = state.bounds { bounds.removed(item, key.hash) }
        }
        state.release(block: slot.block, blockCount: state.blockCount(forBytes: item.totalBytes), self.slot)
        state.unlockBucket(bucket)
        return .stored
    }

    // MARK: Touching

    /// Gives an item a new expiry; its cas stays.
    /// - Parameter isUse: whether this is an access like a retrieval: `markUsed`.
    /// - Returns: `.stored`, `.notFound`, or `.noMemory` when it had to move and could not.
    public func touch(_ key: HashedKey, expiry: Int64, isUse: Bool = false, now: Int64) -> StoreOutcome {
        if isUse, let item = find(key, now: now) { markUsed(item, now: now) }
        if let bounds = state.bounds { return touchWithin(bounds, key, expiry: expiry, now: now) }
        return touchInArena(key, expiry: expiry, now: now)
    }

    @inline(__always)
    func touchInArena(_ key: HashedKey, expiry: Int64, now: Int64) -> StoreOutcome {
        for _ in 0..<Self.attemptsMax {
            guard let item = find(key, now: now) else { return .notFound }
            guard expiry > now else {
                if remove(key, order: state.order(of: item)) == .exists { continue }
                return .stored
            }
            if state.expiry(of: item) == expiry { return .stored }
            if fitsInPlace(item, expiry) {
                if touchInPlace(item, key, expiry) { return .stored }
                continue
            }
            let shape = ItemShape(
                keyLength: key.length, valueLength: item.valueLength, clientFlags: item.clientFlags,
                expiryMilliseconds: expiry, cas: state.cas(of: item), order: state.order(of: item),
                keyIsBinary: item.keyIsBinary, checked: state.checked)
            guard let place = state.reserve(shape, kept: false, now: now, spaceIsLocked: false, slot) else {
                return .noMemory
            }
            if moveTouched(key, place, shape, now: now) { return .stored }
        }
        return .noMemory
    }

    /// Whether the item's slab is of the right time bucket for a new expiry.
    private func fitsInPlace(_ item: Item, _ expiry: Int64) -> Bool {
        guard item.form.contains(.expires), expiry != Int64.max else { return false }
        let slab = state.slabs + state.slabIndex(ofBlock: state.block(ofItem: item.base))
        if slab.pointee.run_slabs > 1 {
            // A run waits for its own item only: later is well, and found when its time comes.
            return expiry > state.expiry(of: item)
                && expiry - slab.pointee.expiry_base_ms <= Int64(UInt32.max)
        }
        return expiry > slab.pointee.expiry_base_ms && expiry <= slab.pointee.expiry_end_ms
    }

    private func touchInPlace(_ item: Item, _ key: HashedKey, _ expiry: Int64) -> Bool {
        let bucket = state.lockBucket(key.hash)
        defer { state.unlockBucket(bucket) }
        let block = state.block(ofItem: item.base)
        guard state.slot(ofBlock: block, KeyHash.tag(key.hash), in: bucket) != nil else { return false }
        let base = state.slabs[state.slabIndex(ofBlock: block)].expiry_base_ms
        // SAFETY: the form says that the field is there, four bytes, aligned.
        let field = (item.base + item.form.expiryOffset).assumingMemoryBound(to: UInt32.self)
        larder_store_u32(field, UInt32(truncatingIfNeeded: expiry - base))
        return true
    }

    /// Copies the item to its new place; false when it changed meanwhile.
    private func moveTouched(
        _ key: HashedKey, _ place: Reservation, _ shape: ItemShape, now: Int64
    ) -> Bool {
        var shape = shape
        let tag = KeyHash.tag(key.hash)
        let bucket = state.lockBucket(key.hash)
        guard let slot = state.slot(of: key.bytes, key.length, tag, in: bucket),
            case let item = Item(state.address(ofBlock: slot.block)),
            state.order(of: item) == shape.order, item.valueLength == shape.valueLength,
            !state.isDead(item, now: now)
        else {
            state.unlockBucket(bucket)
            state.giveUp(place, self.slot)
            return false
        }
        // Under the lock, since marks are set under it.
        shape.state = larder_load_u8(item.stateField)
        shape.accessed = larder_load_u16(item.accessedField)
        let value = state.writeHeader(place, shape, key: key.bytes)
        value.copyMemory(from: item.value, byteCount: shape.valueLength)
        state.sign(place)
        state.crashPoint()
        state.settle(place)
        state.crashPoint()
        larder_bucket_publish(slot.line, slot.number, place.block)
        state.crashPoint()
        state.release(block: slot.block, blockCount: state.blockCount(forBytes: item.totalBytes), self.slot)
        state.unlockBucket(bucket)
        state.finish(place, self.slot)
        return true
    }
}
