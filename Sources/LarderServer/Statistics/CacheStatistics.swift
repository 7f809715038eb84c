import LarderStore

/// `stats caches`: every cache with the fields of uWSGI's statistics, under its name.
extension Statistics {
    static func caches(_ state: ServerState, _ lines: inout StatisticsList) {
        for cache in state.caches {
            let store = cache.store.statistics
            let settings = cache.settings
            func add(_ field: String, _ value: some CustomStringConvertible) {
                lines.add("\(cache.name):\(field)", value)
            }
            let isLimited = !settings.isMemcachedShaped
            add("name", cache.name)
            add("hash", isLimited ? settings.hashName : "wyhash")
            add("hashsize", isLimited ? settings.hashSize : store.bucketCount)
            add("keysize", isLimited ? settings.keyBytesMax : 250)
            // 0: as many as there is memory for.
            add("max_items", settings.items ?? 0)
            add("blocks", isLimited ? settings.blocks : store.arenaBytes / store.blockBytes)
            add("blocksize", isLimited ? settings.blockBytes : store.blockBytes)
            add("items", store.counters.items)
            add("hits", cache.total(.getHits) + cache.total(.touchHits))
            add("miss", cache.total(.getMisses) + cache.total(.touchMisses))
            add("full", store.limitUse?.full ?? store.counters.outOfMemory)
            add("last_modified_at", (store.limitUse?.lastModifiedMilliseconds ?? 0) / 1000)
            guard let sync = cache.sync else { continue }
            for counter in SyncCounter.allCases { add(counter.name, sync.value(counter)) }
        }
    }
}
