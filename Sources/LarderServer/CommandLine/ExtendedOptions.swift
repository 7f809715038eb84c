/// One of the names that `-o` takes.
struct ExtendedOption: Sendable {
    typealias Effect = @Sendable (inout Draft, String?) throws(Ending) -> Void

    let name: String
    let effect: Effect

    /// Every name that memcached 1.6.45 takes after `-o`, in any of its builds, and Larder's own.
    static let all = serving + slabs + eviction + storage + transport

    typealias Note = @Sendable (inout Draft, String) -> Void
}

/// `-o a,b=c`: what Larder has takes effect; what it has not is checked as memcached checks it, and
/// noted in one line that says what takes its place.
func applyExtendedOptions(_ text: String, to draft: inout Draft) throws(Ending) {
    var parts = text.split(separator: ",", omittingEmptySubsequences: false)
    // getsubopt lets one comma stand at the end.
    if parts.last?.isEmpty == true { parts.removeLast() }
    for part in parts {
        let pieces = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard let name = pieces.first, let option = ExtendedOption.all.first(where: { $0.name == name })
        else {
            throw .badValue("Illegal suboption \"\(part)\"")
        }
        try option.effect(&draft, pieces.count > 1 ? String(pieces[1]) : nil)
    }
}

extension ExtendedOption {
    /// What Larder does, or did anyway.
    private static let serving: [ExtendedOption] = [
        option("maxconns_fast") { draft, _ in draft.settings.refusesConnectionsOverLimit = true },
        option("no_maxconns_fast") { draft, _ in draft.settings.refusesConnectionsOverLimit = false },
        option("idle_timeout") { draft, text throws(Ending) in
            guard let text else { throw .badValue("Missing numeric argument for idle_timeout") }
            draft.settings.idleTimeoutSeconds = try wholeNumber(
                text, "-o idle_timeout", in: 0...Int(Int32.max), "a number of seconds, 0 for none")
        },
        option("login_timeout") { draft, text throws(Ending) in
            guard let text else { throw .badValue("Missing numeric argument for login_timeout") }
            draft.settings.loginTimeoutSeconds = try wholeNumber(
                text, "-o login_timeout", in: 0...Int(Int32.max), "a number of seconds, 0 for none")
        },
        option("hashpower") { draft, text throws(Ending) in
            guard let text else { throw .badValue("Missing numeric argument for hashpower") }
            let power = LeadingInteger(text)
            guard power.value >= 12 else {
                throw .badValue("Initial hashtable multiplier of \(power.value) is too low")
            }
            guard power.value <= 32 else {
                throw .badValue(
                    "Initial hashtable multiplier of \(power.value) is too high\n"
                        + "Choose a value based on \"STAT hash_power_level\" from a running instance")
            }
            draft.settings.hashPowerInit = try wholeNumber(
                text, "-o hashpower", in: 12...32, "a whole number")
        },
        option("size_aware") { draft, _ in draft.settings.isSizeAware = true },
        option("no_hugepages") { draft, _ in draft.settings.hugePages = .never },
        option("no_modern") { draft, _ in
            draft.settings.refusesConnectionsOverLimit = false
            draft.settings.crawlerIsEnabled = false
            draft.settings.showsSlabMover = false
            draft.settings.showsMaintainer = false
            draft.warn(
                "-o no_modern: its no_maxconns_fast and no_lru_crawler apply, the rest has no effect.")
        },
        option("track_sizes") { draft, _ in draft.settings.tracksSizes = true },
        option("hot_keys") { draft, _ in draft.settings.showsHotKeys = true },
        option("lru_crawler") { draft, _ in draft.settings.crawlerIsEnabled = true },
        option("watcher_logbuf_size") { draft, text throws(Ending) in
            draft.settings.watcherBufferBytes = try kilobytes(text, of: "watcher_logbuf_size")
        },
        option("worker_logbuf_size") { draft, text throws(Ending) in
            draft.settings.workerLogBytes = try kilobytes(text, of: "worker_logbuf_size")
        },
        silent("modern"), silent("inline_ascii_resp"), silent("no_inline_ascii_resp"),
        option("slab_reassign") { draft, _ in draft.settings.showsSlabMover = true },
        option("lru_maintainer") { draft, _ in draft.settings.showsMaintainer = true },
        silent("no_drop_privileges"),
        option("relaxed_privileges") { draft, _ in draft.settings.allowsDebugging = true },
        ignored("no_hashexpand", "the index grows with the items"),
        ignored(
            "hash_algorithm", "the hash is keyed with a random seed", .words(["jenkins", "murmur3", "xxh3"])),
        ignored(
            "drop_privileges", "confine Larder from outside, by systemd or the container"),
        ignored(
            "read_buf_mem_limit", "connection buffers grow and shrink with use", .integer(0...Int(UInt32.max))
        ) { $0.settings.readBufferLimitBytes = LeadingInteger($1).value << 20 },
        option("resp_obj_mem_limit") { draft, _ in
            draft.warn("DEPRECATED: resp_obj_mem_limit no longer used. See read_buf_mem_limit,")
        },
    ]

    private static let noSlabs = "Larder has no slab classes, an item takes the blocks it needs"
    private static let slabs: [ExtendedOption] = [
        option("slab_chunk_max") { draft, text throws(Ending) in
            guard let text else { throw .badValue("Missing slab_chunk_max argument") }
            let kilobytes = LeadingInteger(text)
            guard kilobytes.isWhole else { throw .badValue("could not parse argument to slab_chunk_max") }
            guard kilobytes.value > 0 else { throw .badValue("slab_chunk_max must be >= 0") }
            guard kilobytes.value <= 1024 else {
                throw .badValue("slab_chunk_max must be specified in kilobytes.")
            }
            draft.settings.slabChunkMaxBytes = kilobytes.value << 10
            draft.settings.slabChunkIsGiven = true
            draft.warn("-o slab_chunk_max is ignored: \(noSlabs).")
        },
        ignored("no_chunked_items", noSlabs),
        ignored("no_slab_reassign", noSlabs) { draft, _ in draft.settings.showsSlabMover = false },
        ignored("slab_automove", noSlabs, .optionalInteger(0...2, "slab_automove must be between 0 and 2")) {
            $0.settings.tunables.automoveLevel = $1.isEmpty ? 1 : UInt32(LeadingInteger($1).value)
        },
        ignored("no_slab_automove", noSlabs) { draft, _ in draft.settings.tunables.automoveLevel = 0 },
        ignored("slab_automove_ratio", noSlabs, .decimal(0...1, "slab_automove_ratio must be > 0 and < 1")) {
            $0.settings.tunables.automoveRatio = Double($1) ?? 0
        },
        ignored("slab_automove_window", noSlabs, .atLeast(3, "slab_automove_window must be > 2")) {
            $0.settings.tunables.automoveWindow = UInt32(clamping: LeadingInteger($1).value)
        },
        ignored("slab_automove_freeratio", noSlabs, .any) {
            $0.settings.tunables.automoveFreeRatio = Double($1) ?? 0
        },
        option("slab_sizes") { draft, text throws(Ending) in
            guard let text else { throw .badValue("Missing slab_sizes argument") }
            try checkSlabSizes(
                text, smallest: draft.settings.chunkSizeBytes, largest: draft.settings.slabChunkMaxBytes)
            draft.warn("-o slab_sizes is ignored: \(noSlabs).")
        },
    ]

    private static let ownEviction =
        "Larder evicts by slab: expired ones, those with most holes, then the oldest without hits"
    private static let expiry = "memory of expired items is reclaimed in any case"
    private static let eviction: [ExtendedOption] = [
        ignored(
            "tail_repair_time", expiry, .atLeast(10, "Cannot set tail_repair_time to less than 10 seconds")
        ) { $0.settings.tailRepairSeconds = LeadingInteger($1).value },
        ignored("no_lru_crawler", expiry) { draft, _ in draft.settings.crawlerIsEnabled = false },
        ignored(
            "lru_crawler_sleep", expiry,
            .integer(0...1_000_000, "LRU crawler sleep must be between 0 and 1 second")
        ) { $0.settings.tunables.crawlerSleepMicroseconds = UInt32(clamping: LeadingInteger($1).value) },
        option("lru_crawler_tocrawl") { draft, text throws(Ending) in
            try ExtendedValue.integer(0...Int(UInt32.max), "lru_crawler_tocrawl takes a numeric 32bit value")
                .check(text, of: "lru_crawler_tocrawl")
            draft.settings.tunables.crawlerItemsMax = UInt32(clamping: LeadingInteger(text ?? "").value)
        },
        ignored("no_lru_maintainer", ownEviction) { draft, _ in draft.settings.showsMaintainer = false },
        ignored("hot_lru_pct", ownEviction, .integer(1...79, "hot_lru_pct must be > 1 and < 80")) {
            $0.settings.tunables.hotPercent = UInt32(clamping: LeadingInteger($1).value)
        },
        ignored("warm_lru_pct", ownEviction, .integer(1...79, "warm_lru_pct must be > 1 and < 80")) {
            $0.settings.tunables.warmPercent = UInt32(clamping: LeadingInteger($1).value)
        },
        ignored("hot_max_factor", ownEviction, .decimal(0...Double.infinity, "hot_max_factor must be > 0")) {
            $0.settings.tunables.hotFactor = Double($1) ?? 0
        },
        ignored("warm_max_factor", ownEviction, .decimal(0...Double.infinity, "warm_max_factor must be > 0")) {
            $0.settings.tunables.warmFactor = Double($1) ?? 0
        },
        ignored("temporary_ttl", "items that expire together are stored together", .any) {
            $0.settings.temporaryTTL = LeadingInteger($1).value
        },
    ]

    private static let storage: [ExtendedOption] =
        [ignored("ext_drop_unread", "Larder keeps items in memory only")]
        + [
            "ext_path", "ext_page_size", "ext_wbuf_size", "ext_threads", "ext_io_depth", "ext_item_size",
            "ext_item_age", "ext_low_ttl", "ext_recache_rate", "ext_compact_under", "ext_drop_under",
            "ext_max_frag", "ext_max_sleep",
        ].map { ignored($0, "Larder keeps items in memory only", .any) }

    private static let transport: [ExtendedOption] =
        tls
        + ["proxy_arg", "proxy_uring", "proxy_memprofile"].map { ignored($0, "Larder is not a proxy") }
        + [
            ignored("sock_cookie_id", "mark the sockets in the firewall instead", .any),
            option("proxy_config") { _, text throws(Ending) in
                guard text != nil else { throw .badValue("Missing proxy_config file argument") }
                throw .usage("Larder is not a proxy: -o proxy_config is refused.")
            },
        ]

    static func option(_ name: String, effect: @escaping Effect) -> ExtendedOption {
        ExtendedOption(name: name, effect: effect)
    }

    /// Asks for what is the case anyway.
    private static func silent(_ name: String) -> ExtendedOption {
        ExtendedOption(name: name, effect: { _, _ in })
    }

    /// Accepted, checked, and noted in one line that says what takes its place.
    /// - Parameter note: what `stats settings` shows of it.
    private static func ignored(
        _ name: String, _ instead: String, _ value: ExtendedValue = .none, note: Note? = nil
    ) -> ExtendedOption {
        ExtendedOption(
            name: name,
            effect: { draft, text throws(Ending) in
                try value.check(text, of: name)
                note?(&draft, text ?? "")
                draft.warn("-o \(name) is ignored: \(instead).")
            })
    }

    private static func kilobytes(_ text: String?, of name: String) throws(Ending) -> Int {
        try ExtendedValue.integer(0...Int(UInt32.max)).check(text, of: name)
        return LeadingInteger(text ?? "").value << 10
    }
}
