/// The metrics of prometheus/memcached_exporter, with its names, for the cache of the main port. Those of slab classes,
/// extstore and the proxy are left out: Larder does not have them.
extension MetricsText {
    mutating func addMemcached(_ cache: CacheFigures) {
        add(Metric("memcached_up", .gauge, "1: the server answers."), "1")
        add(
            Metric("memcached_version", .gauge, "The version of memcached that the server speaks like."),
            [Sample(labels: [("version", cache.general["version"] ?? "")], value: "1")])
        for (statistic, metric) in Self.general { add(metric, cache.general[statistic]) }
        add(
            Metric("memcached_max_connections", .gauge, "Clients allowed at a time (-c)."),
            cache.settings["maxconns"])
        add(
            Metric("memcached_malloced_bytes", .gauge, "Bytes of the slabs that are not free."),
            cache.slabs["total_malloced"])
        addCommands(cache.general)
        // As the exporter: these only while the crawler is enabled.
        guard cache.settings["lru_crawler"] == "yes" else { return }
        for (statistic, metric) in Self.settings {
            let value = cache.settings[statistic]
            add(metric, value == "yes" ? "1" : value == "no" ? "0" : value)
        }
    }

    private mutating func addCommands(_ figures: [String: String]) {
        var samples: [Sample] = []
        func add(_ command: String, _ status: String, _ value: String?) {
            samples.append(Sample(labels: [("command", command), ("status", status)], value: value))
        }
        for command in ["get", "delete", "incr", "decr", "cas", "touch"] {
            add(command, "hit", figures["\(command)_hits"])
            add(command, "miss", figures["\(command)_misses"])
        }
        add("cas", "badval", figures["cas_badval"])
        add("flush", "hit", figures["cmd_flush"])
        // memcached counts cas in cmd_set, too.
        func number(_ name: String) -> Int64 { figures[name].flatMap { Int64($0) } ?? 0 }
        let sets = number("cmd_set") &- number("cas_misses") &- number("cas_hits") &- number("cas_badval")
        add("set", "hit", String(max(0, sets)))
        self.add(Metric("memcached_commands_total", .counter, "Requests by command and result."), samples)
    }

    private static let general: [(statistic: String, metric: Metric)] = [
        ("uptime", Metric("memcached_uptime_seconds", .gauge, "Seconds since the start.")),
        ("time", Metric("memcached_time_seconds", .gauge, "Unix time of the server.")),
        ("rusage_user", Metric("memcached_process_user_cpu_seconds_total", .counter, "User CPU time of the process.")),
        (
            "rusage_system",
            Metric("memcached_process_system_cpu_seconds_total", .counter, "System CPU time of the process.")
        ),
        ("bytes_read", Metric("memcached_read_bytes_total", .counter, "Bytes received from clients.")),
        ("bytes_written", Metric("memcached_written_bytes_total", .counter, "Bytes sent to clients.")),
        ("curr_connections", Metric("memcached_current_connections", .gauge, "Clients connected now.")),
        ("total_connections", Metric("memcached_connections_total", .counter, "Clients accepted.")),
        (
            "rejected_connections",
            Metric("memcached_connections_rejected_total", .counter, "Clients refused because -c were connected.")
        ),
        (
            "conn_yields",
            Metric("memcached_connections_yielded_total", .counter, "Times that a client waited because of -R.")
        ),
        (
            "listen_disabled_num",
            Metric(
                "memcached_connections_listener_disabled_total", .counter,
                "Times that accepting paused because -c clients were connected.")
        ),
        ("accepting_conns", Metric("memcached_accepting_connections", .gauge, "1: clients are accepted; 0: a pause.")),
        ("bytes", Metric("memcached_current_bytes", .gauge, "Bytes of the live items, headers included.")),
        ("limit_maxbytes", Metric("memcached_limit_bytes", .gauge, "Bytes that the cache may use (-m).")),
        ("curr_items", Metric("memcached_current_items", .gauge, "Live items.")),
        ("total_items", Metric("memcached_items_total", .counter, "Items stored.")),
        ("evictions", Metric("memcached_items_evicted_total", .counter, "Live items dropped to make room.")),
        ("reclaimed", Metric("memcached_items_reclaimed_total", .counter, "Expired items whose memory came back.")),
        ("store_too_large", Metric("memcached_item_too_large_total", .counter, "Stores refused because of -I.")),
        ("store_no_memory", Metric("memcached_item_no_memory_total", .counter, "Stores refused for lack of memory.")),
        ("direct_reclaims", Metric("memcached_direct_reclaims_total", .counter, "0: Larder has no such reclaims.")),
        ("lru_crawler_starts", Metric("memcached_lru_crawler_starts_total", .counter, "Crawls begun.")),
        (
            "crawler_reclaimed",
            Metric("memcached_lru_crawler_reclaimed_total", .counter, "Expired items reclaimed that no request met.")
        ),
        (
            "crawler_items_checked",
            Metric("memcached_lru_crawler_items_checked_total", .counter, "Items that crawls looked at.")
        ),
        ("moves_to_cold", Metric("memcached_lru_crawler_moves_to_cold_total", .counter, "0: Larder has no LRU lists.")),
        ("moves_to_warm", Metric("memcached_lru_crawler_moves_to_warm_total", .counter, "0: Larder has no LRU lists.")),
        (
            "moves_within_lru",
            Metric("memcached_lru_crawler_moves_within_lru_total", .counter, "0: Larder has no LRU lists.")
        ),
    ]

    private static let settings: [(statistic: String, metric: Metric)] = [
        ("lru_crawler", Metric("memcached_lru_crawler_enabled", .gauge, "1: crawls and dumps of keys are allowed.")),
        ("lru_crawler_sleep", Metric("memcached_lru_crawler_sleep", .gauge, "The setting of that name; no effect.")),
        ("lru_crawler_tocrawl", Metric("memcached_lru_crawler_to_crawl", .gauge, "Items that a crawl looks at.")),
        (
            "lru_maintainer_thread",
            Metric("memcached_lru_crawler_maintainer_thread", .gauge, "0: Larder has no such thread.")
        ),
        ("hot_lru_pct", Metric("memcached_lru_crawler_hot_percent", .gauge, "The setting of that name; no effect.")),
        ("warm_lru_pct", Metric("memcached_lru_crawler_warm_percent", .gauge, "The setting of that name; no effect.")),
        (
            "hot_max_factor",
            Metric("memcached_lru_crawler_hot_max_factor", .gauge, "The setting of that name; no effect.")
        ),
        (
            "warm_max_factor",
            Metric("memcached_lru_crawler_warm_max_factor", .gauge, "The setting of that name; no effect.")
        ),
    ]
}
