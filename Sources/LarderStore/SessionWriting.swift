import CLarderArena
import Glibc

/// What a write did, and the cas that the item has now.
public struct StoreResult: Sendable {
    public var outcome: StoreOutcome
    public var cas: UInt64
    @inline(__always)
    init(_ outcome: StoreOutcome, cas: UInt64 = 0) {
        self.outcome = outcome
        self.cas = cas
    }
}

extension Session {
    /// Stores a value under a key.
    /// - Parameters:
    ///   - key: 1 to 250 bytes.
    ///   - expiry: absolute milliseconds, `Int64.max` for never; one that is past stores an item
    ///     that nobody will see. `append` and `prepend` keep the old one, and the old flags.
    ///   - cas: what `.compareAndSwap` compares with.
    public func store(
        _ mode: WriteMode, _ key: HashedKey, value: UnsafeRawPointer, valueLength: Int,
        clientFlags: UInt32, expiry: Int64, cas: UInt64 = 0, now: Int64
    ) -> StoreResult {
        if slot.pointee.mayBeDense { growIndexIfDense(now: now) }
        var refills = 0
        while true {
            if !state.hasOverflowReserve {
                guard refills < 8, refillOverflow(now: now) else { return refused(mode, key, .noMemory) }
                refills += 1
            }
            var shape = ItemShape(
                keyLength: key.length, valueLength: valueLength, clientFlags: clientFlags,
                expiryMilliseconds: expiry)
            var old: OldValue?
            if mode != .set {
                let existing = find(key, now: now)
                if let outcome = refusal(mode, existing, cas) { return StoreResult(outcome) }
                if let existing, mode == .append || mode == .prepend {
                    old = OldValue(length: existing.valueLength, cas: state.cas(of: existing))
                    shape.valueLength += existing.valueLength
                    shape.clientFlags = existing.clientFlags
                    shape.expiryMilliseconds = state.expiry(of: existing)
                }
            }
            if shape.totalBytes(wideCas: false) > state.process.pointee.configuration.itemBytesMax {
                return refused(mode, key, .tooLarge)
            }
            guard shape.expiryMilliseconds > now else {
                switch mode {
                case .add: break
                case .compareAndSwap:
                    let outcome = remove(key, cas: cas)
                    guard outcome == .stored else { return StoreResult(outcome) }
                case .set, .replace, .append, .prepend: _ = remove(key, cas: 0)
                }
                return StoreResult(.stored, cas: larder_add_u64(&state.superblock.pointee.cas_last, 1) + 1)
            }
            guard let place = state.reserve(shape, kept: false, now: now, spaceIsLocked: false, slot) else {
                return refused(mode, key, .noMemory)
            }
            let target = state.writeHeader(place, shape, key: key.bytes)
            if let old {
                guard copyBesideOld(old, key, mode, value, valueLength, to: target, now: now) else {
                    // It was replaced, deleted or evicted meanwhile: look again.
                    state.giveUp(place, slot)
                    continue
                }
            } else {
                target.copyMemory(from: value, byteCount: valueLength)
            }
            if let result = publish(place, mode, key, cas: old?.cas ?? cas, now: now) { return result }
        }
    }

    /// What an `append` found before it had room for the result.
    private struct OldValue {
        var length: Int
        var cas: UInt64
    }

    /// Why a conditional write cannot be, or nil.
    @inline(__always)
    private func refusal(_ mode: WriteMode, _ existing: Item?, _ cas: UInt64) -> StoreOutcome? {
        switch mode {
        case .set: return nil
        case .add: return existing == nil ? nil : .notStored
        case .replace, .append, .prepend: return existing == nil ? .notStored : nil
        case .compareAndSwap:
            guard let existing else { return .notFound }
            return state.cas(of: existing) == cas ? nil : .exists
        }
    }

    /// A set that cannot be stored must not leave the old value to be read.
    private func refused(_ mode: WriteMode, _ key: HashedKey, _ outcome: StoreOutcome) -> StoreResult {
        if mode == .set { _ = remove(key, cas: 0) }
        return StoreResult(outcome)
    }

    private func copyBesideOld(
        _ old: OldValue, _ key: HashedKey, _ mode: WriteMode, _ value: UnsafeRawPointer, _ valueLength: Int,
        to target: UnsafeMutableRawPointer, now: Int64
    ) -> Bool {
        guard let existing = find(key, now: now), state.cas(of: existing) == old.cas,
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
        _ place: Reservation, _ mode: WriteMode, _ key: HashedKey, cas: UInt64, now: Int64
    ) -> StoreResult? {
        let tag = KeyHash.tag(key.hash)
        let bucket = state.lockBucket(key.hash)
        let slot = state.slot(of: key.bytes, key.length, tag, in: bucket)
        let present = slot.map { Item(state.address(ofBlock: $0.block)) }
        if mode != .set {
            let live = present.flatMap { state.isDead($0, now: now) ? nil : $0 }
            let isOther =
                mode == .append || mode == .prepend ? live.map { state.cas(of: $0) != cas } ?? true : false
            let outcome = refusal(mode, live, cas)
            if isOther || outcome != nil {
                larder_bucket_unlock(bucket)
                state.giveUp(place, self.slot)
                return isOther ? nil : outcome.map { StoreResult($0) }
            }
        }
        if let slot, let present {
            // A key that is often asked for stays so when its value changes.
            let frequency = present.frequency
            if frequency != 0 {
                larder_store_u8(Item(state.address(ofBlock: place.block)).stateField, frequency)
            }
            larder_bucket_publish(slot.line, slot.number, place.block)
            larder_bucket_unlock(bucket)
            // First, because to finish a run ends the turn's hold on the old item's slab.
            state.release(
                block: slot.block, blockCount: state.blockCount(forBytes: present.totalBytes), self.slot)
            state.finish(place, self.slot)
        } else {
            let isIn = state.insert(block: place.block, tag: tag, into: bucket)
            larder_bucket_unlock(bucket)
            guard isIn else {
                state.giveUp(place, self.slot)
                return nil
            }
            larder_count(&self.slot.pointee.counters.items, 1)
            state.finish(place, self.slot)
            // Looked at by the next store: to make room for the index could cost this very item.
            if larder_counted(&self.slot.pointee.counters.items) & 63 == 0 {
                self.slot.pointee.mayBeDense = true
            }
        }
        larder_count(&self.slot.pointee.counters.itemsStored, 1)
        return StoreResult(.stored, cas: place.cas)
    }

    private func growIndexIfDense(now: Int64) {
        slot.pointee.mayBeDense = false
        guard state.indexIsTooDense else { return }
        state.goOffline(slot)
        defer { state.goOnline(slot) }
        guard state.tryLockSpace() else { return }
        state.growIndex(slot, now: now)
        state.unlockSpace()
    }

    private func refillOverflow(now: Int64) -> Bool {
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
        guard let existing = state.find(key.bytes, key.length, hash: key.hash) else { return .notFound }
        let isDead = state.isDead(Item(existing), now: now)
        let outcome = remove(key, cas: cas, onlyDeadAt: isDead ? now : nil)
        return isDead ? .notFound : outcome
    }

    /// Gives an expired item's memory back before its time bucket's turn.
    public func removeDead(_ key: HashedKey, now: Int64) { _ = remove(key, cas: 0, onlyDeadAt: now) }

    private func remove(_ key: HashedKey, cas: UInt64, onlyDeadAt: Int64? = nil) -> StoreOutcome {
        let bucket = state.lockBucket(key.hash)
        guard let slot = state.slot(of: key.bytes, key.length, KeyHash.tag(key.hash), in: bucket) else {
            larder_bucket_unlock(bucket)
            return .notFound
        }
        let item = Item(state.address(ofBlock: slot.block))
        let isKept: Bool
        if let now = onlyDeadAt { isKept = !state.isDead(item, now: now) } else { isKept = false }
        guard !isKept, cas == 0 || state.cas(of: item) == cas else {
            larder_bucket_unlock(bucket)
            return .exists
        }
        state.removeSlot(slot, from: bucket)
        larder_bucket_unlock(bucket)
        if onlyDeadAt != nil {
            state.countDropped(item, isDead: true, self.slot)
        } else {
            larder_count(&self.slot.pointee.counters.items, -1)
        }
        state.release(block: slot.block, blockCount: state.blockCount(forBytes: item.totalBytes), self.slot)
        return .stored
    }

    // MARK: Touching

    /// Gives an item a new expiry; its cas stays.
    /// - Returns: `.stored`, `.notFound`, or `.noMemory` when it had to move and could not.
    public func touch(_ key: HashedKey, expiry: Int64, now: Int64) -> StoreOutcome {
        while true {
            guard let item = find(key, now: now) else { return .notFound }
            guard expiry > now else {
                if remove(key, cas: state.cas(of: item)) == .exists { continue }
                return .stored
            }
            if state.expiry(of: item) == expiry { return .stored }
            if fitsInPlace(item, expiry) {
                if touchInPlace(item, key, expiry) { return .stored }
                continue
            }
            let cas = state.cas(of: item)
            let shape = ItemShape(
                keyLength: key.length, valueLength: item.valueLength, clientFlags: item.clientFlags,
                expiryMilliseconds: expiry, cas: cas, state: larder_load_u8(item.stateField))
            guard let place = state.reserve(shape, kept: false, now: now, spaceIsLocked: false, slot) else {
                return .noMemory
            }
            if moveTouched(key, place, shape, cas: cas, now: now) { return .stored }
        }
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
        defer { larder_bucket_unlock(bucket) }
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
        _ key: HashedKey, _ place: Reservation, _ shape: ItemShape, cas: UInt64, now: Int64
    ) -> Bool {
        let tag = KeyHash.tag(key.hash)
        let bucket = state.lockBucket(key.hash)
        guard let slot = state.slot(of: key.bytes, key.length, tag, in: bucket),
            case let item = Item(state.address(ofBlock: slot.block)),
            state.cas(of: item) == cas, item.valueLength == shape.valueLength, !state.isDead(item, now: now)
        else {
            larder_bucket_unlock(bucket)
            state.giveUp(place, self.slot)
            return false
        }
        let value = state.writeHeader(place, shape, key: key.bytes)
        value.copyMemory(from: item.value, byteCount: shape.valueLength)
        larder_bucket_publish(slot.line, slot.number, place.block)
        larder_bucket_unlock(bucket)
        state.release(block: slot.block, blockCount: state.blockCount(forBytes: item.totalBytes), self.slot)
        state.finish(place, self.slot)
        return true
    }
}
