import CLarderArena

// SAFETY: the slabs of an incoming value have room for its length. No other session uses them until the value is
// committed or given back.

/// Reserved slabs into which a connection reads a large value. The value lies where its item will have it, so it is not
/// copied afterwards.
///
/// It is committed to the write that stores the value, or given back.
package struct IncomingValue {
    fileprivate let head: Int
    fileprivate let slabCount: Int
    fileprivate let valueOffset: Int
    fileprivate let valueLength: Int
    /// Where the value's first byte goes.
    package let value: UnsafeMutableRawPointer
}

/// An incoming value that a session's next write may take.
struct CommittedValue {
    /// Slab 0 is no item's: none is committed.
    var head = 0
    var slabCount = 0
    var valueOffset = 0
    var valueLength = 0
    var isTaken = false
}

extension Session {
    /// A place for a large value that is about to arrive, where that costs no item and much is free; nil for a value
    /// that has no slabs to itself, and where the store has limits to keep.
    ///
    /// Nil in a file, too: were it truncated meanwhile, what had arrived would be lost, and nobody would know.
    ///
    /// The key and the rest may turn out otherwise than they are foretold here: the value is copied then.
    /// - Parameters:
    ///   - tailLength: how many bytes are to be put behind the value, which are no part of it.
    ///   - expiry: absolute milliseconds, `Int64.max` for never.
    package func incomingValue(
        keyLength: Int, valueLength: Int, tailLength: Int, clientFlags: UInt32, expiry: Int64, now: Int64
    ) -> IncomingValue? {
        let shape = ItemShape(
            keyLength: keyLength, valueLength: valueLength, clientFlags: clientFlags, expiryMilliseconds: expiry,
            fixedBits: state.formBits(keyLength: keyLength))
        let bytes = shape.totalBytes(wideCas: false)
        let count = state.slabCount(forBytes: bytes)
        guard count > 1, state.account == nil, state.checked == 0, expiry > now,
            bytes <= state.process.pointee.configuration.itemBytesMax,
            state.slabCount(forBytes: bytes + tailLength) == count
        else { return nil }
        guard let head = state.withSpace(slot, { $0.claimForValue(count, slot, now: now) }) else { return nil }
        let offset = bytes - valueLength
        return IncomingValue(
            head: head, slabCount: count, valueOffset: offset, valueLength: valueLength,
            value: state.address(ofBlock: state.firstBlock(ofSlab: head)) + offset)
    }

    /// Lets the next write take an incoming value whose value has arrived. `cancel` comes after that write.
    package func commit(_ incoming: IncomingValue) {
        slot.pointee.committed = CommittedValue(
            head: incoming.head, slabCount: incoming.slabCount, valueOffset: incoming.valueOffset,
            valueLength: incoming.valueLength)
    }

    /// Gives back an incoming value that was committed, unless it was taken.
    package func cancel(_ incoming: IncomingValue) {
        let isTaken = slot.pointee.committed.isTaken
        slot.pointee.committed = CommittedValue()
        if !isTaken { giveBack(incoming) }
    }

    /// Gives back an incoming value that was not committed. The session need not be in a turn.
    package func giveBack(_ incoming: IncomingValue) {
        // Whoever holds the lock may wait for this session's turn to end.
        let isInTurn = atomicLoad(&slot.pointee.epoch) != SessionSlot.offline
        if isInTurn { state.goOffline(slot) }
        Space(locking: state).freeIncoming(incoming.head, count: incoming.slabCount, slot)
        if isInTurn { state.goOnline(slot) }
    }
}

/// Under the space lock.
extension Space {
    // No kill leaves anything of these, since there are none in a file.

    /// Share of the slabs that incoming values may take, and that has to be free beside them.
    private static let incomingDivisor = 8
    private static let freeBesideDivisor = 32
}

extension StoreState {
    func slabCount(forBytes bytes: Int) -> Int { (bytes + (1 << Int(slabShift)) - 1) >> Int(slabShift) }
}

extension Space {
    fileprivate func claimForValue(
        _ count: Int, _ session: Shared<SessionSlot>, now: Int64
    ) -> Int? {
        recycleLimbo(session)
        guard owned.incomingSlabs + count <= state.slabsInUse / Self.incomingDivisor,
            owned.freeSlabs.count - count >= state.slabsInUse / Self.freeBesideDivisor,
            let head = freeWindow(count), claim(head..<head + count, session, now: now)
        else { return nil }
        // Their memory is in use from now on, whatever comes of the value.
        superblock.pointee.slab_sequence += 1
        for slab in head..<head + count { slabs[slab].sequence = superblock.pointee.slab_sequence }
        owned.incomingSlabs += count
        return head
    }

    /// The head of the incoming value that the session's write may take, if the item is what it was made for.
    func takeCommitted(
        _ shape: ItemShape, _ form: ItemForm, slabs count: Int, _ session: Shared<SessionSlot>
    ) -> Int? {
        let committed = session.pointee.committed
        guard committed.head != 0, !committed.isTaken, committed.slabCount == count,
            committed.valueLength == shape.valueLength,
            committed.valueOffset == form.headerBytes + shape.keyLength
        else { return nil }
        session.pointee.committed.isTaken = true
        owned.incomingSlabs -= count
        assert(owned.incomingSlabs >= 0)
        return committed.head
    }
}

extension StoreState {
    /// Makes an incoming value again of a run whose item is not to be, as long as its value may be asked for once more.
    func giveUpCommitted(block: UInt32, blockCount: Int, _ session: Shared<SessionSlot>) -> Bool {
        let committed = session.pointee.committed
        let head = slabIndex(ofBlock: block)
        guard committed.isTaken, committed.head == head else { return false }
        withSpace(session) { space in
            slabs.setLiveBlocks(head, 0)
            changeCount(&session.pointee.counters.liveBlocks, -Int64(blockCount))
            space.owned.incomingSlabs += committed.slabCount
            session.pointee.committed.isTaken = false
        }
        return true
    }
}

extension Space {
    fileprivate func freeIncoming(_ head: Int, count: Int, _ session: Shared<SessionSlot>) {
        owned.incomingSlabs -= count
        for slab in head..<head + count {
            resetSlab(slab, session)
            owned.freeSlabs.prepend(slab, owned.links)
        }
    }
}
