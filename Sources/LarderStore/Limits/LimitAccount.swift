import CLarderArena
import Glibc

// SAFETY: the mutex is part of `LimitAccount`, which stays where it is until `destroy`.

/// What a limited store keeps beside its arena: how much of its limits is taken, to the item and the
/// block, and the order of use where that decides who goes.
///
/// Whoever changes the store holds `writing`, which is why the numbers are exact with any number of
/// threads: `store`, `delete`, `touch`, flush and upkeep. It is the first lock of all, and waited for
/// between turns. Readers do not take it.
struct LimitAccount {
    let limits: StoreLimits
    var writing = pthread_mutex_t()
    /// Live items and the dead ones that still have their memory. Changed under `writing`.
    var items: Int64 = 0
    var blocks: Int64 = 0
    var full: Int64 = 0
    var lastModifiedMilliseconds: Int64 = 0
    /// When the next sweep for want of room is allowed. Under `writing`.
    var sweepAtMilliseconds = Int64.min
    /// Guards `recency`; the last lock of all, held for a few dozen instructions.
    var recencyLock: UInt32 = 0
    /// Where `limits.purgesLeastRecentlyUsed`.
    var recency: RecencyList?
    /// While another server's items are loaded. Under `writing`.
    var load: ChangesDuringLoad?
    /// While a dump is given. Under `writing`.
    var snapshot: Snapshot?

    static func make(_ limits: StoreLimits) throws(StoreError) -> Shared<LimitAccount> {
        var account = LimitAccount(limits: limits)
        if limits.purgesLeastRecentlyUsed {
            guard let list = RecencyList(itemsMax: limits.itemsMax) else {
                throw .mappingFailed(bytes: limits.itemsMax * 40, errno: errno)
            }
            account.recency = list
        }
        let made = Shared(allocating: account)
        pthread_mutex_init(&made.pointee.writing, nil)
        return made
    }
}

extension Shared<LimitAccount> {
    func destroy() {
        pthread_mutex_destroy(&pointee.writing)
        pointee.recency?.deallocate()
        deallocate()
    }

    // MARK: Counting. Under `writing`.

    func inserted(_ item: Item, _ hash: UInt64) {
        changeCount(&pointee.items, 1)
        changeCount(&pointee.blocks, pointee.limits.blocks(forValueBytes: item.valueLength))
        withRecency { $0.insert(hash) }
    }

    func replaced(_ old: Item, by new: Item, _ hash: UInt64) {
        if pointee.snapshot != nil { pointee.snapshot?.keep(old, hash) }
        let change =
            pointee.limits.blocks(forValueBytes: new.valueLength)
            - pointee.limits.blocks(forValueBytes: old.valueLength)
        changeCount(&pointee.blocks, change)
        withRecency { $0.touch(hash) }
    }

    func removed(_ item: Item, _ hash: UInt64) {
        if pointee.snapshot != nil { pointee.snapshot?.keep(item, hash) }
        changeCount(&pointee.items, -1)
        changeCount(&pointee.blocks, -pointee.limits.blocks(forValueBytes: item.valueLength))
        assert(pointee.items >= 0 && pointee.blocks >= 0, "less than nothing is counted against a limit")
        withRecency { $0.remove(hash) }
    }

    func removedAll() {
        changeCount(&pointee.items, -pointee.items)
        changeCount(&pointee.blocks, -pointee.blocks)
        withRecency { $0.removeAll() }
        pointee.load?.end()
        pointee.snapshot?.breakOff()
    }

    /// Whether an item more and some blocks more are within the limits.
    func haveRoom(items: Int64, blocks: Int64) -> Bool {
        let limits = pointee.limits
        guard pointee.items + items <= Int64(limits.itemsMax) else { return false }
        return !limits.isBitmap || pointee.blocks + blocks <= Int64(limits.blocksMax)
    }

    // MARK: Order of use

    /// Calls `body` with the list, if there is one. Under no other lock that is taken inside.
    func withRecency(_ body: (inout RecencyList) -> Void) {
        guard pointee.limits.purgesLeastRecentlyUsed else { return }
        StoreLocks.recency.checkMayBeTaken(of: nil)
        spinLock(&pointee.recencyLock)
        StoreLocks.recency.noteTaken(of: nil)
        if pointee.recency != nil { body(&pointee.recency!) }
        StoreLocks.recency.noteReleased(of: nil)
        spinUnlock(&pointee.recencyLock)
    }

    func leastRecent(except spared: UInt64) -> UInt64? {
        var found: UInt64?
        withRecency { found = $0.leastRecent(except: spared) }
        return found
    }

    var use: StoreLimitUse {
        StoreLimitUse(
            items: counted(&pointee.items), blocks: counted(&pointee.blocks),
            full: counted(&pointee.full),
            lastModifiedMilliseconds: counted(&pointee.lastModifiedMilliseconds))
    }
}
