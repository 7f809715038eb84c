import CLarderArena

// SAFETY: a value of length 0: no byte is read from its address, which is the key's.

/// What a call of `Session.claimWin` came to.
package enum WinClaim: Sendable {
    /// The caller is the one that makes the value anew.
    case won
    /// Another one is at it.
    case alreadySent
    /// The item is no longer the one under its key: look again.
    case gone
}

/// What `Session.revise` makes of an item.
package struct ItemMarks: Sendable {
    /// The cas that the item must have; nil: any.
    package var cas: UInt64?
    /// The cas that it gets; nil: the next number, or its old one when it is only emptied.
    package var newCas: UInt64?
    /// Its new expiry; nil: as before, or never when it is emptied.
    package var expiry: Int64?
    package var marksStale = false
    /// The value goes, and `clientFlags` take the place of the old ones.
    package var empties = false
    package var clientFlags: UInt32 = 0
    package var keyIsBinary = false
    package init() {}
}

/// Stale items, wins and times of access: what lets many clients share the making of one value.
extension Session {
    /// The number of the write that made an item: while it stays, so do its value and its flags.
    @inline(__always)
    package func version(of item: Item) -> UInt64 { state.order(of: item) }

    /// Bytes of the arena that an item takes.
    package func size(of item: Item) -> Int {
        state.blockCount(forBytes: item.totalBytes) << Int(state.blockShift)
    }

    /// Seconds since the last access, as far as accesses are noted (`markUsed`).
    ///
    /// Items keep 16 bits of it, 18 hours. What was never found is as old as its slab, which tells how
    /// often they have gone round since; of others the latest time that fits is taken.
    package func secondsSinceAccess(_ item: Item, now: Int64) -> Int { state.secondsSinceAccess(item, now: now) }

    /// Takes the win of an item that was found in this turn: of all who ask, one gets it, until the
    /// item is stored or marked stale again.
    package func claimWin(_ item: Item, _ key: HashedKey) -> WinClaim {
        let bucket = state.lockBucket(key.hash)
        let block = state.block(of: item)
        guard state.slot(ofBlock: block, KeyHash.tag(key.hash), in: bucket) != nil else { return .gone }
        while true {
            let before = item.state
            if before & ItemState.winSent != 0 { return .alreadySent }
            if item.exchangeState(before, before | ItemState.winSent) { return .won }
        }
    }

    /// Stores an empty item with its win sent where there is none: of all who ask, one gets `.stored`,
    /// and the others `.notStored`.
    /// - Parameter isFetched: whether to make it is to use it.
    package func vivify(
        _ key: HashedKey, expiry: Int64, newCas: UInt64?, keyIsBinary: Bool, isFetched: Bool, now: Int64
    ) -> StoreResult {
        var options = WriteOptions()
        options.newCas = newCas
        options.keyIsBinary = keyIsBinary
        options.state = ItemState.winSent | (isFetched ? ItemState.fetched : 0)
        return store(
            .add, key, value: key.bytes, valueLength: 0, clientFlags: 0, expiry: expiry, options, now: now)
    }

    /// Marks an item stale, with a new cas and free for the next to win it, or empties it, or both.
    /// - Returns: `.stored`, `.notFound`, `.exists` for another cas, or `.noMemory`.
    package func revise(_ key: HashedKey, _ marks: ItemMarks, now: Int64) -> StoreOutcome {
        for _ in 0..<Self.attemptsMax {
            guard let item = find(key, now: now) else { return .notFound }
            if let cas = marks.cas, state.cas(of: item) != cas { return .exists }
            var options = WriteOptions()
            options.version = state.order(of: item)
            options.newCas = marks.newCas
            options.keyIsBinary = marks.keyIsBinary || item.keyIsBinary
            options.marksStale = marks.marksStale
            if marks.empties, !marks.marksStale, marks.newCas == nil {
                options.newCas = state.cas(of: item)
            }
            // An append of nothing is the old value once more.
            options.setsExpiry = marks.empties || marks.expiry != nil
            let result = store(
                marks.empties ? .replace : .append, key, value: key.bytes, valueLength: 0,
                clientFlags: marks.clientFlags, expiry: marks.expiry ?? Int64.max, options, now: now)
            switch result.outcome {
            case .stored: return .stored
            case .noMemory, .tooLarge: return .noMemory
            default: continue
            }
        }
        return .noMemory
    }
}

extension StoreState {
    /// See `Session.secondsSinceAccess`.
    func secondsSinceAccess(_ item: Item, now: Int64) -> Int {
        let record = slabs[slabIndex(ofBlock: block(of: item))]
        let slabAge = Int(Int32(bitPattern: UInt32(truncatingIfNeeded: now / 1000) &- record.opened_seconds))
        let age = Int(ItemState.accessed(now) &- item.accessed)
        // Workers read the clock at different moments: a second ahead is no 18 hours ago.
        let aheadMax = 60
        if age > 0xffff - aheadMax, slabAge < 0xffff - aheadMax { return 0 }
        let isFetched = item.state & ItemState.fetched != 0
        guard !isFetched, slabAge > age else { return age }
        return age + ((slabAge - age) & ~0xffff)
    }
}
