import LarderStore
import Synchronization

/// `stats items` and `stats slabs`. There are no slab classes here: all items are shown as one class,
/// 1. Its chunks are the items themselves: a chunk is as large as an item is on average.
extension Statistics {
    static func items(_ state: ServerState, _ cache: ServedCache, now: Int64, _ lines: inout StatisticsList) {
        let store = cache.store.statistics
        let base = cache.baseline.withLock { $0 }
        guard store.counters.items > 0 else { return }
        let counters = store.counters
        // Of the items that are next to go.
        let age = store.oldestItemsTime.map { max(0, now / 1000 - $0) } ?? 0
        let evicted = counters.evictions - base.evictions
        let hasMaintainer = state.settings.showsMaintainer
        let values: [(name: String, value: Int64, isOfMaintainer: Bool)] = [
            ("number", counters.items, false), ("number_hot", 0, true), ("number_warm", 0, true),
            ("number_cold", counters.items, true), ("age_hot", 0, true), ("age_warm", 0, true), ("age", age, false),
            ("mem_requested", Int64(store.liveBytes), false), ("evicted", evicted, false),
            ("evicted_nonzero", counters.evictionsWithExpiry - base.evictionsWithExpiry, false),
            ("evicted_time", evicted > 0 ? store.lastEvictionIdleSeconds : 0, false),
            ("outofmemory", counters.outOfMemory - base.outOfMemory, false), ("tailrepairs", 0, false),
            ("reclaimed", counters.expired - base.expired, false),
            ("expired_unfetched", counters.expiredUnfetched - base.expiredUnfetched, false),
            ("evicted_unfetched", counters.evictionsUnfetched - base.evictionsUnfetched, false),
            ("evicted_active", 0, true), ("crawler_reclaimed", reclaimedUnasked(cache, counters, base), false),
            ("crawler_items_checked", Int64(cache.crawler.checked), false), ("lrutail_reflocked", 0, false),
            ("moves_to_cold", 0, true), ("moves_to_warm", 0, true), ("moves_within_lru", 0, true),
            ("direct_reclaims", 0, true), ("hits_to_hot", 0, true), ("hits_to_warm", 0, true),
            ("hits_to_cold", cache.total(.getHits), true), ("hits_to_temp", 0, true),
        ]
        for entry in values where hasMaintainer || !entry.isOfMaintainer {
            lines.add("items:1:\(entry.name)", entry.value)
        }
    }

    static func slabs(_ cache: ServedCache, _ lines: inout StatisticsList) {
        let store = cache.store.statistics
        let pages = store.slabs.used + store.slabs.open
        if pages > 0 {
            let used = Int(store.counters.items)
            let chunkBytes = used > 0 ? max(store.blockBytes, store.liveBytes / used) : store.blockBytes
            // A large item has several pages to itself.
            let chunksPerPage = max(1, store.slabBytes / chunkBytes)
            let chunks = max(used, pages * store.slabBytes / chunkBytes)
            let values: [(String, Int)] = [
                ("chunk_size", chunkBytes), ("chunks_per_page", chunksPerPage), ("total_pages", pages),
                ("total_chunks", chunks), ("used_chunks", used), ("free_chunks", chunks - used),
                ("free_chunks_end", 0), ("get_hits", Int(cache.total(.getHits))),
                ("cmd_set", Int(cache.total(.cmdSet))), ("delete_hits", Int(cache.total(.deleteHits))),
                ("incr_hits", Int(cache.total(.incrHits))), ("decr_hits", Int(cache.total(.decrHits))),
                ("cas_hits", Int(cache.total(.casHits))), ("cas_badval", Int(cache.total(.casBadval))),
                ("touch_hits", Int(cache.total(.touchHits))),
            ]
            for (name, value) in values { lines.add("1:\(name)", value) }
        }
        lines.add("active_slabs", pages > 0 ? 1 : 0)
        lines.add("total_malloced", store.arenaBytes - (store.slabs.free + store.slabs.withheld) * store.slabBytes)
    }
}
