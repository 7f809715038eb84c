import CLarderArena
import Glibc

// SAFETY: `value` has `valueLength` bytes, by the contract of `store` and `set`; a reservation has room for them, since
// it was made for the same length.

/// What a write did, and the cas and length that the item has now.
package struct StoreResult: Sendable {
    package var outcome: StoreOutcome
    package var cas: UInt64
    package var valueLength: Int
    @inline(__always)
    init(_ outcome: StoreOutcome, cas: UInt64 = 0, valueLength: Int = 0) {
        self.outcome = outcome
        self.cas = cas
        self.valueLength = valueLength
    }
}

/// What a write asks beyond its mode. The plain writes ask for nothing.
@usableFromInline
package struct WriteOptions: Sendable {
    /// The cas that the item must have; nil: any. `.compareAndSwap` takes nil for one that no item has.
    package var cas: UInt64?
    /// The cas that the item is to have, whatever others have; nil: the next number.
    package var newCas: UInt64?
    /// Only over this very write of the item: `Session.version`.
    package var version: UInt64?
    /// `.compareAndSwap`: an item with a higher cas is overwritten, too, and is stale then: it keeps its
    /// expiry, and whether a win was sent.
    package var acceptsOlder = false
    /// `.append`, `.prepend`: a missing item is made.
    package var createsMissing = false
    /// `.replace`, `.append`, `.prepend`: the item takes the expiry of the call rather than keep its own.
    package var setsExpiry = true
    /// `.replace`: the client flags, and the marks of an item whose length stays the same, stay.
    package var keepsMarks = false
    /// The write changes an item that is there, so it does not count as a stored item (`total_items`).
    package var isCountedAsChange = false
    /// The key was given in base64.
    package var keyIsBinary = false
    /// `.add`: what the item begins with.
    @usableFromInline var state: UInt8 = 0
    /// `.append`: the item is stale afterwards, free for the next to win it, and was not accessed.
    @usableFromInline var marksStale = false

    @inlinable
    package init() {}
}

extension Session {
    /// Stores a value under a key.
    /// - Parameters:
    ///   - key: 1 byte to `HashedKey.lengthMax`, or to the limit of a store with limits. A longer one is `.tooLarge`.
    ///   - expiry: absolute milliseconds, `Int64.max` for never; one that is past stores an item
    ///     that nobody will see. `append` and `prepend` keep the old one, and the old flags.
    ///   - cas: what is compared with; 0 equals none for `.compareAndSwap`, and asks nothing of the others.
    package func store(
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
    package func store(
        _ mode: WriteMode, _ key: HashedKey, value: UnsafeRawPointer, valueLength: Int,
        clientFlags: UInt32, expiry: Int64, _ options: WriteOptions, now: Int64
    ) -> StoreResult {
        if mode == .set, options.newCas == nil, !options.keyIsBinary {
            return store(
                .set, key, value: value, valueLength: valueLength, clientFlags: clientFlags, expiry: expiry, now: now)
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
        if let account = state.account {
            return storeWithin(
                account, mode, key, value: value, valueLength: valueLength, clientFlags: clientFlags, expiry: expiry,
                options, now: now)
        }
        return storeInArena(
            mode, key, value: value, valueLength: valueLength, clientFlags: clientFlags, expiry: expiry, options,
            now: now)
    }

    /// A `set` as most are, in few steps. Nil, and nothing done, for one that is out of the ordinary: its open slab is
    /// full, or limits are to be kept. Before many sets, call `prefetch` for all of them.
    @inline(__always)
    private func setInOpenSlab(
        _ key: HashedKey, value: UnsafeRawPointer, valueLength: Int, clientFlags: UInt32, expiry: Int64, now: Int64
    ) -> StoreResult? {
        let state = self.state
        let slot = self.slot
        // The key's length first: behind the others it would cost three times as many instructions.
        guard key.length <= ItemForm.shortKeyMax, state.account == nil, !slot.pointee.mayBeDense, expiry > now,
            state.hasOverflowReserve, !state.isCondemned
        else { return nil }
        let shape = ItemShape(
            keyLength: key.length, valueLength: valueLength, clientFlags: clientFlags, expiryMilliseconds: expiry,
            accessed: ItemState.accessed(now), fixedBits: state.checked)
        let bytes = shape.totalBytes(wideCas: false)
        guard bytes <= state.process.pointee.configuration.itemBytesMax,
            state.blockCount(forBytes: bytes) <= state.blocksPerSlab
        else { return nil }
        let bucket = TimeBucket(
            expiry: expiry, now: now, interval: state.process.pointee.configuration.bucketWidthMilliseconds,
            shift: state.process.pointee.configuration.bucketShift)
        guard let place = state.reserveInOpenSlab(shape, bucket, slot) else { return nil }
        state.crashPoint()
        let target = place.writeHeader(shape, key: key.bytes, isShort: true, state)
        target.copyMemory(from: value, byteCount: valueLength)
        place.sign(state)
        return publishSet(place, key, valueLength: valueLength)
    }

    @inline(__always)
    func storeInArena(
        _ mode: WriteMode, _ key: HashedKey, value: UnsafeRawPointer, valueLength: Int,
        clientFlags: UInt32, expiry: Int64, _ options: WriteOptions, now: Int64
    ) -> StoreResult {
        guard key.length <= HashedKey.lengthMax else { return StoreResult(.tooLarge) }
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
                accessed: ItemState.accessed(now), fixedBits: state.formBits(keyLength: key.length))
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
            let isKept = shape.expiryMilliseconds > 0 && state.account == nil
            if isKept { shape.expiryMilliseconds = max(now, shape.expiryMilliseconds) }
            guard shape.expiryMilliseconds > now || isKept else {
                let outcome = removeInstead(mode, key, old, options)
                if outcome != .stored, old != nil { continue }
                guard outcome == .stored else { return StoreResult(outcome) }
                let next = atomicAdd(&state.superblock.pointee.cas_last, 1) + 1
                return StoreResult(.stored, cas: shape.cas ?? next, valueLength: shape.valueLength)
            }
            guard let place = state.reserve(shape, now: now, slot) else { return refused(mode, key, .noMemory) }
            state.crashPoint()
            let target = place.writeHeader(shape, key: key.bytes, state)
            if let old, mode == .append || mode == .prepend {
                guard copyBesideOld(old, key, mode, value, valueLength, to: target, now: now) else {
                    // It was replaced, deleted or evicted meanwhile: look again.
                    place.giveUp(state)
                    continue
                }
            } else if UnsafeRawPointer(target) != value {
                // A value received in place needs no copy.
                target.copyMemory(from: value, byteCount: valueLength)
            }
            place.sign(state)
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

    /// Puts a written item into the index; nil when it has to be tried again.
    @inline(__always)
    private func publish(
        _ place: consuming Reservation, _ mode: WriteMode, _ key: HashedKey, _ options: WriteOptions,
        _ old: OldValue?, now: Int64
    ) -> StoreResult? {
        let bucket = state.lockBucket(key.hash)
        let slot = state.slot(of: key, in: bucket)
        var keptState = ItemState.frequencyMask
        if mode != .set {
            let present = slot.map { state.item(ofBlock: $0.block) }
            let live = present.flatMap { state.isDead($0, now: now) ? nil : $0 }
            let isOther = !isStill(old, live, mode)
            let outcome = refusal(mode, live, options)
            if isOther || outcome != nil {
                bucket.unlock()
                place.giveUp(state)
                return outcome.map { StoreResult($0) }
            }
            if let old { keptState |= old.keptState }
        }
        let cas = place.cas
        guard publish(place, slot, in: bucket, key, keeping: keptState) else { return nil }
        if options.isCountedAsChange { changeCount(&self.slot.pointee.counters.itemsStored, -1) }
        return StoreResult(.stored, cas: cas)
    }

    /// As `publish`, of a write that asks for nothing; nil when it has to be tried again.
    @inline(__always)
    private func publishSet(_ place: consuming Reservation, _ key: HashedKey, valueLength: Int) -> StoreResult? {
        let bucket = state.lockBucket(key.hash)
        let slot = state.slot(of: key, in: bucket)
        let cas = place.cas
        guard publish(place, slot, in: bucket, key, keeping: ItemState.frequencyMask) else { return nil }
        return StoreResult(.stored, cas: cas, valueLength: valueLength)
    }

    /// Puts a written item into the place of another of its key, or into the index as a new one; false, and nothing is
    /// left of it, when there is no room.
    @inline(__always)
    private func publish(
        _ place: consuming Reservation, _ present: IndexSlot?, in bucket: consuming LockedBucket, _ key: HashedKey,
        keeping keptState: UInt8
    ) -> Bool {
        if let present {
            // A key that is often asked for stays so when its value changes.
            let kept = state.item(ofBlock: present.block).state & keptState
            if kept != 0 {
                let item = place.item(state)
                item.state = item.state | kept
            }
            place.publish(replacing: present, in: bucket, hash: key.hash, slot, state)
        } else {
            guard place.publish(key.tag, into: bucket, hash: key.hash, state) else { return false }
            // Looked at by the next store: to make room for the index could cost this very item.
            if counted(&slot.pointee.counters.items) & 63 == 0 { slot.pointee.mayBeDense = true }
        }
        changeCount(&slot.pointee.counters.itemsStored, 1)
        return true
    }

    func growIndexIfDense(now: Int64) {
        slot.pointee.mayBeDense = false
        state.endViews(slot)
        guard state.indexIsTooDense else { return }
        state.goOffline(slot)
        defer { state.goOnline(slot) }
        if let space = Space(tryLocking: state) { space.growIndex(slot, now: now) }
    }

    func refillOverflow(now: Int64) -> Bool {
        state.withSpace(slot) { state.hasOverflowReserve || $0.addOverflowSlab(slot, now: now) }
    }
}
