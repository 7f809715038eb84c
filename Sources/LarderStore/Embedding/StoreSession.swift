// SAFETY: the bytes of a span are used within the call that lends them. An item is used between `begin` and `end`, and
// nothing is stored in between, since the methods are mutating: a body cannot use its own session.

/// What a write did.
public enum WriteOutcome: Hashable, Sendable {
    /// The value is in the store.
    case stored
    /// `add` stored nothing, because the key has a value.
    case alreadyThere
    /// Nothing was stored, because the key has more than `StoreSession.keyBytesMax` bytes, or the item more than
    /// `StoreOptions.itemBytesMax`. An older value of the key was removed.
    case tooLarge
    /// Nothing was stored, because the store is full and may not evict, or cannot evict enough. An older value of the
    /// key was removed.
    case noMemory
    /// Nothing was stored, because the key is empty.
    case emptyKey
}

/// A thread's access to a store. `Store.session()` opens one.
///
/// One thread uses a session at a time. A session can be handed from one thread to another. Each call sees everything
/// that other sessions had finished before it began.
public struct StoreSession: ~Copyable, @unchecked Sendable {
    // SAFETY: `@unchecked Sendable` because the session has one owner, and every method is mutating, so that two
    // threads cannot be in it at once.
    private let session: Session
    private let clock: StoreClock

    /// The longest key, in bytes. The shortest has one byte.
    public static let keyBytesMax = HashedKey.lengthMax

    init(_ session: consuming Session, _ clock: StoreClock) {
        self.session = session
        self.clock = clock
    }

    // MARK: Writing

    /// Stores a value under a key, and replaces an older one.
    @discardableResult
    public mutating func set(_ key: String, to value: [UInt8], expires: Expiry = .never) -> WriteOutcome {
        write(.set, key.utf8Span.span.bytes, value.span.bytes, expires)
    }

    /// Stores a value under a key, and replaces an older one.
    @discardableResult
    public mutating func set(_ key: RawSpan, to value: RawSpan, expires: Expiry = .never) -> WriteOutcome {
        write(.set, key, value, expires)
    }

    /// Stores a value under a key that has none. Of several sessions that call it at once, one succeeds.
    @discardableResult
    public mutating func add(_ key: String, _ value: [UInt8], expires: Expiry = .never) -> WriteOutcome {
        write(.add, key.utf8Span.span.bytes, value.span.bytes, expires)
    }

    /// Stores a value under a key that has none. Of several sessions that call it at once, one succeeds.
    @discardableResult
    public mutating func add(_ key: RawSpan, _ value: RawSpan, expires: Expiry = .never) -> WriteOutcome {
        write(.add, key, value, expires)
    }

    private func write(_ mode: WriteMode, _ key: RawSpan, _ value: RawSpan, _ expires: Expiry) -> WriteOutcome {
        guard key.byteCount > 0 else { return .emptyKey }
        let now = clock.now()
        let outcome = value.withUnsafeBytes { value in
            section(key, now) { key in
                // An empty value may have no address, and no byte of it is read.
                session.store(
                    mode, key, value: value.baseAddress ?? key.bytes, valueLength: value.count, clientFlags: 0,
                    expiry: expires.milliseconds(now: now), now: now
                ).outcome
            }
        }
        switch outcome {
        case .stored: return .stored
        case .notStored, .exists, .notFound: return .alreadyThere
        case .noMemory: return .noMemory
        case .tooLarge, nil: return .tooLarge
        }
    }

    /// Gives the item of a key another expiry.
    /// - Returns: false if there is no such item, or no memory to move it to. It has its old expiry then.
    @discardableResult
    public mutating func touch(_ key: String, expires: Expiry) -> Bool {
        touch(key.utf8Span.span.bytes, expires: expires)
    }

    /// Gives the item of a key another expiry.
    /// - Returns: false if there is no such item, or no memory to move it to. It has its old expiry then.
    @discardableResult
    public mutating func touch(_ key: RawSpan, expires: Expiry) -> Bool {
        let now = clock.now()
        return section(key, now) { session.touch($0, expiry: expires.milliseconds(now: now), now: now) } == .stored
    }

    /// Removes the item of a key.
    /// - Returns: false if there was none.
    @discardableResult
    public mutating func remove(_ key: String) -> Bool { remove(key.utf8Span.span.bytes) }

    /// Removes the item of a key.
    /// - Returns: false if there was none.
    @discardableResult
    public mutating func remove(_ key: RawSpan) -> Bool {
        let now = clock.now()
        return section(key, now) { session.delete($0, now: now) } == .stored
    }

    /// Removes all items of the store. They are missing at once for every session and every reader. Their memory is
    /// given back by later calls, in slices.
    public mutating func removeAll() {
        session.repair()
        session.begin(now: clock.now())
        session.flush()
        session.end()
    }

    // MARK: Reading

    /// A copy of the value of a key; nil if there is none. It counts as a use of the item.
    public mutating func value(of key: String) -> [UInt8]? { value(of: key.utf8Span.span.bytes) }

    /// A copy of the value of a key; nil if there is none. It counts as a use of the item.
    public mutating func value(of key: RawSpan) -> [UInt8]? {
        let value = withValue(key) { value in value.withUnsafeBytes { [UInt8]($0) } }
        // Another program changed the file meanwhile, so the copy may be wrong.
        return session.isCondemned ? nil : value
    }

    /// Hands the value of a key to `body` without a copy. It counts as a use of the item.
    ///
    /// `body` should be short: until it returns, memory that other sessions give back is not used again. It must not
    /// use another session, which might wait for this one. Other threads may replace the value meanwhile, and these
    /// bytes stay as they are.
    /// - Returns: what `body` returned; nil if there is no such item.
    @inlinable
    public mutating func withValue<Result, Failure: Error>(
        _ key: String, _ body: (RawSpan) throws(Failure) -> Result
    ) throws(Failure) -> Result? {
        try withValue(key.utf8Span.span.bytes, body)
    }

    /// Hands the value of a key to `body` without a copy. It counts as a use of the item.
    ///
    /// `body` should be short: until it returns, memory that other sessions give back is not used again. It must not
    /// use another session, which might wait for this one. Other threads may replace the value meanwhile, and these
    /// bytes stay as they are.
    /// - Returns: what `body` returned; nil if there is no such item.
    @inlinable
    public mutating func withValue<Result, Failure: Error>(
        _ key: RawSpan, _ body: (RawSpan) throws(Failure) -> Result
    ) throws(Failure) -> Result? {
        guard let value = beginReading(key) else { return nil }
        defer { endReading() }
        return try body(value.bytes)
    }

    /// Begins a section and finds a value. The section has ended if there is none.
    @usableFromInline
    func beginReading(_ key: RawSpan) -> UnsafeRawBufferPointer? {
        let now = clock.now()
        return key.withUnsafeBytes { key in
            guard let start = key.baseAddress, (1...Self.keyBytesMax).contains(key.count) else { return nil }
            session.repair()
            session.begin(now: now)
            guard let item = session.find(session.hashed(start, length: key.count), now: now) else {
                session.end()
                return nil
            }
            session.markUsed(item, now: now)
            return UnsafeRawBufferPointer(start: item.value, count: item.valueLength)
        }
    }

    @usableFromInline
    func endReading() { session.end() }

    /// One operation on one key, as a section of its own; nil for a key that is empty or too long.
    private func section<Result>(_ key: RawSpan, _ now: Int64, _ body: (HashedKey) -> Result) -> Result? {
        key.withUnsafeBytes { key in
            guard let start = key.baseAddress, (1...Self.keyBytesMax).contains(key.count) else { return nil }
            session.repair()
            session.begin(now: now)
            defer { session.end() }
            return body(session.hashed(start, length: key.count))
        }
    }
}
