import CLarderArena

/// An item that had to go so that others have room.
package struct EvictedItem: Sendable {
    package var key: [UInt8]
    package var valueLength: Int
    /// Absolute milliseconds; `Int64.max`: never.
    package var expiry: Int64
    package var wasFetched: Bool
    /// Seconds since it was last asked for.
    package var idleSeconds: Int
}

/// What a session has evicted, for whoever wants to know. There is none unless somebody does.
struct EvictionLog {
    /// To be taken after each turn or before; more than this in between are only counted.
    static let itemsMax = 4096
    var items: [EvictedItem] = []
    var dropped = 0
}

extension Session {
    /// Begins to note what this session evicts, or stops it.
    package func recordsEvictions(_ records: Bool) {
        if records, slot.pointee.evictionLog == nil {
            slot.pointee.evictionLog = Shared(allocating: EvictionLog())
        } else if !records, let log = slot.pointee.evictionLog {
            slot.pointee.evictionLog = nil
            log.deallocate()
        }
    }

    /// What was evicted since the last call, and how many more there were than are noted.
    package func takeEvictions() -> (items: [EvictedItem], dropped: Int) {
        guard let log = slot.pointee.evictionLog, !log.pointee.items.isEmpty || log.pointee.dropped > 0 else {
            return ([], 0)
        }
        let taken = log.pointee
        log.pointee = EvictionLog()
        return (taken.items, taken.dropped)
    }
}

extension StoreState {
    /// Notes an eviction in the session's log, which is there: see `SessionSlot.evictionLog`.
    func record(_ item: Item, in log: Shared<EvictionLog>, now: Int64) {
        guard log.pointee.items.count < EvictionLog.itemsMax else {
            log.pointee.dropped += 1
            return
        }
        log.pointee.items.append(
            EvictedItem(
                key: item.keyBytes,
                valueLength: item.valueLength, expiry: expiry(of: item),
                wasFetched: item.wasFetched, idleSeconds: secondsSinceAccess(item, now: now)))
    }
}
