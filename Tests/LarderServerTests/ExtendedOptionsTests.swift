import Testing

@testable import LarderServer

private func draft(_ text: String) throws -> Draft {
    var draft = Draft()
    try applyExtendedOptions(text, to: &draft)
    return draft
}

@Suite struct ExtendedOptionsTests {
    @Test func takeEffect() throws {
        #expect(try draft("idle_timeout=30").settings.idleTimeoutSeconds == 30)
        #expect(try draft("idle_timeout=0").settings.idleTimeoutSeconds == 0)
        #expect(try draft("no_maxconns_fast").settings.refusesConnectionsOverLimit == false)
        #expect(try draft("no_maxconns_fast,maxconns_fast").settings.refusesConnectionsOverLimit)
        #expect(try draft("size_aware").settings.isSizeAware && !draft("modern").settings.isSizeAware)
        #expect(
            try draft("no_hugepages").settings.hugePages == .never
                && draft("modern").settings.hugePages == .whereThereAre)
        #expect(try draft("no_modern").settings.refusesConnectionsOverLimit == false)
        #expect(try draft("hashpower=20").settings.hashPowerInit == 20)
        #expect(try draft("slab_chunk_max=16").settings.slabChunkMaxBytes == 16 << 10)
        let several = try draft("maxconns_fast,idle_timeout=5,hashpower=13,").settings
        #expect(several.idleTimeoutSeconds == 5 && several.hashPowerInit == 13)
    }

    @Test func machineryIsShownAsItWasSet() throws {
        let settings = try draft(
            "hot_lru_pct=11,warm_lru_pct=22,hot_max_factor=0.3,warm_max_factor=3,lru_crawler_sleep=5,"
                + "lru_crawler_tocrawl=6,slab_automove=2,slab_automove_ratio=0.7,slab_automove_window=9,"
                + "slab_automove_freeratio=0.02,tail_repair_time=20,temporary_ttl=30,read_buf_mem_limit=3,"
                + "watcher_logbuf_size=1,worker_logbuf_size=2,track_sizes,no_lru_crawler"
        ).settings
        let tunables = settings.tunables
        #expect(tunables.hotPercent == 11 && tunables.warmPercent == 22)
        #expect(tunables.hotFactor == 0.3 && tunables.warmFactor == 3)
        #expect(tunables.crawlerSleepMicroseconds == 5 && tunables.crawlerItemsMax == 6)
        #expect(tunables.automoveLevel == 2 && tunables.automoveRatio == 0.7)
        #expect(tunables.automoveWindow == 9 && tunables.automoveFreeRatio == 0.02)
        #expect(settings.tailRepairSeconds == 20 && settings.temporaryTTL == 30)
        #expect(settings.readBufferLimitBytes == 3 << 20)
        #expect(settings.watcherBufferBytes == 1 << 10 && settings.workerLogBytes == 2 << 10)
        #expect(settings.tracksSizes && !settings.crawlerIsEnabled)
        #expect(try draft("slab_automove").settings.tunables.automoveLevel == 1)
    }

    /// Every name that memcached 1.6.45 can be built with.
    @Test func everyNameOfMemcachedIsTaken() throws {
        let flags = """
            maxconns_fast no_hashexpand slab_reassign lru_crawler lru_maintainer track_sizes
            no_inline_ascii_resp modern no_modern no_chunked_items no_slab_reassign no_slab_automove
            slab_automove no_maxconns_fast
            inline_ascii_resp no_lru_crawler no_lru_maintainer no_drop_privileges drop_privileges
            resp_obj_mem_limit ssl_session_cache ssl_kernel_tls proxy_uring proxy_memprofile proxy_arg
            relaxed_privileges ext_drop_unread
            """
        let values = """
            hashpower=16 slab_automove=2 slab_automove_ratio=0.8 slab_automove_window=10 tail_repair_time=10
            hash_algorithm=xxh3 lru_crawler_sleep=100 lru_crawler_tocrawl=0 hot_lru_pct=20 warm_lru_pct=40
            hot_max_factor=0.2 warm_max_factor=2 temporary_ttl=61 idle_timeout=9 watcher_logbuf_size=256
            worker_logbuf_size=64 slab_sizes=100-200 slab_chunk_max=512 read_buf_mem_limit=4 ssl_chain_cert=f
            ssl_key=f ssl_verify_mode=0 ssl_keyformat=1 ssl_ciphers=x ssl_ca_cert=f ssl_wbuf_size=16
            ssl_min_version=2 sock_cookie_id=1 ext_path=/f:1G ext_page_size=64 ext_wbuf_size=4 ext_threads=1
            ext_io_depth=1 ext_item_size=512 ext_item_age=1 ext_low_ttl=0 ext_recache_rate=2000
            ext_compact_under=1 ext_drop_under=1 ext_max_frag=0.8 ext_max_sleep=9 slab_automove_freeratio=0.01
            """
        for word in (flags + " " + values).split(whereSeparator: { $0 == " " || $0 == "\n" }) {
            let warnings = try draft(String(word)).warnings
            #expect(warnings.count <= 1, "\(word)")
        }
        let names = ExtendedOption.all.map(\.name)
        #expect(Set(names).count == names.count)
    }

    @Test func whatIsIgnoredSaysWhatTakesItsPlace() throws {
        #expect(
            try draft("slab_automove=1,slab_automove=2").warnings == [
                "-o slab_automove is ignored: Larder has no slab classes, an item takes the blocks it needs."
            ])
        #expect(try draft("modern,lru_maintainer,lru_crawler,slab_reassign").warnings.isEmpty)
    }

    @Test(arguments: [
        ("nope", "Illegal suboption \"nope\""),
        ("nope=3,foo", "Illegal suboption \"nope=3\""),
        ("maxconns_fast,,nope", "Illegal suboption \"\""),
        (" maxconns_fast", "Illegal suboption \" maxconns_fast\""),
        ("hashpower", "Missing numeric argument for hashpower"),
        ("hashpower=3", "Initial hashtable multiplier of 3 is too low"),
        ("idle_timeout", "Missing numeric argument for idle_timeout"),
        ("slab_automove=3", "slab_automove must be between 0 and 2"),
        ("slab_automove_ratio", "Missing slab_automove_ratio argument"),
        ("slab_automove_ratio=0", "slab_automove_ratio must be > 0 and < 1"),
        ("slab_automove_window=2", "slab_automove_window must be > 2"),
        ("tail_repair_time=3", "Cannot set tail_repair_time to less than 10 seconds"),
        ("hash_algorithm=md5", "Unknown hash_algorithm option (jenkins, murmur3, xxh3)"),
        ("hot_lru_pct=80", "hot_lru_pct must be > 1 and < 80"),
        ("hot_max_factor=-1", "hot_max_factor must be > 0"),
        ("lru_crawler_sleep=1000001", "LRU crawler sleep must be between 0 and 1 second"),
        ("lru_crawler_tocrawl=x", "lru_crawler_tocrawl takes a numeric 32bit value"),
        ("worker_logbuf_size=x", "could not parse argument to worker_logbuf_size"),
        ("slab_chunk_max=x", "could not parse argument to slab_chunk_max"),
        ("slab_chunk_max=2000", "slab_chunk_max must be specified in kilobytes."),
        ("ssl_key", "Missing ssl_key argument"),
        ("proxy_config", "Missing proxy_config file argument"),
    ])
    func refusesAsMemcached(text: String, message: String) {
        #expect(throws: Ending(text: message + "\n", exitCode: 1)) { try draft(text) }
    }
}
