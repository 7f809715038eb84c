/// How a setting looks in `--check-config`, and in the log when SIGHUP changes it.
enum SettingView: Sendable {
    /// One value; nil: there is none.
    case value(@Sendable (Settings) -> String?)
    case isOn(@Sendable (Settings) -> Bool)
    /// The values as they were given, and the text for a setting that was not given.
    case asGiven(otherwise: String)
    /// Another name for the setting of this name.
    case alias(String)

    /// By the option's long name.
    static let all: [String: SettingView] = Dictionary(
        uniqueKeysWithValues: listening + memory + load + behaviour + others)

    private static let listening: [(String, SettingView)] = [
        ("port", .value { "\($0.tcpPort)" }),
        ("udp-port", .value { "\($0.udpPort)" }),
        ("udp-unsafe", .isOn { $0.udpIsUnsafe }),
        ("listen", .asGiven(otherwise: "this machine only")),
        ("uwsgi", .asGiven(otherwise: "none")),
        ("stats", .asGiven(otherwise: "none")),
        ("uwsgi-open", .isOn { $0.uwsgiIsOpen }),
        ("unix-socket", .value { $0.unixSocketPath }),
        ("unix-mask", .value { String($0.unixSocketMask, radix: 8) }),
        ("listen-backlog", .value { "\($0.listenBacklog)" }),
        ("admin", .value { $0.admin?.text }),
        ("protocol", .value { $0.bindingProtocol == .negotiating ? "auto" : $0.bindingProtocol.name }),
    ]

    private static let memory: [(String, SettingView)] = [
        ("memory-limit", .value { "\($0.memoryLimitBytes >> 20)" }),
        ("max-item-size", .value { "\($0.maxItemSizeBytes)" }),
        ("memory-file", .value { $0.storePath }),
        ("store", .alias("memory-file")),
        ("disable-evictions", .isOn { !$0.evictions }),
        ("lock-memory", .isOn { $0.locksMemory }),
        (
            "enable-largepages",
            .isOn {
                if case .required = $0.hugePages { return true }
                return false
            }
        ),
    ]

    private static let load: [(String, SettingView)] = [
        ("threads", .value { "\($0.threadCount)" }),
        ("conn-limit", .value { "\($0.connectionLimit)" }),
        ("max-reqs-per-event", .value { "\($0.requestsPerEventMax)" }),
    ]

    private static let behaviour: [(String, SettingView)] = [
        ("enable-shutdown", .isOn { $0.shutdownCommandEnabled }),
        ("disable-cas", .isOn { !$0.casEnabled }),
        ("disable-flush-all", .isOn { !$0.flushEnabled }),
        ("disable-dumping", .isOn { !$0.dumpEnabled }),
        ("disable-watch", .isOn { !$0.watchEnabled }),
        ("enable-sasl", .isOn { $0.saslEnabled }),
        ("auth-file", .value { $0.userFilePath }),
        ("enable-ssl", .isOn { $0.tlsEnabled }),
        (
            "detail-delimiter",
            .value { $0.detailEnabled ? String(decoding: [$0.prefixDelimiter], as: UTF8.self) : nil }
        ),
        ("extended", .asGiven(otherwise: "none")),
    ]

    private static let others: [(String, SettingView)] = [
        ("cache", .asGiven(otherwise: "none")),
        ("cache2", .alias("cache")),
        ("key-route", .isOn { $0.routesKeys }),
        ("compat", .asGiven(otherwise: "off")),
        ("verbose", .value { "\(min($0.verbosity, GivenOptions.levelMax))" }),
        ("log-format", .value { $0.logFormat.rawValue }),
        ("daemon", .isOn { $0.daemonizes }),
        ("pidfile", .value { $0.pidFilePath }),
        ("takeover", .value { $0.takeoverPath }),
        ("keep-memory", .isOn { $0.keepsMemory }),
        ("user", .value { $0.userName }),
        ("enable-coredumps", .isOn { $0.raisesCoreLimit }),
        ("slab-growth-factor", .asGiven(otherwise: "1.25")),
        ("slab-min-size", .asGiven(otherwise: "48")),
        ("napi-ids", .asGiven(otherwise: "none")),
    ]

    /// Default values of names behind `-o`.
    static let extendedDefaults: [(name: String, value: String)] = [
        ("idle_timeout", "0"), ("login_timeout", "10"), ("watcher_logbuf_size", "256"), ("worker_logbuf_size", "64"),
    ]
}
