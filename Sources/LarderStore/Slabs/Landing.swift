import CLarderArena

// SAFETY: a landing's value has its length in slabs that are nobody else's until it is offered or given back.

/// Where a large value can be put as it arrives: slabs that are nobody else's, at the place that the value has in the
/// item that is to be made of it. So it need not be copied when it is there.
///
/// It is offered to the write that stores the value, or given back.
package struct Landing {
    fileprivate let head: Int
    fileprivate let slabCount: Int
    fileprivate let valueOffset: Int
    fileprivate let valueLength: Int
    /// Where the value's first byte goes.
    package let value: UnsafeMutableRawPointer
}

/// A landing that a session's next write may take.
struct OfferedLanding {
    /// Slab 0 is no item's: none is offered.
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
    package func landing(
        keyLength: Int, valueLength: Int, tailLength: Int, clientFlags: UInt32, expiry: Int64, now: Int64
    ) -> Landing? {
        let shape = ItemShape(
            keyLength: keyLength, valueLength: valueLength, clientFlags: clientFlags, expiryMilliseconds: expiry,
            fixedBits: state.formBits(keyLength: keyLength))
        let bytes = shape.totalBytes(wideCas: false)
        let count = state.slabCount(forBytes: bytes)
        guard count > 1, state.account == nil, state.checked == 0, expiry > now,
            bytes <= state.process.pointee.configuration.itemBytesMax,
            state.slabCount(forBytes: bytes + tailLength) == count
        else { return nil }
        guard let head = state.withSpace(slot, { $0.claimLanding(count, slot, now: now) }) else { return nil }
        let offset = bytes - valueLength
        return Landing(
            head: head, slabCount: count, valueOffset: offset, valueLength: valueLength,
            value: state.address(ofBlock: state.firstBlock(ofSlab: head)) + offset)
    }

    /// Lets the next write take a landing whose value has arrived. `withdraw` comes after that write.
    package func offer(_ landing: Landing) {
        slot.pointee.offered = OfferedLanding(
            head: landing.head, slabCount: landing.slabCount, valueOffset: landing.valueOffset,
            valueLength: landing.valueLength)
    }

    /// Gives back a landing that was offered, unless it was taken.
    package func withdraw(_ landing: Landing) {
        let isTaken = slot.pointee.offered.isTaken
        slot.pointee.offered = OfferedLanding()
        if !isTaken { giveBack(landing) }
    }

    /// Gives back a landing that was not offered. The session need not be in a turn.
    package func giveBack(_ landing: Landing) {
        // Whoever holds the lock may wait for this session's turn to end.
        let isInTurn = atomicLoad(&slot.pointee.epoch) != SessionSlot.offline
        if isInTurn { state.goOffline(slot) }
        Space(locking: state).freeLanding(landing.head, count: landing.slabCount, slot)
        if isInTurn { state.goOnline(slot) }
    }
}

/// Under the space lock.
extension Space {
    // No kill leaves anything of these, since there are none in a file.

    /// Share of the slabs that landings may take, and that has to be free beside them.
    private static let landingsDivisor = 8
    private static let freeBesideDivisor = 32
}

extension StoreState {
    func slabCount(forBytes bytes: Int) -> Int { (bytes + (1 << Int(slabShift)) - 1) >> Int(slabShift) }
}

extension Space {
    fileprivate func claimLanding(
        _ count: Int, _ session: Shared<SessionSlot>, now: Int64
    ) -> Int? {
        recycleLimbo(session)
        guard owned.landingSlabs + count <= state.slabsInUse / Self.landingsDivisor,
            owned.freeSlabs.count - count >= state.slabsInUse / Self.freeBesideDivisor,
            let head = freeWindow(count), claim(head..<head + count, session, now: now)
        else { return nil }
        // Their memory is in use from now on, whatever comes of the value.
        superblock.pointee.slab_sequence += 1
        for slab in head..<head + count { slabs[slab].sequence = superblock.pointee.slab_sequence }
        owned.landingSlabs += count
        return head
    }

    /// The head of the landing that the session's write was offered, if the item is what it was made for.
    func takeLanding(
        _ shape: ItemShape, _ form: ItemForm, slabs count: Int, _ session: Shared<SessionSlot>
    ) -> Int? {
        let offered = session.pointee.offered
        guard offered.head != 0, !offered.isTaken, offered.slabCount == count,
            offered.valueLength == shape.valueLength,
            offered.valueOffset == form.headerBytes + shape.keyLength
        else { return nil }
        session.pointee.offered.isTaken = true
        owned.landingSlabs -= count
        assert(owned.landingSlabs >= 0)
        return offered.head
    }
}

extension StoreState {
    /// Makes a landing again of a run whose item is not to be, as long as its value may be asked for once more.
    func giveUpLanding(block: UInt32, blockCount: Int, _ session: Shared<SessionSlot>) -> Bool {
        let offered = session.pointee.offered
        let head = slabIndex(ofBlock: block)
        guard offered.isTaken, offered.head == head else { return false }
        withSpace(session) { space in
            slabs.setLiveBlocks(head, 0)
            changeCount(&session.pointee.counters.liveBlocks, -Int64(blockCount))
            space.owned.landingSlabs += offered.slabCount
            session.pointee.offered.isTaken = false
        }
        return true
    }
}

extension Space {
    fileprivate func freeLanding(_ head: Int, count: Int, _ session: Shared<SessionSlot>) {
        owned.landingSlabs -= count
        for slab in head..<head + count {
            resetSlab(slab, session)
            owned.freeSlabs.prepend(slab, owned.links)
        }
    }
}
