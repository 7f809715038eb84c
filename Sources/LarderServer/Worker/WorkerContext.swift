import LarderEventLoop
import LarderStore
import LarderWire
import Synchronization

/// One worker's own things, which nobody else touches: its sessions, its buffers, its counters, and
/// the settings that it asks for at each request.
///
/// It works on one cache at a time, whose session lies here; those of the others are parked, and
/// change places when a client of theirs, or a key of theirs, has its turn. So a request meets its
/// cache where a server of one cache would have it.
struct WorkerContext: ~Copyable {
    let number: Int
    /// The cache worked on.
    private(set) var cacheNumber = 0
    private(set) var session: Session
    private(set) var counters: Counters
    private(set) var limits: CacheLimits
    let server: Unmanaged<ServerState>
    var pool: BufferPool
    let batch = RequestBatch()
    /// Absolute milliseconds. Read at the beginning of a turn, and again for a write whose lifetime begins with it.
    private(set) var now: Int64 = 0
    /// The clock that `now` is read from.
    var clock: ServerClock
    /// `StoreDamage.count` when an answer was last checked against it.
    private(set) var damagesNoted = StoreDamage.count
    private let damageCounter = StoreDamage.counter
    /// `StoreDamage.count`
    @inline(__always)
    var damages: UInt32 { damageCounter.pointee.load(ordering: .acquiring) }
    /// This turn's `-v` level.
    var verbosity = 0
    var detailIsEnabled = false
    /// Whether anybody watches anything: `log...` wants to be called.
    var isWatched = false
    /// What is watched, and its bits as last looked up.
    var watched: WatchedStreams = []
    var watchedBits: UInt16 = 0
    /// What has happened in this turn of it.
    var log = EventLog()
    /// The crawl that this worker was asked for and has not finished.
    var crawl: Crawl?
    /// Whether a cache has nodes, to which changes are sent.
    private(set) var sendsChanges = false
    /// The keys whose states are being sent.
    var changedKeys: [UInt8] = []
    /// Flushed keys whose deletes are still to be sent to other servers.
    var flushedKeys: [FlushedKeys] = []
    /// Wakes the worker's loop; nil where there is none.
    var waker: Waker?
    let casIsEnabled: Bool
    let requestsPerEventMax: Int
    let login: LoginMethod
    let bindingProtocol: Settings.BindingProtocol
    /// Whether a key on the main port may name its cache.
    let routesKeys: Bool
    /// Whether a value was pinned that must not stay so when the turn ends.
    var hasPinnedBriefly = false
    /// Where durations are recorded; nil: nowhere.
    let durations: CommandDurations?
    /// When this turn began, in nanoseconds of the monotonic clock; 0: the turn is not timed.
    private(set) var turnBegan: Int64 = 0
    /// Turns up to the next one that is timed. Without `durations` there is no such turn.
    private var turnsUntilTimed: Int
    /// Steps up to the next one that is timed or sampled: in a timed turn the next one, otherwise one for `stats hotkeys`.
    var stepsUntilNoted = Int.max
    /// Bytes of half-sent values and long lines that this worker holds.
    var heldBytes = 0
    /// Whether a store has not yet found what its file held: then requests that need one wait.
    var waitsForStore: Bool
    /// Which steps are sampled for `stats hotkeys`.
    var sampling: KeySampling
    /// Sends the messages of the service manager's watchdog; nil: this worker sends none.
    var watchdogTimer: Timer?

    let cacheCount: Int
    private var isInTurn = false
    /// Whether this turn has used more than one cache.
    private var hasExchanged = false
    private let parked: UnsafeMutablePointer<ParkedCache>
    /// Where each cache is parked; of no meaning for the one worked on.
    private let places: UnsafeMutablePointer<Int>

    init(_ server: ServerState, number: Int) throws(StoreError) {
        self.number = number
        self.server = Unmanaged.passUnretained(server)
        let main = server.caches[0]
        // First what can fail, and the session last of it.
        let parked = try ParkedCache.all(server.caches.dropFirst(), worker: number)
        session = try main.store.makeSession()
        pool = BufferPool(
            workerCount: server.settings.threadCount, memoryLimitBytes: server.settings.memoryLimitBytes,
            spare: Unmanaged.passUnretained(server.spareBody))
        counters = main.counters[number]
        limits = CacheLimits(main)
        self.parked = parked
        waitsForStore = !server.isReady
        durations = server.durations.isEmpty ? nil : server.durations[number]
        turnsUntilTimed = server.durations.isEmpty ? Int.max : CommandDurations.interval
        sampling = KeySampling(seed: number)
        cacheCount = server.caches.count
        places = .allocate(capacity: cacheCount)
        for cache in 0..<cacheCount { (places + cache).initialize(to: cache - 1) }
        clock = server.clock
        casIsEnabled = server.settings.casEnabled
        requestsPerEventMax = server.settings.requestsPerEventMax
        login = server.settings.saslEnabled ? .sasl : server.access.authenticator == nil ? .none : .text
        bindingProtocol = server.settings.bindingProtocol
        routesKeys = server.settings.routesKeys
        sendsChanges = Self.recordChanges(main, session)
        for (place, cache) in server.caches.dropFirst().enumerated() {
            if Self.recordChanges(cache, parked[place].session) { sendsChanges = true }
        }
        if server.hotKeys.isOn { tendSampling() }
    }

    deinit {
        pool.deallocate()
        batch.deallocate()
        for place in 0..<cacheCount - 1 { (parked + place).deinitialize(count: 1) }
        parked.deallocate()
        places.deallocate()
    }

    /// Whether there is more to do for a request than to answer it: something is logged or counted for its key, or the
    /// key may name a cache, or a store is not there yet.
    private(set) var isObserved = false
    /// How many requests are taken from the input together: one while they are observed.
    private(set) var batchMax = 1
    /// How many otherwise; a test may set fewer.
    var batchMaxUnobserved = StepRoom.countMax

    /// To be called when one of what it depends on has changed.
    @inline(__always)
    mutating func noteObservation() {
        isObserved =
            verbosity > 1 || detailIsEnabled || isWatched || routesKeys || waitsForStore || limits.isReplicated
        batchMax = isObserved ? 1 : batchMaxUnobserved
    }

    /// Off the hot path: everything that is not copied into the context.
    var state: ServerState { server.takeUnretainedValue() }

    mutating func beginTurn() {
        now = clock.now()
        verbosity = server._withUnsafeGuaranteedRef { $0.verbosity.load(ordering: .relaxed) }
        detailIsEnabled = server._withUnsafeGuaranteedRef { $0.detail.isEnabled }
        if server._withUnsafeGuaranteedRef({ $0.watchers.bits }) != watchedBits { noteWatchers() }
        noteObservation()
        isInTurn = true
        turnsUntilTimed &-= 1
        if turnsUntilTimed == 0 { beginTimedTurn() }
        session.begin(now: now)
    }

    @inline(never)
    private mutating func beginTimedTurn() {
        turnsUntilTimed = CommandDurations.interval
        turnBegan = CommandDurations.now()
        sampling.stepsLeft = stepsUntilNoted
        stepsUntilNoted = 1
    }

    /// Has the countdown go on after a step that was noted.
    mutating func countToNotedStep() { stepsUntilNoted = turnBegan != 0 ? 1 : sampling.stepsLeft }

    /// Empties the stores that were found damaged. Called between turns.
    mutating func repairStores() {
        damagesNoted = StoreDamage.count
        session.repair()
        for place in 0..<cacheCount - 1 { parked[place].session.repair() }
    }

    /// A store of the process was damaged since the last answer. True when the cache worked on may be that one: then the
    /// answer may hold bytes that were never stored. Later requests of the turn find nothing in a damaged store.
    @inline(never)
    mutating func noteDamage() -> Bool {
        damagesNoted = StoreDamage.count
        return session.isInFile
    }

    /// Reads the clock again. Within a turn time never goes back.
    @inline(never)
    mutating func readClock() { now = max(now, clock.now()) }

    mutating func endTurn() {
        if isWatched { finishLog() }
        if sendsChanges { sendChanges() }
        session.end()
        isInTurn = false
        hasExchanged = false
        guard turnBegan != 0 else { return }
        turnBegan = 0
        stepsUntilNoted = sampling.stepsLeft
    }

    // MARK: Evictions, crawls

    /// Whether the sessions note what they evict.
    mutating func recordEvictions(_ records: Bool) {
        session.recordsEvictions(records)
        for place in 0..<cacheCount - 1 { parked[place].session.recordsEvictions(records) }
    }

    /// What was evicted since the last call, and how many more there were than are noted.
    mutating func takeEvictions() -> (items: [EvictedItem], dropped: Int) {
        var (items, dropped) = session.takeEvictions()
        guard hasExchanged else { return (items, dropped) }
        for place in 0..<cacheCount - 1 {
            let others = parked[place].session.takeEvictions()
            items += others.items
            dropped += others.dropped
        }
        return (items, dropped)
    }

    /// Does some of the crawl, and sees to it that the rest is done.
    mutating func continueCrawl() {
        guard var crawl else { return }
        select(crawl.cache)
        let crawler = state.caches[crawl.cache].crawler
        var isOver = crawl.step(session, now: now, crawler)
        if let waker, !isOver { waker.wake() }
        // Without a loop to come back from there is no between.
        while waker == nil, !isOver { isOver = crawl.step(session, now: now, crawler) }
        self.crawl = isOver ? nil : crawl
        if isOver { crawler.end() }
    }

    /// Selects the cache for the next requests. If it is another cache, items that were found before are no longer
    /// valid. A thread is in a section of one store at most: another thread may hold a lock of that store and wait for
    /// the section's end, and this thread could then wait for that thread in the next store.
    @inline(__always)
    mutating func select(_ cache: Int) {
        if cache != cacheNumber { exchange(for: cache) }
    }

    @inline(never)
    private mutating func exchange(for cache: Int) {
        if isInTurn {
            if sendsChanges { sendChanges() }
            session.end()
        }
        let place = places[cache]
        // Not through `self`, which a swap with one of its own has to itself.
        let other = parked + place
        swap(&session, &other.pointee.session)
        swap(&counters, &other.pointee.counters)
        swap(&limits, &other.pointee.limits)
        places[cacheNumber] = place
        cacheNumber = cache
        noteObservation()
        guard isInTurn else { return }
        hasExchanged = true
        session.begin(now: now)
    }
}

/// What a worker has of a cache that it is not working on.
private struct ParkedCache: ~Copyable {
    var session: Session
    var counters: Counters
    var limits: CacheLimits

    static func all(_ caches: ArraySlice<ServedCache>, worker: Int) throws(StoreError) -> UnsafeMutablePointer<
        ParkedCache
    > {
        let parked = UnsafeMutablePointer<ParkedCache>.allocate(capacity: caches.count)
        for (place, cache) in caches.enumerated() {
            let session = try cache.store.makeSession()
            (parked + place).initialize(
                to: ParkedCache(session: session, counters: cache.counters[worker], limits: CacheLimits(cache)))
        }
        return parked
    }
}

/// What a worker asks a cache's settings for at each request.
struct CacheLimits {
    /// The largest item or value.
    let sizeMax: Int
    /// All ones where `sizeMax` means the item, as memcached counts it; 0 where it means the value.
    let overheadMask: Int
    /// The longest key.
    let keyBytesMax: Int
    /// What `incr` starts from where there is no item; nil: it answers so.
    let mathInitial: UInt64?
    /// Whether changes go through a log.
    let isReplicated: Bool

    init(_ cache: ServedCache) {
        isReplicated = cache.replica != nil
        sizeMax = cache.sizeMax
        overheadMask = cache.settings.isMemcachedShaped ? -1 : 0
        keyBytesMax = cache.settings.itemKeyBytesMax
        mathInitial = cache.settings.mathInitial
    }
}
