package import LarderTLS

/// What the command line decided, as plain values. `larder` fills it; the server only reads it.
/// Defaults are memcached's, but for the address: without `-l` Larder listens on loopback only.
package struct Settings: Sendable {
    /// What the clients of a listener speak: `-B`, or `proto[...]:` before an address of `-l`.
    package enum BindingProtocol: Sendable, Equatable {
        /// The first byte of a connection tells.
        case negotiating
        case ascii
        case binary
        /// `--uwsgi`: uWSGI's packets for caches.
        case uwsgi

        /// memcached's word for it.
        var name: String {
            switch self {
            case .negotiating: "auto-negotiating"
            case .ascii: "ascii"
            case .binary: "binary"
            case .uwsgi: "uwsgi"
            }
        }
    }

    /// Whether the clients of a listener speak TLS, and with what of their own: `notls:`, `btls:` or `mtls:`
    /// before an address of `-l`.
    package enum Encryption: Sendable, Equatable {
        /// TLS, with client certificates as `ssl_verify_mode` says.
        case asConfigured
        case off
        case withoutClientCertificate
        case withClientCertificate
    }

    /// One TCP address to listen on: what `-l` named, not yet looked up. The host may be a name, an IPv4 or
    /// an IPv6 address (without brackets), or `*` for every address of both families.
    package struct ListenAddress: Sendable, Equatable {
        package var host: String
        /// nil: the port of `-p`. 0 and -1: any free port.
        package var port: Int?
        /// nil: that of `-B`.
        package var bindingProtocol: BindingProtocol?
        /// Without `-Z` there is no TLS, whatever this says.
        package var encryption = Encryption.asConfigured
        package init(host: String, port: Int? = nil, bindingProtocol: BindingProtocol? = nil) {
            self.host = host
            self.port = port
            self.bindingProtocol = bindingProtocol
        }
    }

    /// Where the admin listener listens.
    package struct AdminAddress: Sendable, Equatable {
        /// nil: this machine only.
        package var host: String?
        /// -1: any free one.
        package var port: Int
        /// As given, for messages.
        package var text: String
        /// The server starts without it if it cannot listen there.
        package var mayBeMissing = false
    }

    /// `-p`: 0 off, -1 any free port.
    package var tcpPort = 11211
    /// `-U`: 0 off, -1 any free port.
    package var udpPort = 0
    /// `--udp-unsafe`: answers over UDP may be larger than their requests on any address.
    package var udpIsUnsafe = false
    /// `-l`; empty: loopback, IPv4 and IPv6 (IPv6 only where the host has it).
    package var listenAddresses: [ListenAddress] = []
    /// `--admin`: the address of metrics, health and the console over HTTP; nil: none.
    package var admin: AdminAddress?
    /// `-l` as given, several joined by commas, for `stats settings`; nil without `-l`.
    package var interfaces: String?
    /// `-B`
    package var bindingProtocol = BindingProtocol.negotiating
    /// `-S`: SASL before anything else, over the binary protocol only.
    package var saslEnabled = false
    /// Whether the SASL library has the users of `-S`. It has, unless a setting names users.
    var usesSASLLibrary: Bool { saslEnabled && userFilePath == nil && userEntry == nil }
    /// Listening sockets of the service manager, in place of those of `-l`, `-p` and `-s`.
    package var inheritedSockets: [InheritedSocket] = []
    /// Memory that an earlier process has left with the service manager, by the name there.
    var keptMemories: [String: Int32] = [:]
    /// `-s`: when set, there is no TCP listener.
    package var unixSocketPath: String?
    /// `-a`: octal mode bits of the socket file.
    package var unixSocketMask: UInt32 = 0o700
    /// `-m`, in bytes.
    package var memoryLimitBytes = 64 << 20
    /// The sum of `-m auto`; nil: `-m` is a number.
    var automaticMemory: AutomaticMemory?
    /// The largest arena that a store takes.
    static let memoryLimitBytesMax = 1 << 38
    /// `-e`, `--store`: the file that the items lie in; nil: memory only.
    package var storePath: String?
    /// `-I`, in bytes.
    package var maxItemSizeBytes = 1 << 20
    /// `-M` turns this off: a full store answers an error.
    package var evictions = true
    /// `-o size_aware`: eviction weighs uses against size.
    package var isSizeAware = false
    /// `-c`: clients at the same time.
    package var connectionLimit = 1024
    /// `-t`
    package var threadCount = 4
    /// `-b`
    package var listenBacklog = 1024
    /// `-R`: requests of one connection before the others have their turn.
    package var requestsPerEventMax = 20
    /// `-C` turns this off: no cas values.
    package var casEnabled = true
    /// `-F` turns this off.
    package var flushEnabled = true
    /// `-A`
    package var shutdownCommandEnabled = false
    /// `-X` turns this off.
    package var dumpEnabled = true
    /// `-W` turns this off: no `watch`.
    package var watchEnabled = true
    /// `-v` given this many times.
    package var verbosity = 0
    /// `--log-format`
    package var logFormat = LogFormat.text
    /// `-o idle_timeout`, seconds; 0 off.
    package var idleTimeoutSeconds = 0
    /// `-o login_timeout`: seconds that a client has to log in, if the server asks for it; 0: no limit.
    package var loginTimeoutSeconds = 10
    /// `-o no_maxconns_fast` turns this off: the listeners pause instead of refusing.
    package var refusesConnectionsOverLimit = true
    /// `-d`, `-P`, `-u`, `-r`, `-k`
    package var daemonizes = false
    /// `--takeover`: the socket where a server waits for the one that takes over from it; nil: none.
    package var takeoverPath: String?
    /// `--keep-memory`: the service manager keeps the memory of caches without a file while the server restarts.
    package var keepsMemory = false
    /// The directory in which the program was started.
    var startDirectory: String?
    package var pidFilePath: String?
    package var userName: String?
    package var raisesCoreLimit = false
    package var locksMemory = false
    /// `-Z`
    package var tlsEnabled = false
    /// `-o ssl_...`
    package var tls = TLSConfiguration()
    /// `-o ssl_wbuf_size`, in bytes: what is gathered for one TLS record.
    package var tlsWriteBufferBytes = 16 << 10
    /// `-Y`: the file of names and passwords.
    package var userFilePath: String?
    package var userFileForm = UserFileForm.lines
    /// `name:password` of the one user of MEMCACHED_PASSWORD; `-Y` takes precedence.
    var userEntry: String?
    var userEntrySource: OptionSource?
    /// Whether the memory of caches asks for large pages.
    package var hugePages = HugePageUse.whereThereAre
    /// `-D`: the character that ends a key's prefix in `stats detail`.
    package var prefixDelimiter: UInt8 = UInt8(ascii: ":")
    package var detailEnabled = false
    /// Options that Larder accepts for memcached's sake; `stats settings` shows them as given.
    package var tunables = TunableSettings()
    /// `-o no_lru_crawler` turns this off: no dumps of keys and no crawls, until a command turns it on.
    package var crawlerIsEnabled = true
    /// `-o watcher_logbuf_size`: bytes of events that wait for a slow watcher.
    package var watcherBufferBytes = 256 << 10
    /// `-o worker_logbuf_size`: bytes of events that a worker gathers before it hands them on.
    package var workerLogBytes = 64 << 10
    package var tailRepairSeconds = 0
    /// `-o no_slab_reassign`, `-o no_lru_maintainer`: `stats` leaves out what memcached then leaves out.
    package var showsSlabMover = true
    package var showsMaintainer = true
    /// `-o relaxed_privileges`, which is for memcached's own tests: commands for debugging.
    package var allowsDebugging = false
    /// The seed of the stores' hashes; nil: a new seed at each start. There is no option for it: tests use it to repeat
    /// a run.
    package var hashSeed: UInt64?
    /// `-o temporary_ttl`; nil: not given.
    package var temporaryTTL: Int?
    package var readBufferLimitBytes = 0
    /// `-o track_sizes`: `stats sizes` answers.
    package var tracksSizes = false
    /// `-o hot_keys`: `stats hotkeys` is on from the start, and `/metrics` has the keys.
    package var showsHotKeys = false
    package var growthFactor = 1.25
    package var chunkSizeBytes = 48
    package var hashPowerInit = 0
    package var slabChunkMaxBytes = 512 << 10
    package var slabChunkIsGiven = false
    /// `--cache`, in their order. One called `default` is the main port's.
    package var caches: [CacheSettings] = []
    /// `--uwsgi`: where uWSGI's packets for caches are served.
    package var uwsgiPlaces: [CacheSettings.Place] = []
    /// `--stats`: the addresses of uWSGI's statistics.
    package var statisticsPlaces: [CacheSettings.Place] = []
    /// `--uwsgi-open`: the network is trusted, so these listeners need neither loopback nor a login.
    package var uwsgiIsOpen = false
    /// `--key-route`: on the main port a key may name its cache.
    package var routesKeys = false
    /// The options as they were given, in the order of their effects.
    var given: [GivenOption] = []
    /// `--config`; nil: none.
    package var configurationPath: String?
    /// Whether a file has some of the settings, so that SIGHUP reads all settings again.
    var readsFilesAgain = false
    /// The paths before they were made absolute; nil: they were not changed.
    var givenPaths: GivenPaths?

    package init() {}

    /// The caches there are, the main port's first: the one that is called `default`, or one of
    /// memcached's kind, so that a cache that is added changes nothing for those who were there before.
    package var orderedCaches: [CacheSettings] {
        let name = CacheSettings.defaultName
        let main = caches.first { $0.name == name } ?? CacheSettings(name: name)
        return [main] + caches.filter { $0.name != name }
    }
}

/// Settings of memcached's machinery that its commands change. Larder has no use for them but the
/// limit of a crawl; `stats settings` shows them as they were set.
package struct TunableSettings: Sendable {
    /// `lru_crawler sleep`
    var crawlerSleepMicroseconds: UInt32 = 100
    /// `lru_crawler tocrawl`: items that a crawl looks at; 0: all.
    var crawlerItemsMax: UInt32 = 0
    /// `lru tune`
    var hotPercent: UInt32 = 20
    var warmPercent: UInt32 = 40
    var hotFactor = 0.2
    var warmFactor = 2.0
    /// `slabs automove`. There are no classes to move pages between: off.
    var automoveLevel: UInt32 = 0
    var automoveRatio = 0.8
    var automoveFreeRatio = 0.01
    var automoveWindow: UInt32 = 10
}
