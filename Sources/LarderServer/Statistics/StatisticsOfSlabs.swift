import LarderStore
import Synchronization

/// `stats items` and `stats slabs`. There are no slab classes here: all items are shown
/// as one class, 1, whose chunks are the store's blocks.
extension Statistics {
    static func items(_ cache: ServedCache, _ lines: inout StatisticsList) {
        let store = cache.store.statistics
        let base = cache.baseline.withLock { $0 }
        guard store.counters.items > 0 else { return }
        let zero: Int64 = 0
        let evicted = store.counters.evictions - base.evictions
        let values: [(String, Int64)] = [
            ("number", store.counters.items), ("number_hot", zero), ("number_warm", zero),
            ("number_cold", store.counters.items), ("age_hot", zero), ("age_warm", zero), ("age", zero),
            ("mem_requested", Int64(store.liveBytes)), ("evicted", evicted),
            ("evicted_nonzero", store.counters.evictionsWithExpiry - base.evictionsWithExpiry),
            ("evicted_time", zero), ("outofmemory", store.counters.outOfMemory - base.outOfMemory),
            ("tailrepairs", zero), ("reclaimed", store.counters.expired - base.expired),
            ("expired_unfetched", store.counters.expiredUnfetched - base.expiredUnfetched),
            ("evicted_unfetched", store.counters.evictionsUnfetched - base.evictionsUnfetched),
            ("evicted_active", zero), ("crawler_reclaimed", Int64(cache.crawler.reclaimed)),
            ("crawler_items_checked", Int64(cache.crawler.checked)),
            ("lrutail_reflocked", zero), ("moves_to_cold", zero), ("moves_to_warm", zero),
            ("moves_within_lru", zero), ("direct_reclaims", zero), ("hits_to_hot", zero), ("hits_to_warm", zero),
            ("hits_to_cold", cache.total(.getHits)), ("hits_to_temp", zero),
        ]
        for (name, value) in values { lines.add("items:1:\(name)", value) }
    }

    static func slabs(_ cache: ServedCache, _ lines: inout StatisticsList) {
        let store = cache.store.statistics
        let pages = store.slabs.used + store.slabs.open
        if store.counters.items > 0 {
            let chunksPerPage = store.slabBytes / store.blockBytes
            let used = Int(store.counters.liveBlocks)
            let values: [(String, Int)] = [
                ("chunk_size", store.blockBytes), ("chunks_per_page", chunksPerPage), ("total_pages", pages),
                ("total_chunks", pages * chunksPerPage), ("used_chunks", used),
                ("free_chunks", max(0, pages * chunksPerPage - used)), ("free_chunks_end", 0),
                ("get_hits", Int(cache.total(.getHits))), ("cmd_set", Int(cache.total(.cmdSet))),
                ("delete_hits", Int(cache.total(.deleteHits))), ("incr_hits", Int(cache.total(.incrHits))),
                ("decr_hits", Int(cache.total(.decrHits))), ("cas_hits", Int(cache.total(.casHits))),
                ("cas_badval", Int(cache.total(.casBadval))), ("touch_hits", Int(cache.total(.touchHits))),
            ]
            for (name, value) in values { lines.add("1:\(name)", value) }
        }
        lines.add("active_slabs", store.counters.items > 0 ? 1 : 0)
        lines.add("total_malloced", store.arenaBytes - store.slabs.free * store.slabBytes)
    }
}
