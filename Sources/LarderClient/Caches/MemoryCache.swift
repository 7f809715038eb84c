import LarderStore
import Synchronization

/// A cache in this process's memory: a store of its own, of bounded size.
///
/// An expired value is never returned. Values that expire together lie together, so their memory becomes free together
/// while the cache is in use. A key that is stored again has the expiry of its new value. When the memory is full, the
/// cache evicts the values that are used least.
public final class MemoryCache: Cache {
    /// One session under a lock rather than an actor: an operation is short and does not wait, so callers rarely meet
    /// at the lock, and a call needs no suspension. The session is for one thread at a time.
    private let session: Mutex<LockedSession>
    private let store: Store
    private let clock: CacheClock

    /// Makes an empty cache.
    /// - Parameters:
    ///   - memoryBytes: all that the cache may take, its tables included; taken as it fills.
    ///   - itemBytesMax: the largest value, key included.
    ///   - buckets: over how many time buckets values of one age are spread, about: 4 to 1024.
    ///   - bucketInterval: how long the memory of what has ended may stay taken while the cache is in use.
    ///   - clock: the time.
    /// - Throws: `CacheError` with the code `badConfiguration` when there cannot be such a store.
    public convenience init(
        memoryBytes: Int = 64 << 20, itemBytesMax: Int = 1 << 20, buckets: Int = 60,
        bucketInterval: Duration = .seconds(15), clock: CacheClock = .system
    ) throws(CacheError) {
        var configuration = StoreConfiguration(
            memoryBytes: memoryBytes, itemBytesMax: itemBytesMax,
            bucketIntervalMilliseconds: bucketInterval.wholeMilliseconds)
        configuration.buckets = min(max(4, buckets), 1024)
        try self.init(configuration, clock: clock)
    }

    init(_ configuration: StoreConfiguration, clock: CacheClock) throws(CacheError) {
        do {
            store = try Store(configuration)
            session = Mutex(LockedSession(try store.makeSession()))
        } catch {
            throw CacheError(.badConfiguration, "\(error)", underlying: error)
        }
        self.clock = clock
    }

    /// Values that are held, those among them that have ended and whose memory was not given back yet.
    public var itemCount: Int { Int(clamping: store.statistics.counters.items) }

    // MARK: Cache

    public func values(of keys: [String], namespace: String?) throws(CacheError) -> [String: EncodedValue] {
        var found: [String: EncodedValue] = [:]
        for key in keys {
            found[key] = try turn(key) { turn in
                turn.find().map {
                    turn.session.markUsed($0, now: turn.now)
                    return EncodedValue($0)
                }
            }
        }
        return found
    }

    // Async, so that nobody who names the type gets the protocol's own instead.
    public func timedValue(of key: String, namespace: String?) async throws(CacheError) -> Timed<EncodedValue>? {
        try turn(key) { turn in
            turn.find().map { item in
                turn.session.markUsed(item, now: turn.now)
                let end = turn.session.expiry(of: item)
                let left = TimeLeft.limited(.milliseconds(end == .max ? 0 : end - turn.now))
                return Timed(EncodedValue(item), left: end == .max ? .unlimited : left)
            }
        }
    }

    public func store(
        _ mode: StoreMode, _ values: [String: EncodedValue], expiration: Expiration, namespace: String?
    ) throws(CacheError) -> [String] {
        var failed: [String] = []
        for (key, value) in values {
            let outcome = try turn(key) { $0.store(mode.writeMode, value, $0.end(expiration)).outcome }
            if outcome != .stored { failed.append(key) }
        }
        return failed
    }

    public func remove(_ keys: [String], namespace: String?) throws(CacheError) -> Set<String> {
        var removed: Set<String> = []
        for key in keys {
            let hadValue = try turn(key) { turn in
                // Without a value there may be a lease, which a delete ends too.
                let isFound = turn.find() != nil
                return turn.session.delete(turn.key, now: turn.now) == .stored && isFound
            }
            if hadValue { removed.insert(key) }
        }
        return removed
    }

    public func count(
        _ delta: Int64, key: String, initial: UInt64?, expiration: Expiration, namespace: String?
    ) throws(CacheError) -> UInt64? {
        enum Outcome {
            case number(UInt64)
            case missing, notANumber
        }
        let outcome = try turn(key) { turn -> Outcome in
            guard let item = turn.find() else {
                guard let initial else { return .missing }
                let value = initial.encoded
                return turn.store(.set, value, turn.end(expiration)).outcome == .stored
                    ? .number(initial) : .missing
            }
            var value = EncodedValue(item)
            guard let number = DecimalNumber.parse(value.bytes, as: UInt64.self) else { return .notANumber }
            let sum = DecimalNumber.adding(delta, to: number)
            value.bytes = Array(String(sum).utf8)
            // One session under a lock: nobody comes between the look and this.
            let expiry = turn.session.expiry(of: item)
            return turn.store(.set, value, expiry).outcome == .stored ? .number(sum) : .missing
        }
        switch outcome {
        case .number(let number): return number
        case .missing: return nil
        case .notANumber: throw .notANumber(key)
        }
    }

    public func touch(_ key: String, expiration: Expiration, namespace: String?) throws(CacheError) -> Bool {
        try turn(key) { turn in
            turn.find() != nil
                && turn.session.touch(turn.key, expiry: turn.end(expiration), now: turn.now) == .stored
        }
    }

    public func flushAll() -> Bool {
        let now = clock.now()
        session.withLock { locked in
            locked.session.begin(now: now)
            locked.session.flush()
            locked.session.end()
        }
        return true
    }

    // MARK: Leases

    // Async, so that nobody who names the type gets the protocol's own instead.

    public func lease(_ key: String, duration: Duration, namespace: String?) async throws(CacheError)
        -> Lease<EncodedValue>
    {
        try turn(key) { turn in
            if let item = turn.find() { return .found(EncodedValue(item)) }
            let made = turn.session.vivify(
                turn.key, expiry: turn.end(.after(max(duration, .seconds(1)))), newCas: nil,
                keyIsBinary: false,
                isFetched: false, now: turn.now)
            return made.outcome == .stored ? .won(LeaseTicket(made.cas)) : .lost
        }
    }

    public func fulfil(
        _ ticket: LeaseTicket, _ key: String, _ value: EncodedValue, expiration: Expiration,
        namespace: String?
    ) async throws(CacheError) -> Bool {
        try turn(key) {
            $0.store(.compareAndSwap, value, $0.end(expiration), cas: ticket.number).outcome == .stored
        }
    }

    public func abandon(_ ticket: LeaseTicket, _ key: String, namespace: String?) async throws(CacheError) {
        _ = try turn(key) { $0.session.delete($0.key, cas: ticket.number, now: $0.now) }
    }

    /// Does one thing with one key, as a turn of the session's.
    private func turn<Result: Sendable>(
        _ key: String, _ body: (borrowing MemoryTurn) -> Result
    ) throws(CacheError) -> Result {
        let now = clock.now()
        var bytes = key
        let result = bytes.withUTF8 { bytes -> Result? in
            guard let start = bytes.baseAddress, (1...250).contains(bytes.count) else { return nil }
            return session.withLock { locked in
                locked.session.begin(now: now)
                defer { locked.session.end() }
                let key = locked.session.hashed(start, length: bytes.count)
                // SAFETY: the turn does not outlive the call, and the key's bytes stay until then.
                return withUnsafePointer(to: locked) { body(MemoryTurn($0, key, now: now)) }
            }
        }
        guard let result else { throw .badKey(key) }
        return result
    }
}

/// SAFETY: `@unchecked Sendable` because it is reached through the cache's lock only.
private struct LockedSession: ~Copyable, @unchecked Sendable {
    let session: Session
    init(_ session: consuming Session) { self.session = session }
}

/// One key in one turn of a session.
private struct MemoryTurn: ~Copyable {
    private let pointer: UnsafePointer<LockedSession>
    let key: HashedKey
    let now: Int64

    init(_ session: UnsafePointer<LockedSession>, _ key: HashedKey, now: Int64) {
        pointer = session
        self.key = key
        self.now = now
    }

    /// SAFETY: `turn` keeps the session there for as long as this.
    var session: Session { _read { yield pointer.pointee.session } }

    func end(_ expiration: Expiration) -> Int64 {
        guard expiration == .kept, let item = find() else { return expiration.milliseconds(now: now) }
        return session.expiry(of: item)
    }

    /// The live item, unless it stands for a lease only.
    func find() -> Item? {
        guard let item = session.find(key, now: now), !item.isWinSent || item.valueLength > 0 else {
            return nil
        }
        return item
    }

    func store(_ mode: WriteMode, _ value: EncodedValue, _ expiry: Int64, cas: UInt64 = 0) -> StoreResult {
        value.bytes.withUnsafeBytes { bytes in
            // An empty array has no address, and no byte is read.
            session.store(
                mode, key, value: bytes.baseAddress ?? key.bytes, valueLength: bytes.count,
                clientFlags: value.flags, expiry: expiry, cas: cas, now: now)
        }
    }
}

extension StoreMode {
    fileprivate var writeMode: WriteMode {
        switch self {
        case .set: .set
        case .add: .add
        case .replace: .replace
        }
    }
}

extension EncodedValue {
    /// A copy of an item's value.
    fileprivate init(_ item: Item) {
        self.init(
            bytes: [UInt8](UnsafeRawBufferPointer(start: item.value, count: item.valueLength)),
            flags: item.clientFlags)
    }
}
