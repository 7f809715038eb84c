import CLarderSystem
import Glibc
import LarderEventLoop
import LarderStore
import LarderWire
import LarderTLS
import Synchronization

/// The `stats` command: memcached's names in memcached's order, with true values, or memcached's
/// value for "off" where the thing does not exist here (memcached, `doc/protocol.txt`).
enum Statistics {
    /// - Parameters:
    ///   - words: what stands behind `stats`.
    ///   - isBinary: whether it was asked for in the binary protocol, which has no lists of items.
    static func answer(_ words: [Substring], isBinary: Bool, _ context: inout WorkerContext) -> StatisticsAnswer {
        let state = context.state
        let cache = state.caches[context.cacheNumber]
        var lines = StatisticsList()
        switch words.first {
        case nil: general(state, cache, now: context.now, &lines)
        case "settings": SettingsStatistics.write(state, cache, &lines)
        case "items": items(state, cache, now: context.now, &lines)
        case "slabs": slabs(cache, &lines)
        case "caches": caches(state, &lines)
        case "larder": own(state, cache, &lines)
        case "sizes":
            if state.settings.tracksSizes { return .stream(SizeStatistics()) }
            lines.add("sizes_status", "disabled")
        case "hotkeys": return hotKeys(&context, words.dropFirst().first)
        case "conns": return .stream(ConnectionStatistics())
        case "reset":
            reset(state, cache)
            return .reply(.reset)
        case "detail": return detail(&context, words.dropFirst().first)
        case "cachedump" where !isBinary: return cachedump(context, words.dropFirst())
        default: return .reply(.noSuchStatistics)
        }
        return .list(lines)
    }

    // MARK: stats

    static func general(_ state: ServerState, _ cache: ServedCache, now: Int64, _ lines: inout StatisticsList) {
        process(state, cache, now: now, &lines)
        commands(state, cache, &lines)
        machinery(state, cache, now: now, &lines)
        itemTotals(state, cache, &lines)
        storeFile(cache, &lines)
    }

    /// What memcached has no word for: in a list of its own, since some programs count the lines of the others.
    static func own(_ state: ServerState, _ cache: ServedCache, _ lines: inout StatisticsList) {
        lines.add("larder_version", Version.larder)
        lines.add("udp_requests_dropped", cache.total(.udpRequestsDropped))
        lines.add("udp_replies_withheld", cache.total(.udpRepliesWithheld))
        lines.add("log_lines_dropped", StandardError.linesDropped)
        lines.add("login_timeouts", state.loginTimeouts.load(ordering: .relaxed))
        lines.add("unread_bytes", state.unreadBytes.load(ordering: .relaxed))
        lines.add("unread_closed", state.unreadClosed.load(ordering: .relaxed))
        lines.add("request_bytes", state.heldBytes.load(ordering: .relaxed))
        lines.add("requests_dropped_memory", state.droppedForMemory.load(ordering: .relaxed))
        lines.add("requests_dropped_stalled", state.droppedAsStalled.load(ordering: .relaxed))
        let foreign = state.foreignConnections.withLock { $0 }
        for kind in ForeignProtocol.allCases { lines.add("foreign_\(kind)", foreign[Int(kind.rawValue)]) }
        memory(cache, &lines)
        if let sync = cache.sync {
            for counter in SyncCounter.allCases { lines.add(counter.name, sync.value(counter)) }
        }
        if let replica = cache.replica { self.replica(replica.status, &lines) }
        if let end = state.access.tls?.certificateEnd { lines.add("certificate_end", end) }
    }

    /// How far a replicated cache is, and why it is no further.
    private static func replica(_ status: CacheReplica.Status, _ lines: inout StatisticsList) {
        lines.add("replica_applied_id", status.appliedID)
        lines.add("replica_latest_id", status.latestID)
        lines.add("replica_lag", status.latestID &- status.appliedID)
        lines.add("replica_lag_seconds", status.lagSeconds)
        lines.add("replica_log_usable", status.error == nil ? 1 : 0)
        if let error = status.error { lines.add("replica_error", error) }
        lines.add("replica_loads", status.loads)
        lines.add("replica_records_applied", status.recordsApplied)
        lines.add("replica_writes", status.writes)
        lines.add("replica_conflicts", status.conflicts)
    }

    /// What the slabs are used for, and what upkeep did to them.
    private static func memory(_ cache: ServedCache, _ lines: inout StatisticsList) {
        let store = cache.store.statistics
        lines.add("free_bytes", store.slabs.free * store.slabBytes)
        lines.add("withheld_bytes", store.slabs.withheld * store.slabBytes)
        lines.add("limbo_bytes", store.slabs.limbo * store.slabBytes)
        lines.add("hole_bytes", max(0, (store.slabs.used + store.slabs.open) * store.slabBytes - store.liveBytes))
        lines.add("items_moved", store.counters.itemsMoved)
        lines.add("slabs_reclaimed", store.counters.slabsReclaimed)
    }

    /// What became of the file that the items lie in.
    private static func storeFile(_ cache: ServedCache, _ lines: inout StatisticsList) {
        guard let file = cache.store.fileStatistics else { return }
        lines.add("store_file", file.path)
        lines.add("store_ready", file.isReady ? 1 : 0)
        lines.add("store_recovered_percent", file.recoveredPercent)
        lines.add("store_recovered_items", file.recovery.items)
        lines.add("store_dropped_items", file.recovery.droppedItems)
        lines.add("store_expired_items", file.recovery.expiredItems)
        lines.add("store_left_out_items", file.recovery.leftOutItems)
        lines.add("store_recovery_milliseconds", file.recovery.milliseconds)
        lines.add("store_missing_pages", file.missingPages)
        let damage = cache.store.damageReport
        lines.add("store_damages", damage.count)
        lines.add("store_damage_lost_items", damage.itemsLost)
    }

    private static func process(_ state: ServerState, _ cache: ServedCache, now: Int64, _ lines: inout StatisticsList) {
        let used = larder_process_cpu_time()
        let limit = state.connectionLimit
        lines.add("pid", getpid())
        // memcached's clock starts at 2, so that no time of an item is 0.
        lines.add("uptime", (now - state.clock.startMilliseconds) / 1000 + 2)
        lines.add("time", now / 1000)
        lines.add("version", Version.memcached)
        lines.add("libevent", EventLibrary.version)
        lines.add("pointer_size", MemoryLayout<UnsafeRawPointer>.size * 8)
        lines.add("rusage_user", seconds(used.user_microseconds))
        lines.add("rusage_system", seconds(used.system_microseconds))
        lines.add("max_connections", limit.maximum)
        lines.add("curr_connections", limit.current)
        lines.add("total_connections", limit.total)
        if state.settings.refusesConnectionsOverLimit { lines.add("rejected_connections", limit.rejected) }
        lines.add("connection_structures", limit.current)
        lines.add("response_obj_oom", cache.total(.responseOutOfMemory))
        lines.add("response_obj_count", 0)
        lines.add("response_obj_bytes", 0)
        lines.add("read_buf_count", 0)
        lines.add("read_buf_bytes", 0)
        lines.add("read_buf_bytes_free", 0)
        lines.add("read_buf_oom", cache.total(.readBufferOutOfMemory))
        lines.add("reserved_fds", state.settings.threadCount * 5)
    }

    /// `seconds.microseconds`, six digits: exporters read the part behind the dot as a number.
    private static func seconds(_ microseconds: Int64) -> String {
        let micros = String(microseconds % 1_000_000)
        return "\(microseconds / 1_000_000)." + String(repeating: "0", count: max(0, 6 - micros.count)) + micros
    }

    private static func commands(_ state: ServerState, _ cache: ServedCache, _ lines: inout StatisticsList) {
        lines.add("cmd_get", cache.total(.cmdGet))
        lines.add("cmd_set", cache.total(.cmdSet))
        lines.add("cmd_flush", cache.total(.cmdFlush))
        lines.add("cmd_touch", cache.total(.cmdTouch))
        lines.add("cmd_meta", cache.total(.cmdMeta))
        lines.add("get_hits", cache.total(.getHits))
        lines.add("get_misses", cache.total(.getMisses))
        lines.add("get_expired", cache.total(.getExpired))
        // A flush takes the items out at once: there is nothing flushed to be found later.
        lines.add("get_flushed", 0)
        lines.add("delete_misses", cache.total(.deleteMisses))
        lines.add("delete_hits", cache.total(.deleteHits))
        lines.add("incr_misses", cache.total(.incrMisses))
        lines.add("incr_hits", cache.total(.incrHits))
        lines.add("decr_misses", cache.total(.decrMisses))
        lines.add("decr_hits", cache.total(.decrHits))
        lines.add("cas_misses", cache.total(.casMisses))
        lines.add("cas_hits", cache.total(.casHits))
        lines.add("cas_badval", cache.total(.casBadval))
        lines.add("touch_hits", cache.total(.touchHits))
        lines.add("touch_misses", cache.total(.touchMisses))
        lines.add("store_too_large", cache.total(.storeTooLarge))
        lines.add("store_no_memory", cache.total(.storeNoMemory))
        lines.add("auth_cmds", cache.total(.authCmds))
        lines.add("auth_errors", cache.total(.authErrors))
        if state.idleTimeoutSeconds.load(ordering: .relaxed) > 0 { lines.add("idle_kicks", cache.total(.idleKicks)) }
        lines.add("bytes_read", cache.total(.bytesRead))
        lines.add("bytes_written", cache.total(.bytesWritten))
    }

    /// What memcached says of its threads, its slab mover, its crawler and its log.
    private static func machinery(
        _ state: ServerState, _ cache: ServedCache, now: Int64, _ lines: inout StatisticsList
    ) {
        let store = cache.store.statistics
        let limit = state.connectionLimit
        lines.add("limit_maxbytes", cache.contentBytesMax)
        lines.add("accepting_conns", limit.isAccepting ? 1 : 0)
        lines.add("listen_disabled_num", limit.listenDisabledCount)
        lines.add("time_in_listen_disabled_us", limit.listenDisabledMicroseconds)
        lines.add("threads", state.settings.threadCount)
        lines.add("conn_yields", cache.total(.connYields))
        lines.add("hash_power_level", Int.bitWidth - 1 - store.bucketCount.leadingZeroBitCount)
        lines.add("hash_bytes", store.slabs.index * store.slabBytes)
        lines.add("hash_is_expanding", 0)
        if state.settings.showsSlabMover { slabMover(store, cache, &lines) }
        if cache.crawler.isEnabled {
            lines.add("lru_crawler_running", cache.crawler.isRunning ? 1 : 0)
            lines.add("lru_crawler_starts", cache.crawler.starts)
        }
        if state.settings.showsMaintainer { lines.add("lru_maintainer_juggles", 0) }
        lines.add("malloc_fails", 0)
        lines.add("log_worker_dropped", state.watchers.dropped)
        lines.add("log_worker_written", state.watchers.written)
        lines.add("log_watcher_skipped", state.watchers.skipped)
        lines.add("log_watcher_sent", state.watchers.sent)
        lines.add("log_watchers", state.watchers.count)
        encryption(state, now: now, &lines)
        for name in ["unexpected_napi_ids", "round_robin_fallback"] { lines.add(name, 0) }
    }

    private static func encryption(_ state: ServerState, now: Int64, _ lines: inout StatisticsList) {
        guard let tls = state.access.tls else { return }
        // A handshake is over before anybody asks for a cache: it is counted with whichever was asked last.
        func total(_ counter: Counter) -> Int64 { state.caches.reduce(0) { $0 + $1.total(counter) } }
        if state.settings.tls.sessionCacheEnabled { lines.add("ssl_new_sessions", total(.tlsNewSessions)) }
        lines.add("ssl_handshake_errors", total(.tlsHandshakeErrors))
        lines.add("ssl_proto_errors", total(.tlsProtocolErrors))
        lines.add("time_since_server_cert_refresh", max(0, now - tls.refreshedAtMilliseconds) / 1000)
    }

    /// Pages that go from class to class in memcached; here slabs that were emptied to be used anew.
    private static func slabMover(_ store: StoreStatistics, _ cache: ServedCache, _ lines: inout StatisticsList) {
        for name in [
            "slab_reassign_rescues", "slab_reassign_chunk_rescues", "slab_reassign_inline_reclaim",
            "slab_reassign_busy_items", "slab_reassign_busy_deletes", "slab_reassign_busy_nomem",
            "slab_reassign_last_busy_status", "slab_reassign_running",
        ] { lines.add(name, 0) }
        lines.add("slabs_moved", store.counters.slabsReclaimed - cache.baseline.withLock { $0.slabsReclaimed })
    }

    private static func itemTotals(_ state: ServerState, _ cache: ServedCache, _ lines: inout StatisticsList) {
        let store = cache.store.statistics
        let base = cache.baseline.withLock { $0 }
        lines.add("bytes", store.liveBytes)
        lines.add("curr_items", cache.itemCount(store))
        lines.add("total_items", store.counters.itemsStored - base.itemsStored)
        lines.add("slab_global_page_pool", store.slabs.free)
        lines.add("expired_unfetched", store.counters.expiredUnfetched - base.expiredUnfetched)
        lines.add("evicted_unfetched", store.counters.evictionsUnfetched - base.evictionsUnfetched)
        if state.settings.showsMaintainer { lines.add("evicted_active", 0) }
        lines.add("evictions", store.counters.evictions - base.evictions)
        lines.add("reclaimed", store.counters.expired - base.expired)
        lines.add("crawler_reclaimed", reclaimedUnasked(cache, store.counters, base))
        lines.add("crawler_items_checked", cache.crawler.checked)
        lines.add("lrutail_reflocked", 0)
        guard state.settings.showsMaintainer else { return }
        for name in ["moves_to_cold", "moves_to_warm", "moves_within_lru", "direct_reclaims", "lru_bumps_dropped"] {
            lines.add(name, 0)
        }
    }

    /// Expired items that were given back before anybody met them: by clearing their time bucket, or by
    /// a crawl.
    static func reclaimedUnasked(
        _ cache: ServedCache, _ counters: StoreCounters, _ base: StatisticsBaseline
    ) -> Int64 {
        (counters.expired - base.expired) - (counters.expiredFound - base.expiredFound)
            + Int64(cache.crawler.reclaimed)
    }

    // MARK: stats reset

    private static func reset(_ state: ServerState, _ cache: ServedCache) {
        let counters = Counter.allCases.map { counter in
            cache.counters.reduce(Int64(0)) { $0 &+ $1.value(counter) }
        }
        let store = cache.store.statistics.counters
        cache.baseline.withLock { base in
            base.counters = counters
            base.itemsStored = store.itemsStored
            base.evictions = store.evictions
            base.evictionsUnfetched = store.evictionsUnfetched
            base.evictionsWithExpiry = store.evictionsWithExpiry
            base.expired = store.expired
            base.expiredUnfetched = store.expiredUnfetched
            base.expiredFound = store.expiredFound
            base.outOfMemory = store.outOfMemory
            base.slabsReclaimed = store.slabsReclaimed
        }
        state.connectionLimit.resetCounters()
        cache.crawler.resetCounters()
        cache.sync?.resetCounters()
        state.watchers.resetCounters()
        state.detail.reset()
    }

    // MARK: stats detail, stats cachedump

    private static func detail(_ context: inout WorkerContext, _ argument: Substring?) -> StatisticsAnswer {
        let state = context.state
        guard state.settings.dumpEnabled else { return .reply(.detailNotAllowed) }
        switch argument {
        case "on": state.detail.setEnabled(true)
        case "off": state.detail.setEnabled(false)
        case "dump": return .stream(PrefixDump(state.detail))
        default: return .reply(.detailUsage)
        }
        context.detailIsEnabled = state.detail.isEnabled
        context.noteObservation()
        return .reply(.ok)
    }

    private static let slabClassMax: UInt32 = 63

    /// All items are in class 1; a limit of 0 is none.
    private static func cachedump(
        _ context: borrowing WorkerContext, _ arguments: ArraySlice<Substring>
    ) -> StatisticsAnswer {
        guard context.state.settings.dumpEnabled else { return .reply(.cachedumpNotAllowed) }
        guard arguments.count >= 2, let first = arguments.first else { return .reply(.tooFewArguments) }
        guard let slabClass = UInt32(first), let limit = UInt32(arguments[arguments.startIndex + 1]) else {
            return .reply(.badCommandLine)
        }
        guard slabClass <= slabClassMax else { return .reply(.illegalSlabClass) }
        return .stream(KeyDump(.cachedump, isEmpty: slabClass != 1, itemsMax: Int(limit)))
    }
}
