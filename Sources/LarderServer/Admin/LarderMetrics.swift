import LarderWire

/// Larder's own metrics: of each cache, and of the server.
extension MetricsText {
    mutating func addCaches(_ caches: [CacheFigures]) {
        for (statistic, metric) in Self.cacheGeneral {
            add(metric, caches.map { Self.sample($0, $0.general[statistic]) })
        }
        for (statistic, metric) in Self.cacheOwn { add(metric, caches.map { Self.sample($0, $0.larder[statistic]) }) }
        add(
            Metric(
                "larder_cache_oldest_item_seconds", .gauge,
                "Seconds since the oldest slab with items was begun; none without items."),
            caches.map { Self.sample($0, $0.items["items:1:age"]) })
        add(
            Metric(
                "larder_store_recovered_ratio", .gauge, "How much of the file has been read after the start, 0 to 1."),
            caches.map { Self.sample($0, $0.general["store_recovered_percent"].map { Self.decimal($0, places: 2) }) })
        add(
            Metric("larder_store_recovery_seconds", .gauge, "How long reading the file took after the start."),
            caches.map {
                Self.sample($0, $0.general["store_recovery_milliseconds"].map { Self.decimal($0, places: 3) })
            })
    }

    mutating func addHotKeys(_ state: ServerState, now: Int64) {
        guard state.hotKeys.isOn else { return }
        var samples: [Sample] = []
        for (number, cache) in state.caches.enumerated() {
            for entry in state.hotKeys.lines(ofCache: number, now: now, countMax: HotKeys.metricsMax) {
                samples.append(Sample(labels: [("cache", cache.name), ("key", entry.key)], value: entry.perSecond))
            }
        }
        add(
            Metric(
                "larder_hot_key_requests_per_second", .gauge,
                "Requests a second of the most requested keys, estimated from a sample."), samples)
    }

    mutating func addServer(_ caches: [CacheFigures]) {
        guard let first = caches.first else { return }
        add(
            Metric("larder_info", .gauge, "1; the label has Larder's version."),
            [Sample(labels: [("version", first.larder["larder_version"] ?? "")], value: "1")])
        func total(_ name: String, _ list: KeyPath<CacheFigures, [String: String]>) -> String? {
            let values = caches.compactMap { $0[keyPath: list][name].flatMap { Int64($0) } }
            return values.isEmpty ? nil : String(values.reduce(0, &+))
        }
        let dropped = [
            ("memory", first.larder["requests_dropped_memory"]), ("stalled", first.larder["requests_dropped_stalled"]),
            ("unread", first.larder["unread_closed"]), ("login", first.larder["login_timeouts"]),
            ("idle", total("idle_kicks", \.general)), ("handshake", first.general["ssl_handshake_errors"]),
        ]
        add(
            Metric("larder_connections_dropped_total", .counter, "Clients that the server closed, by reason."),
            dropped.map { Sample(labels: [("reason", $0.0)], value: $0.1) })
        add(
            Metric(
                "larder_foreign_connections_total", .counter,
                "Connections closed because their first bytes are another protocol's."),
            ForeignProtocol.allCases.map {
                Sample(labels: [("protocol", "\($0)")], value: first.larder["foreign_\($0)"])
            })
        for (statistic, metric) in Self.server { add(metric, first.larder[statistic]) }
        for (statistic, metric) in Self.sums { add(metric, total(statistic, \.larder)) }
        add(
            Metric("larder_auth_failures_total", .counter, "Logins refused."),
            total("auth_errors", \.general))
    }

    mutating func addDurations(_ durations: [CommandDurations]) {
        guard !durations.isEmpty else { return }
        var samples: [Sample] = []
        for command in CommandDurations.Command.allCases {
            let name = ("command", "\(command)")
            let counts = durations.map { $0.counts(command) }
            // Most servers never see some of the commands.
            let isUsed = command == .get || command == .set || counts.contains { $0.contains { $0 > 0 } }
            guard isUsed else { continue }
            var count: Int64 = 0
            for (bucket, bound) in (CommandDurations.bounds.map(Self.seconds) + ["+Inf"]).enumerated() {
                count = counts.reduce(count) { $0 &+ $1[bucket] }
                samples.append(Sample(suffix: "_bucket", labels: [name, ("le", bound)], value: String(count)))
            }
            let sum = durations.reduce(0) { $0 &+ $1.sum(command) }
            samples.append(Sample(suffix: "_sum", labels: [name], value: Self.seconds(sum)))
            samples.append(Sample(suffix: "_count", labels: [name], value: String(count)))
        }
        add(
            Metric(
                "larder_command_duration_seconds", .histogram,
                "Time from reading requests to sending their answers, by command; one of "
                    + "\(CommandDurations.interval) is timed."), samples)
    }

    private static func seconds(_ nanoseconds: Int64) -> String { decimal(String(nanoseconds), places: 9) }

    private static func sample(_ cache: CacheFigures, _ value: String?) -> Sample {
        Sample(labels: [("cache", cache.name)], value: value)
    }

    /// A whole number of parts as a decimal number: "37" of 100 is "0.37".
    static func decimal(_ parts: String, places: Int) -> String {
        let digits = String(repeating: "0", count: max(0, places + 1 - parts.count)) + parts
        return "\(digits.dropLast(places)).\(digits.suffix(places))"
    }

    private static let cacheGeneral: [(statistic: String, metric: Metric)] = [
        ("bytes", Metric("larder_cache_bytes", .gauge, "Bytes of the live items, headers included.")),
        ("curr_items", Metric("larder_cache_items", .gauge, "Live items.")),
        ("limit_maxbytes", Metric("larder_cache_limit_bytes", .gauge, "Bytes that the cache may use.")),
        ("get_hits", Metric("larder_cache_hits_total", .counter, "Keys that were asked for and found.")),
        ("get_misses", Metric("larder_cache_misses_total", .counter, "Keys that were asked for and not found.")),
        ("evictions", Metric("larder_cache_evictions_total", .counter, "Live items dropped to make room.")),
        ("reclaimed", Metric("larder_cache_expirations_total", .counter, "Expired items whose memory came back.")),
        (
            "store_ready",
            Metric("larder_store_ready", .gauge, "1: the file has been read, and requests are answered.")
        ),
        (
            "store_recovered_items",
            Metric("larder_store_recovered_items", .gauge, "Items found in the file at the start.")
        ),
        (
            "store_dropped_items",
            Metric("larder_store_dropped_items", .gauge, "Torn or damaged items that the start dropped.")
        ),
        ("store_expired_items", Metric("larder_store_expired_items", .gauge, "Expired items that the start dropped.")),
        (
            "store_left_out_items",
            Metric("larder_store_left_out_items", .gauge, "Items for which there was no room at the start.")
        ),
        (
            "store_damages",
            Metric("larder_store_damages_total", .counter, "Times that the cache was emptied: its file was changed.")
        ),
        (
            "store_missing_pages",
            Metric("larder_store_missing_pages", .gauge, "Pages of all files that could not be read.")
        ),
    ]

    private static let cacheOwn: [(statistic: String, metric: Metric)] = [
        ("free_bytes", Metric("larder_cache_free_bytes", .gauge, "Bytes of free slabs.")),
        (
            "withheld_bytes",
            Metric("larder_cache_withheld_bytes", .gauge, "Bytes of slabs that cache_memlimit withholds.")
        ),
        (
            "hole_bytes",
            Metric("larder_cache_hole_bytes", .gauge, "Bytes of used slabs that no live item covers.")
        ),
        (
            "limbo_bytes",
            Metric("larder_cache_limbo_bytes", .gauge, "Bytes of emptied slabs that wait for readers to leave.")
        ),
        ("items_moved", Metric("larder_cache_items_moved_total", .counter, "Items that upkeep moved.")),
        ("slabs_reclaimed", Metric("larder_cache_slabs_reclaimed_total", .counter, "Slabs that were emptied.")),
        ("sync_sent", Metric("larder_cache_sync_sent_total", .counter, "Datagrams sent to other servers.")),
        (
            "sync_received",
            Metric("larder_cache_sync_received_total", .counter, "Datagrams of other servers that were carried out.")
        ),
        (
            "sync_too_large",
            Metric("larder_cache_sync_too_large_total", .counter, "Values too large for a datagram: sent as deletes.")
        ),
        (
            "sync_dropped",
            Metric("larder_cache_sync_dropped_total", .counter, "Changes that could not be sent or carried out.")
        ),
        (
            "sync_refused",
            Metric("larder_cache_sync_refused_total", .counter, "Datagrams of senders that nodes= does not name.")
        ),
        ("replica_applied_id", Metric("larder_replica_applied_id", .gauge, "Id of the record applied last.")),
        ("replica_latest_id", Metric("larder_replica_latest_id", .gauge, "Id of the log's last record, as last seen.")),
        ("replica_lag", Metric("larder_replica_lag_records", .gauge, "Records of the log that are not applied yet.")),
        (
            "replica_lag_seconds",
            Metric("larder_replica_lag_seconds", .gauge, "Seconds since the replica last had all records.")
        ),
        (
            "replica_log_usable",
            Metric("larder_replica_log_usable", .gauge, "0: the log cannot be used, and changes are refused.")
        ),
        ("replica_loads", Metric("larder_replica_loads_total", .counter, "Times that the whole log was read.")),
        ("replica_records_applied", Metric("larder_replica_records_applied_total", .counter, "Records applied.")),
        ("replica_writes", Metric("larder_replica_writes_total", .counter, "Records that this server wrote.")),
        (
            "replica_conflicts",
            Metric("larder_replica_conflicts_total", .counter, "Changes that were decided again after another one.")
        ),
        (
            "sync_malformed",
            Metric("larder_cache_sync_malformed_total", .counter, "Datagrams that could not be read.")
        ),
    ]

    private static let server: [(statistic: String, metric: Metric)] = [
        ("request_bytes", Metric("larder_request_bytes", .gauge, "Memory that half-sent requests hold.")),
        ("unread_bytes", Metric("larder_unread_bytes", .gauge, "Memory that unread answers hold.")),
        ("log_lines_dropped", Metric("larder_log_lines_dropped_total", .counter, "Log lines that were dropped.")),
        (
            "certificate_end",
            Metric("larder_tls_certificate_not_after_seconds", .gauge, "Unix time at which the certificate expires.")
        ),
    ]

    private static let sums: [(statistic: String, metric: Metric)] = [
        ("udp_requests_dropped", Metric("larder_udp_requests_dropped_total", .counter, "Datagrams dropped.")),
        ("udp_replies_withheld", Metric("larder_udp_replies_withheld_total", .counter, "UDP answers withheld.")),
    ]
}
