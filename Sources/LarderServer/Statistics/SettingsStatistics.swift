import LarderTLS
import Synchronization

/// `stats settings`: memcached's names in memcached's order.
enum SettingsStatistics {
    static func write(_ state: ServerState, _ cache: ServedCache, _ lines: inout StatisticsList) {
        limits(state, cache, &lines)
        let tunables = state.tunables.withLock { $0 }
        lines.add("lru_crawler", cache.crawler.isEnabled)
        lines.add("lru_crawler_sleep", tunables.crawlerSleepMicroseconds)
        lines.add("lru_crawler_tocrawl", tunables.crawlerItemsMax)
        lines.add("tail_repair_time", state.settings.tailRepairSeconds)
        lines.add("flush_enabled", state.settings.flushEnabled)
        lines.add("dump_enabled", state.settings.dumpEnabled)
        lines.add("hash_algorithm", "wyhash")
        lines.add("lru_maintainer_thread", false)
        lines.add("lru_segmented", false)
        lines.add("hot_lru_pct", tunables.hotPercent)
        lines.add("warm_lru_pct", tunables.warmPercent)
        lines.add("hot_max_factor", decimal(tunables.hotFactor, places: 2))
        lines.add("warm_max_factor", decimal(tunables.warmFactor, places: 2))
        lines.add("temp_lru", state.settings.temporaryTTL != nil)
        lines.add("temporary_ttl", state.settings.temporaryTTL ?? 61)
        lines.add("idle_timeout", state.idleTimeoutSeconds.load(ordering: .relaxed))
        lines.add("watcher_logbuf_size", state.settings.watcherBufferBytes)
        lines.add("worker_logbuf_size", state.settings.workerLogBytes)
        lines.add("read_buf_mem_limit", state.settings.readBufferLimitBytes)
        lines.add("track_sizes", state.settings.tracksSizes)
        fixed(
            [
                ("inline_ascii_response", "no"), ("ext_item_size", "512"),
                ("ext_item_age", "4294967295"), ("ext_low_ttl", "0"), ("ext_recache_rate", "2000"),
                ("ext_wbuf_size", "4194304"), ("ext_compact_under", "0"), ("ext_drop_under", "0"),
                ("ext_max_sleep", "1000000"), ("ext_max_frag", "0.80"),
                ("slab_automove_freeratio", decimal(tunables.automoveFreeRatio, places: 3)),
                ("ext_drop_unread", "no"),
            ], &lines)
        encryption(state.settings, &lines)
        lines.add("num_napi_ids", 0)
        lines.add("memory_file", (state.settings.givenPaths ?? GivenPaths(state.settings)).store ?? "(null)")
        lines.add("client_flags_size", 4)
    }

    private static func encryption(_ settings: Settings, _ lines: inout StatisticsList) {
        let tls = settings.tls
        let paths = settings.givenPaths ?? GivenPaths(settings)
        lines.add("ssl_enabled", settings.tlsEnabled)
        lines.add("ssl_chain_cert", paths.chain ?? "(null)")
        lines.add("ssl_key", paths.key ?? "(null)")
        lines.add("ssl_verify_mode", tls.verifyMode.flags)
        lines.add("ssl_keyformat", tls.keyFormat)
        lines.add("ssl_ciphers", tls.ciphers ?? "NULL")
        lines.add("ssl_ca_cert", paths.authority ?? "NULL")
        lines.add("ssl_wbuf_size", settings.tlsWriteBufferBytes)
        lines.add("ssl_session_cache", tls.sessionCacheEnabled)
        lines.add("ssl_kernel_tls", tls.kernelTLSEnabled)
        lines.add("ssl_min_version", tls.minVersion.name)
    }

    private static func limits(_ state: ServerState, _ cache: ServedCache, _ lines: inout StatisticsList) {
        let settings = state.settings
        let paths = settings.givenPaths ?? GivenPaths(settings)
        let tunables = state.tunables.withLock { $0 }
        lines.add("maxbytes", cache.contentBytesMax)
        lines.add("maxconns", state.connectionLimit.maximum)
        lines.add("tcpport", settings.unixSocketPath == nil ? settings.tcpPort : 0)
        lines.add("udpport", settings.udpPort)
        lines.add("inter", settings.interfaces ?? "NULL")
        lines.add("verbosity", state.verbosity.load(ordering: .relaxed))
        lines.add("oldest", 0)
        lines.add("evictions", cache.evicts ? "on" : "off")
        lines.add("domain_socket", paths.unixSocket ?? "NULL")
        lines.add("umask", String(settings.unixSocketMask, radix: 8))
        lines.add("shutdown_command", settings.shutdownCommandEnabled)
        lines.add("growth_factor", decimal(settings.growthFactor, places: 2))
        lines.add("chunk_size", settings.chunkSizeBytes)
        lines.add("num_threads", settings.threadCount)
        lines.add("num_threads_per_udp", settings.threadCount)
        lines.add("stat_key_prefix", String(decoding: [settings.prefixDelimiter], as: UTF8.self))
        lines.add("detail_enabled", state.detail.isEnabled)
        lines.add("reqs_per_event", settings.requestsPerEventMax)
        lines.add("cas_enabled", settings.casEnabled)
        lines.add("tcp_backlog", settings.listenBacklog)
        lines.add(
            "binding_protocol",
            settings.bindingProtocol == .negotiating ? "auto-negotiate" : settings.bindingProtocol.name)
        lines.add("auth_enabled_sasl", settings.saslEnabled)
        lines.add("auth_enabled_ascii", settings.saslEnabled ? "no" : paths.userFile ?? "no")
        lines.add("item_size_max", cache.sizeMax)
        lines.add("maxconns_fast", settings.refusesConnectionsOverLimit)
        lines.add("hashpower_init", settings.hashPowerInit)
        lines.add("slab_reassign", settings.showsSlabMover ? "yes" : "no")
        lines.add("slab_automove", tunables.automoveLevel)
        lines.add("slab_automove_ratio", decimal(tunables.automoveRatio, places: 2))
        lines.add("slab_automove_window", tunables.automoveWindow)
        lines.add("slab_chunk_max", settings.slabChunkMaxBytes)
    }

    private static func fixed(_ values: [(String, String)], _ lines: inout StatisticsList) {
        for (name, value) in values { lines.add(name, value) }
    }

    private static func decimal(_ value: Double, places: Int) -> String {
        let scale = places == 3 ? 1000 : 100
        let units = Int((min(max(value, 0), 1e9) * Double(scale)).rounded())
        let fraction = String(units % scale)
        return "\(units / scale)." + String(repeating: "0", count: places - fraction.count) + fraction
    }
}
