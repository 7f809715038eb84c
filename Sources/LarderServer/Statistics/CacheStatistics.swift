import LarderStore

/// One field of uWSGI's statistics.
enum UwsgiField: CustomStringConvertible {
    case text(String)
    case number(Int64)

    var description: String {
        switch self {
        case .text(let text): text
        case .number(let number): "\(number)"
        }
    }

    /// As a value of JSON.
    var json: String {
        switch self {
        case .text(let text): JSONText.string(text)
        case .number: description
        }
    }
}

extension ServedCache {
    /// The fields of uWSGI's statistics of a cache, in uWSGI's order.
    var uwsgiFields: [(name: String, value: UwsgiField)] {
        let statistics = store.statistics
        let isLimited = !settings.isMemcachedShaped
        func number(_ value: some BinaryInteger) -> UwsgiField { .number(Int64(clamping: value)) }
        return [
            ("name", .text(name)),
            ("hash", .text(isLimited ? settings.hashName : "wyhash")),
            ("hashsize", number(isLimited ? settings.hashSize : statistics.bucketCount)),
            ("keysize", number(settings.itemKeyBytesMax)),
            // 0: only the memory limits the items.
            ("max_items", number(settings.items ?? 0)),
            ("blocks", number(isLimited ? settings.blocks : statistics.arenaBytes / statistics.blockBytes)),
            ("blocksize", number(isLimited ? settings.blockBytes : statistics.blockBytes)),
            ("items", number(itemCount(statistics))),
            ("hits", number(total(.getHits) + total(.touchHits))),
            ("miss", number(total(.getMisses) + total(.touchMisses))),
            ("full", number(statistics.limitUse?.full ?? statistics.counters.outOfMemory)),
            ("last_modified_at", number((statistics.limitUse?.lastModifiedMilliseconds ?? 0) / 1000)),
        ]
    }
}

/// `stats caches`: every cache with the fields of uWSGI's statistics, under its name.
extension Statistics {
    static func caches(_ state: ServerState, _ lines: inout StatisticsList) {
        for cache in state.caches {
            for field in cache.uwsgiFields { lines.add("\(cache.name):\(field.name)", field.value) }
            guard let sync = cache.sync else { continue }
            for counter in SyncCounter.allCases { lines.add("\(cache.name):\(counter.name)", sync.value(counter)) }
        }
    }
}
