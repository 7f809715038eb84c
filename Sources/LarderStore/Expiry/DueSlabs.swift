import CLarderArena

/// What one slice of the upkeep may do, so that nobody waits long for its end: a request that comes in
/// the middle waits for some tens of microseconds, whatever expires.
struct WorkBudget {
    /// Items to look at.
    var items: Int
    /// Bytes to copy. A larger item is a slice's only one: none is larger than a slab, which has 256 KB at most.
    var bytes: Int

    static let slice = WorkBudget(items: 512, bytes: 64 << 10)
    static let unlimited = WorkBudget(items: Int.max, bytes: Int.max)

    var isSpent: Bool { items <= 0 || bytes <= 0 }

    /// Whether a copy of so many bytes is within the budget; if not, a later slice is to make it.
    mutating func allowsCopying(_ count: Int) -> Bool {
        guard count <= bytes || bytes >= Self.slice.bytes else {
            bytes = 0
            return false
        }
        bytes -= count
        return true
    }
}

/// How far the slab that is being looked after has come. A later slice goes on there, unless the slab
/// was emptied and used again meanwhile.
struct DuePlace {
    var slab = 0
    var sequence = UInt64.max
    var position = 0
}

/// Giving expired memory back, by slab and in the order of time. Under the space lock.
///
/// The cost is that of what expired: the heap leads to the slabs that are due, and in a fine time bucket
/// all items are dead when it is. What lives in a coarse one is moved to finer ones, which happens once
/// for each level that an item comes through.
extension Space {
    /// Looks after slabs whose time bucket is due: gives those back that are all dead, sorts coarse
    /// ones into finer buckets. Returns how many were emptied.
    func reclaimDue(
        _ session: Shared<SessionSlot>, now: Int64, slabsMax: Int, _ budget: inout WorkBudget
    ) -> Int {
        guard !process.pointee.configuration.keepsExpired else { return 0 }
        var emptied = 0
        while emptied < slabsMax, !budget.isSpent, let due = owned.expiryHeap.first, due.time <= now {
            budget.items -= 1
            let slab = Int(due.slab)
            guard slabs[slab].sequence == due.sequence, owned.attentions[slab] == due.time else {
                owned.expiryHeap.pop()
                continue
            }
            if slabs.state(slab) == .open { sealWherever(slab) }
            switch slabs.state(slab) {
            case .runHead:
                owned.expiryHeap.pop()
                guard isRunDue(slab, now: now) else { continue }
                budget.items -= Int(slabs[slab].run_slabs)
                dropRun(slab, session, now: now)
                emptied += 1
            case .sealed:
                let isSorted = sort(slab, due.sequence, session, now: now, &budget)
                if isSorted == nil { return emptied }
                // The moving of items may have opened slabs, whose time comes later than this one's.
                owned.expiryHeap.pop()
                removeSealed(slab)
                if isSorted == true {
                    sendToLimbo(slab, session)
                    emptied += 1
                } else {
                    // No room to sort it: its dead are found when read, and its time comes again.
                    appendSealed(slab)
                    awaitAttention(of: slab, at: now + process.pointee.configuration.bucketWidthMilliseconds)
                }
            default: owned.expiryHeap.pop()
            }
        }
        return emptied
    }

    /// Drops the dead items of a slab and moves the others on. True when it is empty, false when there is
    /// no room to move them to, nil when the budget is spent before.
    private func sort(
        _ slab: Int, _ sequence: UInt64, _ session: Shared<SessionSlot>, now: Int64,
        _ budget: inout WorkBudget
    ) -> Bool? {
        guard !state.isFlushed(slab: slab) else {
            budget.items -= takeFromIndex(flushed: slab)
            return true
        }
        let place = owned.duePlace
        let isBegun = place.slab == slab && place.sequence == sequence
        var items = SlabItems(state, of: slab, from: isBegun ? place.position : nil)
        while !items.isAtEnd, slabs.liveBlocks(slab) != 0 {
            if budget.isSpent {
                owned.duePlace = DuePlace(slab: slab, sequence: sequence, position: items.position)
                return nil
            }
            budget.items -= 1
            guard let item = items.next(), !item.form.contains(.dead) else { continue }
            items.prefetchNext()
            let hash = hash(of: item)
            if state.isDead(item, now: now) {
                state.dropFromIndex(item, hash, session, now: now)
            } else {
                guard budget.allowsCopying(item.totalBytes) else {
                    items.stepBack()
                    continue
                }
                guard move(item, hash, price: 0, sparesLastSlab: true, session, now: now) else { return false }
            }
        }
        return true
    }

    /// A touch may have changed a run's expiry in place.
    private func isRunDue(_ head: Int, now: Int64) -> Bool {
        guard slabs.liveBlocks(head) > 0 else { return true }
        let expiry = state.expiry(of: state.item(ofBlock: state.firstBlock(ofSlab: head)))
        if expiry > now {
            awaitAttention(of: head, at: expiry)
            return false
        }
        return true
    }

    /// Has `reclaimDue` look at a slab at a time to come, instead of the time before. Slabs that are emptied before
    /// leave their entries behind, which go when they are the most.
    func awaitAttention(of slab: Int, at time: Int64) {
        owned.attentions[slab] = time
        owned.expiryHeap.push(
            ExpiryHeap.Entry(time: time, slab: UInt32(slab), sequence: slabs[slab].sequence))
        guard owned.expiryHeap.entries.count > 2 * slabCount else { return }
        owned.expiryHeap.removeStale { entry in
            let kind = slabs.state(Int(entry.slab))
            return slabs[Int(entry.slab)].sequence != entry.sequence
                || owned.attentions[Int(entry.slab)] != entry.time || kind == .free || kind == .limbo
        }
    }
}
