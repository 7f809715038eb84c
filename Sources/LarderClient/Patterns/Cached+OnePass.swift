/// Values that one makes for all.
extension Cached {
    /// The value under a key. Of all who miss it, in all processes, one makes it, and the others wait and get what it
    /// made.
    ///
    /// Nobody waits longer than `timeout`: one who crashed while making the value loses the right to by then, and the next one makes
    /// it. A maker that throws, or makes nil, gives the right back at once. Over RemoteCache and MemoryCache what was
    /// made is not stored when the key was deleted or stored meanwhile. Where the cache is down everybody makes it.
    /// - Parameters:
    ///   - masterKey: names, for a value that was made, the master key that it depends on.
    ///   - create: makes the value; nil is not stored.
    public func getOrCreate<Value: Codable & Sendable>(
        _ key: String, dependsOn masterKey: (Value) -> String? = { _ in nil },
        create: () async throws -> Value
    ) async throws -> Value {
        switch try await onePass(key, as: Value.self) {
        case .value(let value): return value
        case .late: return try await getOrSet(key, dependsOn: masterKey, create: create)
        case .down: return try await create()
        case .ticket(let ticket):
            do {
                let value = try await create()
                if isNil(value) {
                    await giveBack(ticket, key)
                } else {
                    try await fulfil(ticket, key, value, masterKey(value))
                }
                return value
            } catch {
                await giveBack(ticket, key)
                throw error
            }
        }
    }

    private enum OnePass<Value> {
        case value(Value)
        case ticket(LeaseTicket)
        /// Another one is at it still.
        case late
        /// The cache cannot be asked.
        case down
    }

    private static var firstWait: Duration { .milliseconds(50) }
    private static var longestWait: Duration { .milliseconds(800) }

    /// Looks again after 50 ms, then after twice as long each time, up to 800 ms: wheezy's steps.
    private func onePass<Value: Codable & Sendable>(
        _ key: String, as type: Value.Type
    ) async throws -> OnePass<Value> {
        let end = Expiration.after(timeout).milliseconds(now: clock.now())
        var wait = Self.firstWait
        while true {
            do {
                switch try await cache.lease(key, duration: timeout, namespace: namespace) {
                case .found(let value): return .value(try value.decoded(as: type, key))
                case .won(let ticket): return .ticket(ticket)
                case .lost: break
                }
            } catch {
                guard error.isOutage else { throw error }
                return .down
            }
            let left = end - clock.now()
            guard left > 0 else { return .late }
            try await clock.sleep(min(wait, .milliseconds(left)))
            wait = min(wait * 2, Self.longestWait)
        }
    }

    private func fulfil<Value: Codable & Sendable>(
        _ ticket: LeaseTicket, _ key: String, _ value: Value, _ masterKey: String?
    ) async throws(CacheError) {
        let encoded = try EncodedValue(encoding: value)
        try await keep(key, dependsOn: masterKey) { () async throws(CacheError) in
            try await cache.fulfil(ticket, key, encoded, expiration: expiration, namespace: namespace)
        }
    }

    /// A cancelled task gives its lease back as well. If the cache cannot be reached, the lease ends by itself.
    private func giveBack(_ ticket: LeaseTicket, _ key: String) async {
        let cache = cache
        let namespace = namespace
        // A task of its own is not cancelled with this one.
        await Task { try? await cache.abandon(ticket, key, namespace: namespace) }.value
    }
}
