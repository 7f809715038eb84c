import LarderStore
import Synchronization

/// A cache whose server keeps it in a file on this machine (`larder -e FILE`): values are read in the file, without
/// asking the server, and everything else goes through it.
///
/// A read makes no system call and waits for no server. It sees every change that was answered before it began. If the
/// file cannot be read, while the server starts for example, the cache asks the server.
public final class SharedCache: Cache {
    private let readers: [LockedReader]
    private let remote: RemoteCache
    private let packing: ValuePacking
    private let keys: KeyEncoding
    private let clock: CacheClock?

    /// Opens a server's file for reading.
    /// - Parameters:
    ///   - path: the file. Who may read it may read everything in it.
    ///   - servers: the one server whose file this is.
    ///   - compression: whether and how large values are deflated; nil: never.
    ///   - inflatedBytesMax: the largest value that deflated bytes may become.
    ///   - keyEncoding: how keys are written.
    ///   - isMapped: false reads with system calls, some microseconds each, in a program that must not have a
    ///     handler for SIGBUS.
    ///   - clock: the time by which values end; nil: the server's own.
    /// - Throws: `CacheError` with the code `badConfiguration` when the file is no store's. It is one when the
    ///   server has answered its first request.
    public init(
        path: String, servers: any ItemServers, compression: Compression? = nil,
        inflatedBytesMax: Int = 64 << 20,
        keyEncoding: KeyEncoding = .plain, isMapped: Bool = true, clock: CacheClock? = nil
    ) throws(CacheError) {
        remote = RemoteCache(
            servers, compression: compression, inflatedBytesMax: inflatedBytesMax, keyEncoding: keyEncoding)
        packing = ValuePacking(compression: nil, inflatedBytesMax: inflatedBytesMax)
        keys = keyEncoding
        self.clock = clock
        var readers: [LockedReader] = []
        do {
            for _ in 0..<Self.readersCount {
                readers.append(
                    LockedReader(try StoreReader(path: path, access: isMapped ? .mapped : .systemCalls)))
            }
        } catch {
            throw CacheError(.badConfiguration, "\(error)", underlying: error)
        }
        self.readers = readers
    }

    /// Readers are for one thread at a time; with some of them threads rarely meet. A power of two.
    private static let readersCount = 8

    public func values(of keys: [String], namespace: String?) async throws(CacheError) -> [String:
        EncodedValue]
    {
        var found: [String: EncodedValue] = [:]
        var unread: [String] = []
        for key in keys {
            switch try read(key) {
            // What is empty may stand for a lease: the server knows.
            case .found(let value) where !value.bytes.isEmpty: found[key] = try packing.unpack(value)
            case .missing: break
            case .found, .unavailable: unread.append(key)
            }
        }
        if unread.isEmpty { return found }
        return found.merging(try await remote.values(of: unread, namespace: namespace)) { _, value in value }
    }

    private func read(_ key: String) throws(CacheError) -> ReadOutcome<EncodedValue> {
        readers[key.hashValue & (Self.readersCount - 1)].read(try keys.encode(key), clock)
    }

    public func timedValue(of key: String, namespace: String?) async throws(CacheError) -> Timed<EncodedValue>? {
        try await remote.timedValue(of: key, namespace: namespace)
    }

    public func store(
        _ mode: StoreMode, _ values: [String: EncodedValue], expiration: Expiration, namespace: String?
    ) async throws(CacheError) -> [String] {
        try await remote.store(mode, values, expiration: expiration, namespace: namespace)
    }

    public func remove(_ keys: [String], namespace: String?) async throws(CacheError) -> Set<String> {
        try await remote.remove(keys, namespace: namespace)
    }

    public func count(
        _ delta: Int64, key: String, initial: UInt64?, expiration: Expiration, namespace: String?
    ) async throws(CacheError) -> UInt64? {
        try await remote.count(
            delta, key: key, initial: initial, expiration: expiration, namespace: namespace)
    }

    public func touch(_ key: String, expiration: Expiration, namespace: String?) async throws(CacheError)
        -> Bool
    {
        try await remote.touch(key, expiration: expiration, namespace: namespace)
    }

    public func flushAll() async throws(CacheError) -> Bool { try await remote.flushAll() }

    public func lease(_ key: String, duration: Duration, namespace: String?) async throws(CacheError)
        -> Lease<EncodedValue>
    {
        // What is empty may stand for a lease: the server knows.
        if case .found(let value) = try read(key), !value.bytes.isEmpty {
            return .found(try packing.unpack(value))
        }
        return try await remote.lease(key, duration: duration, namespace: namespace)
    }

    public func fulfil(
        _ ticket: LeaseTicket, _ key: String, _ value: EncodedValue, expiration: Expiration,
        namespace: String?
    ) async throws(CacheError) -> Bool {
        try await remote.fulfil(ticket, key, value, expiration: expiration, namespace: namespace)
    }

    public func abandon(_ ticket: LeaseTicket, _ key: String, namespace: String?) async throws(CacheError) {
        try await remote.abandon(ticket, key, namespace: namespace)
    }
}

/// A reader that threads take in turn.
private final class LockedReader: Sendable {
    /// SAFETY: `@unchecked Sendable` because it is reached through the lock only.
    private struct Content: ~Copyable, @unchecked Sendable {
        var reader: StoreReader
        init(_ reader: consuming StoreReader) { self.reader = reader }
    }
    private let content: Mutex<Content>

    init(_ reader: consuming StoreReader) { content = Mutex(Content(reader)) }

    func read(_ key: String, _ clock: CacheClock?) -> ReadOutcome<EncodedValue> {
        let given = clock?.now()
        var key = key
        return key.withUTF8 { bytes in
            content.withLock { content in
                let now = given ?? content.reader.now
                return content.reader.withValue(UnsafeRawBufferPointer(bytes), now: now) {
                    EncodedValue(bytes: [UInt8]($0.value), flags: $0.clientFlags)
                }
            }
        }
    }
}
