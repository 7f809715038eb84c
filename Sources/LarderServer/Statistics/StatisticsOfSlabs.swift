import LarderStore
import Synchronization

/// `stats items` and `stats slabs`. There are no slab classes here: all items are shown
/// as one class, 1, whose chunks are the store's blocks.
extension Statistics {
    static func items(_ state: ServerState, _ lines: inout StatisticsList) {
        let store = state.store.statistics
        let base = state.baseline.withLock { $0 }
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
            ("evicted_active", zero), ("crawler_reclaimed", zero), ("crawler_items_checked", zero),
            ("lrutail_reflocked", zero), ("moves_to_cold", zero), ("moves_to_warm", zero),
            ("moves_within_lru", zero), ("direct_reclaims", zero), ("hits_to_hot", zero), ("hits_to_warm", zero),
            ("hits_to_cold", state.total(.getHits)), ("hits_to_temp", zero),
        ]
        for (name, value) in values { lines.add("items:1:\(name)", value) }
    }

    static func slabs(_ state: ServerState, _ lines: inout StatisticsList) {
        let store = state.store.statistics
        let pages = store.slabs.used + store.slabs.open
        if store.counters.items > 0 {
            let chunksPerPage = store.slabBytes / store.blockBytes
            let used = Int(store.counters.liveBlocks)
            let values: [(String, Int)] = [
                ("chunk_size", store.blockBytes), ("chunks_per_page", chunksPerPage), ("total_pages", pages),
                ("total_chunks", pages * chunksPerPage), ("used_chunks", used),
                ("free_chunks", max(0, pages * chunksPerPage - used)), ("free_chunks_end", 0),
                ("get_hits", Int(state.total(.getHits))), ("cmd_set", Int(state.total(.cmdSet))),
                ("delete_hits", Int(state.total(.deleteHits))), ("incr_hits", Int(state.total(.incrHits))),
                ("decr_hits", Int(state.total(.decrHits))), ("cas_hits", Int(state.total(.casHits))),
                ("cas_badval", Int(state.total(.casBadval))), ("touch_hits", Int(state.total(.touchHits))),
            ]
            for (name, value) in values { lines.add("1:\(name)", value) }
        }
        lines.add("active_slabs", store.counters.items > 0 ? 1 : 0)
        lines.add("total_malloced", store.arenaBytes - store.slabs.free * store.slabBytes)
    }
}
