import CLarderSystem
import Glibc
import LarderStore
import LarderWire
import Synchronization

/// What all workers of a server share.
package final class ServerState: Sendable {
    let settings: Settings
    /// The caches, the main port's first.
    package let caches: [ServedCache]
    let connectionLimit: ConnectionLimit
    let clock: ServerClock
    /// What tests move the clock with; nil: nobody may.
    let clockShift: ClockShift?
    let access: Access
    let loginThrottle = LoginThrottle()
    /// Clients closed because they did not log in in time.
    let loginTimeouts = Atomic(0)
    /// `-v` level, which the `verbosity` command changes.
    let verbosity: Atomic<Int>
    /// `-o idle_timeout` and `-o login_timeout`, which SIGHUP changes.
    let idleTimeoutSeconds: Atomic<Int>
    let loginTimeoutSeconds: Atomic<Int>
    /// Bytes of half-sent values and long lines that the workers hold, and how many they may: beyond
    /// that the client of a worker that has been silent longest goes.
    let heldBytes = Atomic(0)
    let heldBytesMax: Int
    /// Bytes outside the arena that unread answers hold, of all workers, and the limit. Above the limit a worker closes
    /// its client that has read nothing for longest.
    let unreadBytes = Atomic(0)
    let unreadBytesMax: Int
    /// The longest key of all caches.
    let keyBytesMax: Int
    /// Clients closed because they did not read.
    let unreadClosed = Atomic(0)
    /// Clients closed because half-sent requests held too much memory.
    let droppedForMemory = Atomic(0)
    /// Clients closed because a half-sent request stood still.
    let droppedAsStalled = Atomic(0)
    /// Connections that were closed because of their first bytes, for each `ForeignProtocol`.
    let foreignConnections = Mutex(Array(repeating: 0, count: ForeignProtocol.allCases.count))
    /// How long requests took, of each worker by its number; empty without `--admin`.
    let durations: [CommandDurations]
    /// `stats hotkeys`
    let hotKeys: HotKeys
    let spareBody: SpareBody
    /// What each descriptor is doing.
    let connectionTable: ConnectionTable
    /// Who watches.
    let watchers = Watchers()
    /// Settings that commands change.
    let tunables: Mutex<TunableSettings>
    /// `stats detail`
    let detail: PrefixStatistics
    /// Set once; who is to stop the server when a `shutdown` command asks for it.
    let stopRequest = Mutex<(@Sendable () -> Void)?>(nil)

    /// Why the server must not serve. Set once, before the server is asked to stop.
    let startFailure = Mutex<StartupError?>(nil)

    /// Set while the server runs, if it has a listener for the uwsgi protocol.
    let dumpGiver = Mutex<DumpGiver?>(nil)

    /// - Parameters:
    ///   - shift: moves the clock; nil: a command may where the settings allow it.
    ///   - predecessor: whose stores this server takes over later.
    init(
        _ settings: Settings, clock: ServerClock = ServerClock(), shift given: ClockShift? = nil, access: Access,
        defersRecovery: Bool = false, syncs: [CacheSync] = [], predecessor: Predecessor? = nil
    ) throws {
        self.settings = settings
        let shift = given ?? (settings.allowsDebugging ? ClockShift() : nil)
        clockShift = shift
        self.clock = clock.shifted(by: shift)
        self.access = access
        var caches: [ServedCache] = []
        for (number, cache) in settings.orderedCaches.enumerated() {
            let replica = try CacheReplica.of(cache)
            do throws(StoreError) {
                caches.append(
                    try ServedCache(
                        cache, server: settings, openedAtMilliseconds: clock.startMilliseconds,
                        defersRecovery: defersRecovery, sync: syncs.first { $0.cacheName == cache.name },
                        replica: replica, arena: predecessor?.arena(of: number)))
            } catch {
                guard cache.name != CacheSettings.defaultName else { throw error }
                throw StartupError.cacheStore(cache: cache.name, error)
            }
        }
        self.caches = caches
        for cache in caches { cache.store.noteClock(StoreClock(offsetMilliseconds: clock.offsetMilliseconds)) }
        let largest = caches.reduce(0) { max($0, $1.sizeMax) }
        heldBytesMax = settings.automaticMemory?.clientBytesMax ?? max(AutomaticMemory.clientBytesUsual, 2 * largest)
        unreadBytesMax = heldBytesMax
        keyBytesMax = caches.reduce(0) { max($0, $1.settings.itemKeyBytesMax) }
        durations = settings.admin == nil ? [] : (0..<settings.threadCount).map { _ in CommandDurations() }
        let hotKeys = HotKeys(workerCount: settings.threadCount)
        self.hotKeys = hotKeys
        if settings.showsHotKeys { hotKeys.begin(now: clock.startMilliseconds) }
        spareBody = SpareBody(memoryLimitBytes: settings.memoryLimitBytes)
        connectionLimit = ConnectionLimit(maximum: settings.connectionLimit)
        let descriptorCount = min(ResourceLimits.openFiles(for: settings) + 256, 1 << 24)
        guard let table = ConnectionTable(count: descriptorCount) else {
            throw StoreError.mappingFailed(bytes: descriptorCount * 8, errno: ENOMEM)
        }
        connectionTable = table
        tunables = Mutex(settings.tunables)
        verbosity = Atomic(settings.verbosity)
        idleTimeoutSeconds = Atomic(settings.idleTimeoutSeconds)
        loginTimeoutSeconds = Atomic(settings.loginTimeoutSeconds)
        detail = PrefixStatistics(isEnabled: settings.detailEnabled, delimiter: settings.prefixDelimiter)
    }

    // A program may start and stop many servers inside its process, as tests do.
    deinit {
        connectionTable.deallocate()
        for each in durations { each.deallocate() }
    }

    /// How often the upkeep has to be looked after, where once a second is not enough.
    var maintenanceMilliseconds: Int? {
        let shortest = caches.map(\.settings.bucketIntervalSeconds).min() ?? 15
        return shortest < 4 ? shortest * 1000 / 8 : nil
    }

    /// The number of the cache that is called so, in bytes from outside.
    func cacheNumber(named name: UnsafeRawBufferPointer) -> Int? {
        caches.firstIndex { cache in
            var text = cache.settings.name
            return text.withUTF8 { UnsafeRawBufferPointer($0).elementsEqual(name) }
        }
    }

    /// The cache of a uwsgi packet that names none: the first one of the command line.
    var firstCacheNumber: Int { settings.caches.first.map { $0.name == CacheSettings.defaultName ? 0 : 1 } ?? 0 }

    /// Whether every store has found what its file held.
    var isReady: Bool { caches.allSatisfy(\.isReady) }

    func requestStop() {
        let request = stopRequest.withLock { $0 }
        request?()
    }
}
