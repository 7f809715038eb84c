extension Option {
    static let memory: [Option] = [
        Option(
            "m", "memory-limit", .required("MB"), .memory,
            "memory for items, in megabytes (default 64), or auto:\nwhat the cgroup or the machine allows",
            effect: { draft, text throws(Ending) in
                draft.memoryIsAutomatic = text == "auto"
                if draft.memoryIsAutomatic { return }
                // A unit is taken for what it says: atoi would read 2g as two megabytes.
                guard let bytes = byteCount(text, units: ["m": 1 << 20, "g": 1 << 30], plain: 1 << 20),
                    (0...1 << 50).contains(bytes)
                else {
                    throw .usage("-m takes the memory for items in megabytes, such as 64, or auto, not \"\(text)\".")
                }
                guard bytes <= Settings.memoryLimitBytesMax else {
                    throw .usage("-m takes at most \(Settings.memoryLimitBytesMax >> 20) megabytes, not \(text).")
                }
                draft.settings.memoryLimitBytes = bytes
            }),
        Option(
            "I", "max-item-size", .required("SIZE"), .memory,
            "largest item, in bytes or with k, m or g\n(1k to 1g, at most half of -m; default 1m)",
            effect: { draft, text throws(Ending) in
                let bytes = byteCount(text, units: ["k": 1 << 10, "m": 1 << 20, "g": 1 << 30], plain: 1)
                guard let bytes else {
                    // What atoi reads as less than 1024 gets memcached's sentence at the end.
                    guard LeadingInteger(text).value < 1024 else {
                        throw .usage("-I takes a size such as 512k, 2m or 1048576, not \"\(text)\".")
                    }
                    draft.settings.maxItemSizeBytes = 0
                    return
                }
                draft.settings.maxItemSizeBytes = bytes
            }),
        Option(
            "e", "memory-file", .required("FILE"), .memory,
            "keep the items in this file, across restarts",
            effect: { draft, text throws(Ending) in try setStore(text, "-e", &draft) }),
        Option(
            long: "store", .required("FILE"), .memory, "the same as -e",
            effect: { draft, text throws(Ending) in try setStore(text, "--store", &draft) }),
        Option(
            "M", "disable-evictions", .none, .memory, "answer an error when full, instead of evicting",
            effect: { draft, _ in draft.settings.evictions = false }),
        Option(
            "k", "lock-memory", .none, .memory, "keep all memory out of swap (mlockall)",
            effect: { draft, _ in draft.settings.locksMemory = true }),
        Option(
            "L", "enable-largepages", .none, .memory, "do not start without large pages",
            effect: { draft, _ in draft.settings.hugePages = .required }),
    ]

    private static func setStore(_ path: String, _ option: String, _ draft: inout Draft) throws(Ending) {
        guard !path.isEmpty else { throw .usage("\(option) takes the name of a file.") }
        draft.settings.storePath = path
    }

    static let load: [Option] = [
        Option(
            "t", "threads", .required("NUM"), .load, "worker threads (default 4)",
            effect: { draft, text throws(Ending) in
                let threads = try positiveNumber(
                    text, "-t", orElse: "Number of threads must be greater than 0")
                guard threads <= 256 else { throw .badValue("-t takes at most 256 threads, not \(threads).") }
                draft.settings.threadCount = threads
                if threads > 64 {
                    draft.warn("-t \(threads) is more threads than useful: take at most one for each core.")
                }
            }),
        Option(
            "c", "conn-limit", .required("NUM"), .load, "clients at the same time (default 1024)",
            effect: { draft, text throws(Ending) in
                draft.settings.connectionLimit = try positiveNumber(
                    text, "-c", orElse: "Maximum connections must be greater than 0")
            }),
        Option(
            "R", "max-reqs-per-event", .required("NUM"), .load,
            "requests of one client before another client's turn\n(default 20)",
            effect: { draft, text throws(Ending) in
                draft.settings.requestsPerEventMax = try positiveNumber(
                    text, "-R", orElse: "Number of requests per event must be greater than 0")
            }),
    ]

    static let behaviour: [Option] = [
        Option(
            "A", "enable-shutdown", .none, .behaviour, "allow the command \"shutdown\"",
            effect: { draft, _ in draft.settings.shutdownCommandEnabled = true }),
        Option(
            "C", "disable-cas", .none, .behaviour, "no cas values",
            effect: { draft, _ in draft.settings.casEnabled = false }),
        Option(
            "F", "disable-flush-all", .none, .behaviour, "refuse the command \"flush_all\"",
            effect: { draft, _ in draft.settings.flushEnabled = false }),
        Option(
            "X", "disable-dumping", .none, .behaviour, "refuse to list keys (stats cachedump, metadump)",
            effect: { draft, _ in draft.settings.dumpEnabled = false }),
        Option(
            "W", "disable-watch", .none, .behaviour, "refuse the command \"watch\"",
            effect: { draft, _ in draft.settings.watchEnabled = false }),
        Option(
            "S", "enable-sasl", .none, .behaviour,
            "clients must log in by SASL, over the binary protocol,\nas users of -Y or of the SASL library (libsasl2)",
            effect: { draft, _ in draft.settings.saslEnabled = true }),
        Option(
            "Y", "auth-file", .required("FILE"), .behaviour,
            "clients must log in; FILE has lines name:password and\nis read again on SIGHUP",
            effect: { draft, text in draft.settings.userFilePath = text }),
        Option(
            "Z", "enable-ssl", .none, .behaviour,
            "TLS on every TCP listener except -l notls:ADDR;\nneeds -o ssl_chain_cert=FILE,ssl_key=FILE",
            effect: { draft, _ in draft.settings.tlsEnabled = true }),
        Option(
            "D", "detail-delimiter", .required("CHAR"), .behaviour,
            "end of a key's prefix in \"stats detail\", which this\nturns on (default :)",
            effect: { draft, text throws(Ending) in
                guard let delimiter = text.utf8.first else { throw .badValue("No delimiter specified") }
                draft.settings.prefixDelimiter = delimiter
                draft.settings.detailEnabled = true
            }),
        Option(
            "o", "extended", .required("NAME[=VALUE],..."), .behaviour,
            "idle_timeout=SECONDS, no_maxconns_fast, hashpower=N,\nsize_aware, no_hugepages, ssl_...;\nall of memcached's are accepted",
            effect: { draft, text throws(Ending) in try applyExtendedOptions(text, to: &draft) }),
    ]
}
