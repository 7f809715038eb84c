import CLarderArena
import Glibc

/// What a limited store keeps beside its arena: how much of its limits is taken, to the item and the
/// block, and the order of use where that decides who goes.
///
/// Whoever changes the store holds `writing`, which is why the numbers are exact with any number of
/// threads: `store`, `delete`, `touch`, flush and upkeep. It is the first lock of all, and waited for
/// between turns. Readers do not take it.
struct Bounds {
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

    static func make(_ limits: StoreLimits) throws(StoreError) -> Shared<Bounds> {
        var bounds = Bounds(limits: limits)
        if limits.purgesLeastRecentlyUsed {
            guard let list = RecencyList(itemsMax: limits.itemsMax) else {
                throw .mappingFailed(bytes: limits.itemsMax * 40, errno: errno)
            }
            bounds.recency = list
        }
        let made = Shared(allocating: bounds)
        pthread_mutex_init(&made.pointee.writing, nil)
        return made
    }
}

extension Shared<Bounds> {
    func destroy() {
        pthread_mutex_destroy(&pointee.writing)
        pointee.recency?.deallocate()
        deallocate()
    }

    // MARK: Counting. Under `writing`.

    func inserted(_ item: Item, _ hash: UInt64) {
        larder_count(&pointee.items, 1)
        larder_count(&pointee.blocks, pointee.limits.blocks(forValueBytes: item.valueLength))
        withRecency { $0.insert(hash) }
    }

    func replaced(_ old: Item, by new: Item, _ hash: UInt64) {
        let change =
            pointee.limits.blocks(forValueBytes: new.valueLength)
            - pointee.limits.blocks(forValueBytes: old.valueLength)
        larder_count(&pointee.blocks, change)
        withRecency { $0.touch(hash) }
    }

    func removed(_ item: Item, _ hash: UInt64) {
        larder_count(&pointee.items, -1)
        larder_count(&pointee.blocks, -pointee.limits.blocks(forValueBytes: item.valueLength))
        withRecency { $0.remove(hash) }
    }

    func removedAll() {
        larder_count(&pointee.items, -pointee.items)
        larder_count(&pointee.blocks, -pointee.blocks)
        withRecency { $0.removeAll() }
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
        larder_spin_lock(&pointee.recencyLock)
        StoreLocks.recency.noteTaken(of: nil)
        if pointee.recency != nil { body(&pointee.recency!) }
        StoreLocks.recency.noteReleased(of: nil)
        larder_spin_unlock(&pointee.recencyLock)
    }

    func leastRecent(except spared: UInt64) -> UInt64? {
        var found: UInt64?
        withRecency { found = $0.leastRecent(except: spared) }
        return found
    }

    var use: StoreLimitUse {
        StoreLimitUse(
            items: larder_counted(&pointee.items), blocks: larder_counted(&pointee.blocks),
            full: larder_counted(&pointee.full),
            lastModifiedMilliseconds: larder_counted(&pointee.lastModifiedMilliseconds))
    }
}
