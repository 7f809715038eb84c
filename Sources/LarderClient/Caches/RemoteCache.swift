import NIOSSL

/// A cache on servers: one of them or many, over one connection or a pool.
///
/// Numbers, text and bytes are stored as pylibmc and python-memcached store them, so programs in other languages
/// read them, and theirs are read here.
public struct RemoteCache: Cache {
    private let servers: any ItemServers
    private let packing: ValuePacking
    private let keys: KeyEncoding

    /// A cache on servers.
    /// - Parameters:
    ///   - servers: a connection, a pool, or a group of servers.
    ///   - compression: whether and how large values are deflated; nil: never. Values that somebody else
    ///     deflated are read in any case.
    ///   - inflatedBytesMax: the largest value that deflated bytes may become.
    ///   - keyEncoding: how keys are written.
    public init(
        _ servers: any ItemServers, compression: Compression? = nil, inflatedBytesMax: Int = 64 << 20,
        keyEncoding: KeyEncoding = .plain
    ) {
        self.servers = servers
        packing = ValuePacking(compression: compression, inflatedBytesMax: inflatedBytesMax)
        keys = keyEncoding
    }

    public func values(of keys: [String], namespace: String?) async throws(CacheError) -> [String:
        EncodedValue]
    {
        let encoded = try self.keys.encode(keys)
        let items = try await asking { try await servers.items(for: Array(encoded.keys)) }
        var found: [String: EncodedValue] = [:]
        for (name, item) in items {
            guard let key = encoded[name] else { continue }
            found[key] = try await value(of: item, key)
        }
        return found
    }

    public func valuesResult(of keys: [String], namespace: String?) async -> MultiResult<EncodedValue> {
        var result = MultiResult<EncodedValue>()
        var encoded: [String: String] = [:]
        for key in keys {
            do { encoded[try self.keys.encode(key)] = key } catch { result.failures[key] = error }
        }
        let answer = await servers.partialItems(for: Array(encoded.keys))
        for (name, error) in answer.failures { result.failures[encoded[name] ?? name] = .servers(error) }
        for (name, item) in answer.items {
            guard let key = encoded[name] else { continue }
            do { result.values[key] = try await value(of: item, key) } catch { result.failures[key] = error }
        }
        return result
    }

    /// The value in an item; nil where the item is a lease.
    private func value(of item: StoredItem, _ key: String) async throws(CacheError) -> EncodedValue? {
        // A lease is an empty item.
        guard !item.bytes.isEmpty || item.flags != 0 else { return try await emptyValue(key) }
        do { return try packing.unpack(item) } catch { throw error.about(key) }
    }

    /// Empty bytes, if that is what is stored, rather than a lease. Only a lease can ask.
    private func emptyValue(_ key: String) async throws(CacheError) -> EncodedValue? {
        switch try await lease(key, duration: .seconds(1), namespace: nil) {
        case .found(let value): return value
        case .lost: return nil
        case .won(let ticket):
            try await abandon(ticket, key, namespace: nil)
            return nil
        }
    }

    public func timedValue(of key: String, namespace: String?) async throws(CacheError) -> Timed<EncodedValue>? {
        let name = try keys.encode(key)
        guard let found = try await asking({ try await servers.timedItem(for: name) }) else { return nil }
        guard !found.value.bytes.isEmpty || found.value.flags != 0 else {
            return try await emptyValue(key).map { Timed($0, left: found.left) }
        }
        return Timed(try packing.unpack(found.value), left: found.left)
    }

    public func store(
        _ mode: StoreMode, _ values: [String: EncodedValue], expiration: Expiration, namespace: String?
    ) async throws(CacheError) -> [String] {
        var encoded: [String: String] = [:]
        var items: [NewItem] = []
        for (key, value) in values {
            let item = try newItem(key, value)
            encoded[item.key] = key
            items.append(item)
        }
        let new = items
        let failed = try await asking { try await servers.store(mode, new, expiration: expiration) }
        return failed.map { encoded[$0] ?? $0 }
    }

    public func remove(_ keys: [String], namespace: String?) async throws(CacheError) -> Set<String> {
        let encoded = try self.keys.encode(keys)
        let removed = try await asking { try await servers.delete(Array(encoded.keys)) }
        return Set(removed.map { encoded[$0] ?? $0 })
    }

    public func count(
        _ delta: Int64, key: String, initial: UInt64?, expiration: Expiration, namespace: String?
    ) async throws(CacheError) -> UInt64? {
        let name = try keys.encode(key)
        do {
            return try await servers.add(delta, to: name, initial: initial, expiration: expiration)
        } catch let error as MemcacheError where error.isServerFailure {
            throw .servers(error)
        } catch {
            // Servers have one answer for what is no number, and clients one error for all bad answers: the
            // value itself tells.
            if let value = try? await servers.items(for: [name])[name],
                DecimalNumber.parse(value.bytes, as: UInt64.self) == nil
            {
                throw .notANumber(key)
            }
            throw .servers(error)
        }
    }

    public func touch(_ key: String, expiration: Expiration, namespace: String?) async throws(CacheError)
        -> Bool
    {
        let name = try keys.encode(key)
        return try await asking { try await servers.touch(name, expiration: expiration) }
    }

    public func flushAll() async throws(CacheError) -> Bool {
        try await asking { try await servers.flushAll() }
        return true
    }

    // MARK: Leases

    public func lease(
        _ key: String, duration: Duration, namespace: String?
    ) async throws(CacheError) -> Lease<EncodedValue> {
        let name = try keys.encode(key)
        let seconds = Int(
            clamping: (duration.wholeMilliseconds / 1000) + (duration.wholeMilliseconds % 1000 > 0 ? 1 : 0))
        switch try await asking({ try await servers.lease(name, seconds: max(1, seconds)) }) {
        case .found(let item): return .found(try packing.unpack(item))
        case .won(let ticket): return .won(ticket)
        case .lost: return .lost
        }
    }

    public func fulfil(
        _ ticket: LeaseTicket, _ key: String, _ value: EncodedValue, expiration: Expiration,
        namespace: String?
    ) async throws(CacheError) -> Bool {
        let item = try newItem(key, value)
        return try await asking {
            try await servers.replace(item, cas: ticket.number, expiration: expiration)
        }
    }

    public func abandon(_ ticket: LeaseTicket, _ key: String, namespace: String?) async throws(CacheError) {
        let item = NewItem(key: try keys.encode(key), bytes: [])
        // What has ended already takes the place of the lease, and of nothing else.
        _ = try await asking {
            try await servers.replace(item, cas: ticket.number, expiration: .after(.zero))
        }
    }

    private func newItem(_ key: String, _ value: EncodedValue) throws(CacheError) -> NewItem {
        let packed = try packing.pack(value)
        return NewItem(key: try keys.encode(key), bytes: packed.bytes, flags: packed.flags)
    }

    private func asking<Answer>(_ body: () async throws -> Answer) async throws(CacheError) -> Answer {
        do {
            return try await body()
        } catch {
            throw .servers(error)
        }
    }
}

extension CacheError {
    static func servers(_ error: any Error) -> CacheError {
        if let error = error as? CacheError { return error }
        if error is CancellationError {
            return CacheError(.cancelled, "the task was cancelled", underlying: error)
        }
        let code = (error as? MemcacheError)?.cacheCode ?? .unavailable
        return CacheError(code, "the servers did not do it: \(error)", underlying: error)
    }
}

extension MemcacheError {
    fileprivate var cacheCode: CacheError.Code {
        switch code {
        case .timedOut: .timedOut
        case .closed: .closed
        case .invalidKey: .badKey
        case .authenticationFailed: .authenticationFailed
        case .notSupported: .notSupported
        default:
            underlying is NIOSSLError || underlying is NIOSSLExtraError || underlying is BoringSSLError
                ? .tls : .unavailable
        }
    }
}
