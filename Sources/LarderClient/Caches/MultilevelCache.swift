/// A near cache before a far one: values are read near first, and what was found far is kept near for a while.
/// Changes are the far one's, and what changes leaves the near one.
///
/// So what this cache has changed or removed is never read here again as it was before, also by those who were
/// reading it at that moment. The near cache may be behind changes that others make, and behind the end of a value,
/// by as much as `nearDuration`.
///
/// Any number of levels are caches of this kind inside one another, as far ones.
public struct MultilevelCache: Cache {
    private let near: any Cache
    private let far: any Cache
    private let nearDuration: Duration

    /// Two levels.
    /// - Parameters:
    ///   - near: a `MemoryCache`, or another whose leases end when a value is changed.
    ///   - far: usually a `RemoteCache`.
    ///   - nearDuration: the longest that a value stays near.
    public init(near: any Cache, far: any Cache, nearDuration: Duration = .seconds(1)) {
        self.near = near
        self.far = far
        self.nearDuration = nearDuration
    }

    public func values(of keys: [String], namespace: String?) async throws(CacheError) -> [String:
        EncodedValue]
    {
        var found: [String: EncodedValue] = [:]
        var missing: [String] = []
        var tickets: [String: LeaseTicket] = [:]
        for key in keys {
            // A lease, so that a value that is changed while it is on its way is not kept near.
            switch try await near.lease(key, duration: nearDuration, namespace: namespace) {
            case .found(let value): found[key] = value
            case .won(let ticket):
                tickets[key] = ticket
                missing.append(key)
            case .lost: missing.append(key)
            }
        }
        if missing.isEmpty { return found }
        do {
            let fetched = try await far.values(of: missing, namespace: namespace)
            try await keep(fetched, tickets, namespace)
            return found.merging(fetched) { _, value in value }
        } catch {
            try await keep([:], tickets, namespace)
            throw error
        }
    }

    private func keep(
        _ values: [String: EncodedValue], _ tickets: [String: LeaseTicket], _ namespace: String?
    ) async throws(CacheError) {
        for (key, ticket) in tickets {
            guard let value = values[key] else {
                try await near.abandon(ticket, key, namespace: namespace)
                continue
            }
            _ = try await near.fulfil(
                ticket, key, value, expiration: .after(nearDuration), namespace: namespace)
        }
    }

    public func timedValue(of key: String, namespace: String?) async throws(CacheError) -> Timed<EncodedValue>? {
        try await far.timedValue(of: key, namespace: namespace)
    }

    public func store(
        _ mode: StoreMode, _ values: [String: EncodedValue], expiration: Expiration, namespace: String?
    ) async throws(CacheError) -> [String] {
        try await change(Array(values.keys), namespace) { () async throws(CacheError) in
            try await far.store(mode, values, expiration: expiration, namespace: namespace)
        }
    }

    public func remove(_ keys: [String], namespace: String?) async throws(CacheError) -> Set<String> {
        try await change(keys, namespace) { () async throws(CacheError) in
            try await far.remove(keys, namespace: namespace)
        }
    }

    public func count(
        _ delta: Int64, key: String, initial: UInt64?, expiration: Expiration, namespace: String?
    ) async throws(CacheError) -> UInt64? {
        try await change([key], namespace) { () async throws(CacheError) in
            try await far.count(
                delta, key: key, initial: initial, expiration: expiration, namespace: namespace)
        }
    }

    public func touch(_ key: String, expiration: Expiration, namespace: String?) async throws(CacheError)
        -> Bool
    {
        try await change([key], namespace) { () async throws(CacheError) in
            try await far.touch(key, expiration: expiration, namespace: namespace)
        }
    }

    public func flushAll() async throws(CacheError) -> Bool {
        let isFarFlushed = try await far.flushAll()
        let isNearFlushed = try await near.flushAll()
        return isFarFlushed && isNearFlushed
    }

    public func lease(_ key: String, duration: Duration, namespace: String?) async throws(CacheError)
        -> Lease<EncodedValue>
    {
        // A lease, so that a value that is changed while it is on its way is not kept near.
        switch try await near.lease(key, duration: nearDuration, namespace: namespace) {
        case .found(let value): return .found(value)
        case .lost: return try await far.lease(key, duration: duration, namespace: namespace)
        case .won(let ticket):
            let lease: Lease<EncodedValue>
            do {
                lease = try await far.lease(key, duration: duration, namespace: namespace)
            } catch {
                try await keep([:], [key: ticket], namespace)
                throw error
            }
            var found: [String: EncodedValue] = [:]
            if case .found(let value) = lease { found[key] = value }
            try await keep(found, [key: ticket], namespace)
            return lease
        }
    }

    public func fulfil(
        _ ticket: LeaseTicket, _ key: String, _ value: EncodedValue, expiration: Expiration,
        namespace: String?
    ) async throws(CacheError) -> Bool {
        try await change([key], namespace) { () async throws(CacheError) in
            try await far.fulfil(ticket, key, value, expiration: expiration, namespace: namespace)
        }
    }

    public func abandon(_ ticket: LeaseTicket, _ key: String, namespace: String?) async throws(CacheError) {
        try await far.abandon(ticket, key, namespace: namespace)
    }

    /// First far, then out of the near one: who reads far before the change has a lease that this ends. A change
    /// that failed may have been made all the same.
    private func change<Answer: Sendable>(
        _ keys: [String], _ namespace: String?, _ body: () async throws(CacheError) -> Answer
    ) async throws(CacheError) -> Answer {
        let answer: Answer
        do {
            answer = try await body()
        } catch {
            _ = try await near.remove(keys, namespace: namespace)
            throw error
        }
        _ = try await near.remove(keys, namespace: namespace)
        return answer
    }
}
