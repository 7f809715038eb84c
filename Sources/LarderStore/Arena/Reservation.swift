import CLarderArena

/// Blocks that are to become an item, until it is published or given up.
///
/// The order of writing of docs/arena-format.md is here and nowhere else. A kill at any instant leaves some prefix of
/// the stores of each thread, and what was acknowledged is in it:
///
/// 1. the cursor is moved (`reserveUnderLock`), then header (marked `pending`), key, value and checksum are written;
/// 2. under the bucket's lock `pending` is taken off, the slot gets the new block, and the old item is marked dead; then
///    the bucket is unlocked, and then the open slabs;
/// 3. a delete empties the slot and marks the item dead before the bucket is unlocked (`StoreState.remove`).
///
/// The open slabs of the session stay locked as long as the reservation lasts, unless the item has a run of slabs to
/// itself.
struct Reservation: ~Copyable {
    let session: Shared<SessionSlot>
    let block: UInt32
    let blockCount: Int
    /// The cas that clients see.
    let cas: UInt64
    let order: UInt64
    let form: ItemForm
    let locksOpenSlabs: Bool
    /// For a run of slabs: `ProcessState.life` when the run was taken.
    let life: UInt32

    @inline(__always)
    deinit { assertionFailure("blocks were reserved, and the item was neither published nor given up") }

    /// For a run that is no longer the session's: the store was emptied, and its slabs may have another owner.
    consuming func forget() { discard self }

    func item(_ state: StoreState) -> Item { state.item(ofBlock: block) }

    // MARK: 1. Writing

    /// Writes the item's header and key, and returns where its value goes.
    /// - Parameter isShort: whether the key is known to be one of up to `ItemForm.shortKeyMax` bytes.
    @inline(__always)
    func writeHeader(
        _ shape: ItemShape, key: UnsafeRawPointer, isShort: Bool = false, _ state: StoreState
    ) -> UnsafeMutableRawPointer {
        let item = state.address(ofBlock: block)
        let slab = state.slabs.record(state.slabIndex(ofBlock: block))
        assert(
            form.headerBytes + shape.keyLength + shape.valueLength <= blockCount << Int(state.blockShift),
            "the item at \(block) goes beyond its blocks")
        assert(order >= slab.pointee.cas_base && (1...HashedKey.lengthMax).contains(shape.keyLength))
        let delta = (order &- slab.pointee.cas_base) & 0xff_ffff
        // Built piece by piece: one long expression takes the type checker seconds.
        var head = UInt64(form.rawValue)
        head |= UInt64(state.checked == 0 ? shape.state : shape.state | ItemState.pending) << 8
        head |= UInt64(UInt8(truncatingIfNeeded: shape.keyLength)) << 16
        head |= delta << 24
        head |= UInt64(UInt16(truncatingIfNeeded: shape.valueLength)) << 48
        assert(form.contains(.longKey) == (shape.keyLength > ItemForm.shortKeyMax))
        if !isShort, form.rawValue & ItemForm.longKey.rawValue != 0 {
            state.noteLongKey()
            head &= ~0xff_0000
            item.storeBytes(
                of: UInt16(truncatingIfNeeded: shape.keyLength), toByteOffset: form.longKeyOffset, as: UInt16.self)
        }
        item.storeBytes(of: head, as: UInt64.self)
        if form.rawValue & ItemForm.wideCas.rawValue != 0 {
            item.storeBytes(of: cas, toByteOffset: 8, as: UInt64.self)
        }
        if form.rawValue & ItemForm.expires.rawValue != 0 {
            let left = shape.expiryMilliseconds &- slab.pointee.expiry_base_ms
            item.storeBytes(of: UInt32(clamping: left), toByteOffset: form.expiryOffset, as: UInt32.self)
        }
        if form.rawValue & ItemForm.clientFlags.rawValue != 0 {
            item.storeBytes(of: shape.clientFlags, toByteOffset: form.clientFlagsOffset, as: UInt32.self)
        }
        if form.rawValue & ItemForm.longValue.rawValue != 0 {
            item.storeBytes(
                of: UInt32(truncatingIfNeeded: shape.valueLength >> 16), toByteOffset: form.longValueOffset,
                as: UInt32.self)
        }
        let target = item + form.headerLength
        target.storeBytes(of: shape.accessed, toByteOffset: -2, as: UInt16.self)
        target.copyMemory(from: key, byteCount: shape.keyLength)
        state.crashPoint()
        return target + shape.keyLength
    }

    /// Writes the item as a copy of another: what the shape says, its key and its value.
    func write(_ shape: ItemShape, copying other: Item, _ state: StoreState) {
        let value = writeHeader(shape, key: other.key, state)
        value.copyMemory(from: other.value, byteCount: shape.valueLength)
        sign(state)
    }

    /// Writes the checksum of an item in a file, when header, key and value are in their place.
    @inline(__always)
    func sign(_ state: StoreState) {
        state.crashPoint()
        if state.checked != 0 { writeChecksum(state) }
        state.crashPoint()
    }

    @inline(never)
    private func writeChecksum(_ state: StoreState) {
        let item = item(state)
        let image = ItemImage(writtenBy: item)
        let checksum = image.checksum(
            of: image.content, count: image.contentBytes, in: state.slabs[state.slabIndex(ofBlock: block)],
            hashSeed: state.hashSeed, block: Int(block))
        item.base.storeBytes(of: checksum, toByteOffset: item.form.checksumOffset, as: UInt32.self)
    }

    // MARK: 2. Publishing

    /// Puts the item in the place of another of its key, which `session` took out of the index.
    /// - Parameter hash: the key's, where the item counts against limits; nil for the same item at another place.
    @inline(__always)
    consuming func publish(
        replacing slot: IndexSlot, in bucket: consuming LockedBucket, hash: UInt64?, _ session: Shared<SessionSlot>,
        _ state: StoreState
    ) {
        assert(slot.block != block && blockCount > 0)
        let old = state.item(ofBlock: slot.block)
        settle(state)
        slot.line.publish(slot.number, block)
        state.crashPoint()
        if let hash, let account = state.account { account.replaced(old, by: item(state), hash) }
        // Before the bucket is unlocked, so that a kill leaves one item of a key that anybody saw; and before the end
        // of a run's making, which is the end of this turn's hold on the old slab.
        state.release(block: slot.block, blockCount: state.blockCount(forBytes: old.totalBytes), session)
        state.crashPoint()
        bucket.unlock()
        finish(state)
    }

    /// Puts the item into the index as a new one; false, and nothing is left of it, when there is no room.
    /// - Parameter hash: the key's, where the item counts against limits; nil for one that is counted later.
    @inline(__always)
    consuming func publish(_ tag: UInt8, into bucket: consuming LockedBucket, hash: UInt64?, _ state: StoreState)
        -> Bool
    {
        settle(state)
        let isIn = state.insert(block: block, tag: tag, into: bucket)
        bucket.unlock()
        guard isIn else {
            giveUp(state)
            return false
        }
        changeCount(&session.pointee.counters.items, 1)
        if let hash, let account = state.account { account.inserted(item(state), hash) }
        finish(state)
        return true
    }

    /// Takes the mark `pending` off: the item is about to be published, and nothing can refuse it any more.
    @inline(__always)
    private func settle(_ state: StoreState) {
        if state.checked != 0 {
            let item = item(state)
            item.state = item.state & ~ItemState.pending
        }
        state.crashPoint()
    }

    /// Gives the blocks back: the item will not be stored after all.
    consuming func giveUp(_ state: StoreState) {
        if !locksOpenSlabs, state.giveUpCommitted(block: block, blockCount: blockCount, session) {
            discard self
            return
        }
        state.writeDeadItem(block: block, blockCount: blockCount)
        state.release(block: block, blockCount: blockCount, session)
        finish(state)
    }

    /// Unlocks the open slabs. A run of slabs joins the lists. The last step of `publish` and `giveUp`.
    @inline(__always)
    consuming func finish(_ state: StoreState) {
        if locksOpenSlabs {
            state.unlockOpenSlabs(session)
        } else {
            state.finishRun(block: block, life: life, session)
        }
        discard self
    }
}

/// An item that is no more has `dead` set in its form, so that a walk can pass it over.
///
/// The thread that empties the item's slot sets the flag, once, while the slot's bucket is locked. So the flag tells
/// recovery that the item was deleted. No other thread writes that byte.
extension StoreState {
    // MARK: 3. Removing

    /// Takes an item out of the index, and gives its blocks back.
    @inline(__always)
    func remove(_ slot: IndexSlot, from bucket: borrowing LockedBucket, _ session: Shared<SessionSlot>) {
        let item = item(ofBlock: slot.block)
        removeSlot(slot, from: bucket)
        crashPoint()
        release(block: slot.block, blockCount: blockCount(forBytes: item.totalBytes), session)
    }

    /// Gives an item's blocks back: its index slot is gone already.
    @inline(__always)
    fileprivate func release(block: UInt32, blockCount: Int, _ session: Shared<SessionSlot>) {
        markDead(block)
        let slab = slabIndex(ofBlock: block)
        assert(
            blockCount > blocksPerSlab || Int(block &- firstBlock(ofSlab: slab)) + blockCount <= blocksPerSlab
                || checked != 0, "the item at \(block) goes beyond its slab")
        slabs.takeLiveBlocks(slab, blockCount)
        changeCount(&session.pointee.counters.liveBlocks, Int64(0 &- blockCount))
        if blockCount > blocksPerSlab { session.pointee.emptiedRun = UInt32(truncatingIfNeeded: slab) }
    }

    @inline(__always)
    func markDead(_ block: UInt32) {
        // SAFETY: the first byte of an item is its form.
        let form = address(ofBlock: block).assumingMemoryBound(to: UInt8.self)
        atomicStore(form, atomicLoad(form) | ItemForm.dead.rawValue)
    }

    /// Makes blocks that were reserved, and not published, one dead item.
    func writeDeadItem(block: UInt32, blockCount: Int) {
        let form: ItemForm = [.dead, .longValue]
        // An item has a key, so two blocks of 8 bytes at least: enough for this header.
        let valueLength = max(0, blockCount << Int(blockShift) - form.headerBytes)
        let item = address(ofBlock: block)
        let low = UInt64(UInt16(truncatingIfNeeded: valueLength))
        item.storeBytes(of: UInt64(form.rawValue) | low << 48, as: UInt64.self)
        item.storeBytes(
            of: UInt32(truncatingIfNeeded: valueLength >> 16), toByteOffset: form.longValueOffset,
            as: UInt32.self)
    }
}
