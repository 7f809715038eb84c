import CLarderArena

// SAFETY: the reservation was made for both lengths, and the old value's was compared again.

/// What a write that is more than a plain set makes of the item that is there.
extension Session {
    /// What a write that depends on the old item found before it had room for the new one.
    struct OldValue {
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
    func reshape(
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
                shape.accessed = existing.accessed
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
    func removeInstead(
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
    func copyBesideOld(
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

    /// Whether what the new item took over is still what there is.
    @inline(__always)
    func isStill(_ old: OldValue?, _ live: Item?, _ mode: WriteMode) -> Bool {
        guard let old else {
            // Made for a missing item: then it has to be missing still.
            return live == nil || mode != .append && mode != .prepend
        }
        guard let live, state.order(of: live) == old.order else { return false }
        guard let expiry = old.expiry else { return true }
        return state.expiry(of: live) == expiry
    }
}
