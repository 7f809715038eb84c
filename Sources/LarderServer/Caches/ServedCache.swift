package import LarderStore
import Synchronization

/// One cache as the server has it: its store, its settings, and what its clients did.
package final class ServedCache: Sendable {
    package let settings: CacheSettings
    package let store: Store
    /// Counters of each worker, by its number.
    let counters: [Counters]
    /// The largest item (memcached's kind of cache) or the largest value (uWSGI's).
    let sizeMax: Int
    /// `lru_crawler`
    let crawler: Crawler
    /// The limit in bytes: `-m`, a lower one of `cache_memlimit`, or the size of all blocks.
    var contentBytesMax: Int { contentBytes.load(ordering: .relaxed) }
    private let contentBytes: Atomic<Int>
    /// Whether it drops items when full.
    let evicts: Bool
    /// Sends and receives the changes of its copies on other servers; nil without `nodes=` and `udp=`.
    let sync: CacheSync?
    /// Follows the log of `log=`; nil: the cache is not replicated.
    let replica: CacheReplica?
    /// What `stats reset` leaves out of the sums.
    let baseline = Mutex(StatisticsBaseline())

    /// - Parameters:
    ///   - defersRecovery: what the cache's file holds is found later, by `Recovery`.
    ///   - arena: the arena of another process, which the store takes over later.
    init(
        _ settings: CacheSettings, server: Settings, openedAtMilliseconds: Int64, defersRecovery: Bool,
        sync: CacheSync? = nil, replica: CacheReplica? = nil, arena: Int32? = nil
    ) throws(StoreError) {
        self.settings = settings
        self.sync = sync
        contentBytes = Atomic(
            settings.isMemcachedShaped
                ? server.memoryLimitBytes
                : settings.blocks.multipliedReportingOverflow(by: settings.blockBytes).partialValue)
        evicts =
            settings.isMemcachedShaped
            ? server.evictions && settings.logURL == nil : settings.purgesLeastRecentlyUsed
        sizeMax = settings.isMemcachedShaped ? server.maxItemSizeBytes : settings.valueBytesMax
        var configuration = Self.configuration(settings, server)
        configuration.openedAtMilliseconds = openedAtMilliseconds
        configuration.defersRecovery = defersRecovery
        configuration.arenaToTakeOver = arena
        if Self.isKept(settings, server) {
            configuration.isKept = true
            configuration.keptMemory = server.keptMemories[KeptMemory.name(ofCache: settings.name)]
        }
        store = try Store(configuration)
        self.replica = replica
        crawler = Crawler(isEnabled: server.crawlerIsEnabled)
        counters = (0..<server.threadCount).map { _ in Counters() }
    }

    // The workers have ended before the server's state is freed.
    deinit {
        for each in counters { each.deallocate() }
    }

    package var name: String { settings.name }

    /// Whether requests are answered: the items of the file were found, and a replica has been loaded once.
    var isReady: Bool { store.isReady && replica?.status.isReadable ?? true }

    /// The items that clients can name. A replica's state is an item, too.
    func itemCount(_ statistics: StoreStatistics) -> Int64 {
        statistics.counters.items - (replica?.status.isReadable == true ? 1 : 0)
    }

    /// Notes what `cache_memlimit` has set.
    func noteLimit(bytes: Int) { contentBytes.store(bytes, ordering: .relaxed) }

    /// Says once that the cache is full, unless nobody wants to know. Called by the main thread now and
    /// then, so that no request waits for the log.
    func reportIfFull() {
        guard !settings.isMemcachedShaped, !settings.ignoresFull, !hasReportedFull.load(ordering: .relaxed),
            let use = store.statistics.limitUse, use.full > 0
        else { return }
        hasReportedFull.store(true, ordering: .relaxed)
        StandardError.write(
            "cache \"\(name)\" is full (\(use.items) items of \(settings.itemsMax), \(use.blocks) blocks of "
                + "\(settings.blocks)): it \(settings.whenFull)", .warning)
    }
    private let hasReportedFull = Atomic(false)

    /// Logs that the cache was emptied because its file was changed. Called once a second.
    func reportDamage() {
        let report = store.damageReport
        let before = damagesReported.exchange(report.count, ordering: .relaxed)
        guard report.count > before, let path = store.fileStatistics?.path else { return }
        let cause =
            switch report.cause {
            case .missingPages: "\(path) was truncated, or its disk fails"
            case .lockedForEver, .fileChanged, nil: "\(path) was changed by another program"
            }
        StandardError.write(
            "larder: \(cause): cache \(settings.name) dropped its \(report.itemsLost) items, and goes on in memory only."
                + " Restart the server to use a file again", .error)
    }
    private let damagesReported = Atomic(0)

    /// The sum of a counter over all workers, since the start or the last `stats reset`.
    func total(_ counter: Counter) -> Int64 {
        let sum = counters.reduce(Int64(0)) { $0 &+ $1.value(counter) }
        return sum &- baseline.withLock { $0.counters[counter.rawValue] }
    }

    static func configuration(_ cache: CacheSettings, _ server: Settings) -> StoreConfiguration {
        var configuration = arena(cache, server)
        configuration.filePath = filePath(cache, server)
        configuration.buckets = cache.buckets
        configuration.hashSeed = server.hashSeed
        configuration.fileSyncSeconds = cache.storeSyncSeconds
        configuration.deletesBadFile = cache.deletesWrongStore
        configuration.isTransferable = server.takeoverPath != nil
        configuration.usesHugePages = server.hugePages != .never
        return configuration
    }

    private static func filePath(_ cache: CacheSettings, _ server: Settings) -> String? {
        givenPath(cache, server) ?? (server.keepsMemory ? KeptMemory.text : nil)
    }

    private static func givenPath(_ cache: CacheSettings, _ server: Settings) -> String? {
        cache.storePath ?? (cache.name == CacheSettings.defaultName ? server.storePath : nil)
    }

    /// Whether the service manager keeps the cache's memory.
    private static func isKept(_ cache: CacheSettings, _ server: Settings) -> Bool {
        server.keepsMemory && givenPath(cache, server) == nil
    }

    private static func arena(_ cache: CacheSettings, _ server: Settings) -> StoreConfiguration {
        let interval = Int64(cache.bucketIntervalSeconds) * 1000
        guard !cache.isMemcachedShaped else {
            return StoreConfiguration(
                memoryBytes: server.memoryLimitBytes, itemBytesMax: server.maxItemSizeBytes,
                evicts: server.evictions && cache.logURL == nil, isSizeAware: server.isSizeAware,
                bucketIntervalMilliseconds: interval,
                sessionsExpected: server.threadCount)
        }
        // The thread that loads another server's items has a session of its own.
        let sessions = server.threadCount + (cache.copiedPlaces.isEmpty ? 0 : 1)
        let keyBytes = StoreSize.keyBytes(of: cache, isInFile: filePath(cache, server) != nil)
        let arena = StoreSize.arena(cache, keyBytes: keyBytes, sessions: sessions)
        var configuration = StoreConfiguration(
            memoryBytes: arena.bytes, slabBytes: arena.slabBytes,
            itemBytesMax: cache.valueBytesMax + cache.keyBytesMax + headerBytesMax, evicts: false,
            bucketIntervalMilliseconds: interval, sessionsExpected: sessions)
        configuration.limits = limits(cache)
        configuration.keepsExpired = cache.keepsExpired
        return configuration
    }

    private static func limits(_ cache: CacheSettings) -> StoreLimits {
        var limits = StoreLimits(
            itemsMax: cache.itemsMax, blockBytes: cache.blockBytes, blocksMax: cache.blocks,
            isBitmap: cache.isBitmap, valueBytesMax: cache.valueBytesMax, keyBytesMax: cache.keyBytesMax)
        limits.purgesLeastRecentlyUsed = cache.purgesLeastRecentlyUsed
        limits.sweepOnFullMilliseconds = Int64(cache.sweepOnFullSeconds) * 1000
        limits.clearsOnFull = cache.clearsOnFull
        limits.notesLastModified = cache.notesLastModified
        limits.dropsItemsBeyond = cache.shrinks
        return limits
    }

    private static let headerBytesMax = 512
}
