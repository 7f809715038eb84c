import Synchronization

@testable import LarderClient

/// Servers in a dictionary: what memcached does, written down a second time and without a network.
final class MapServers: ItemServers {
    struct NotANumber: Error {}

    private struct Entry {
        var item: StoredItem
        /// Milliseconds.
        var end: Int64
        /// Nothing but a lease.
        var isLease = false
    }
    private struct State {
        var entries: [String: Entry] = [:]
        var lastCas: UInt64 = 0
        var requests = 0
        var failure: (any Error)?

        mutating func live(_ key: String, _ now: Int64) -> Entry? {
            if let entry = entries[key], entry.end <= now { entries[key] = nil }
            return entries[key]
        }

        mutating func put(_ item: NewItem, _ end: Int64) {
            lastCas += 1
            entries[item.key] = Entry(
                item: StoredItem(bytes: item.bytes, flags: item.flags, cas: lastCas), end: end)
        }
    }
    private let state = Mutex(State())
    private let clock: TestClock

    init(clock: TestClock) { self.clock = clock }

    var requests: Int { state.withLock { $0.requests } }
    /// Of what has not ended.
    var keys: [String] {
        let now = clock.now
        return state.withLock { $0.entries.filter { $0.value.end > now }.keys.sorted() }
    }
    /// As stored, whether it has ended or not.
    func stored(_ key: String) -> StoredItem? { state.withLock { $0.entries[key]?.item } }
    /// What every request throws from now on.
    func fail(with error: (any Error)?) { state.withLock { $0.failure = error } }

    private func asked<Answer>(_ body: (inout State, Int64) throws -> Answer) async throws -> Answer {
        await Task.yield()
        let now = clock.now
        return try state.withLock { state in
            state.requests += 1
            if let failure = state.failure { throw failure }
            return try body(&state, now)
        }
    }

    func timedItem(for key: String) async throws -> Timed<StoredItem>? {
        try await asked { state, now in
            state.live(key, now).map { entry in
                let left = TimeLeft.limited(.milliseconds(entry.end == .max ? 0 : entry.end - now))
                return Timed(entry.item, left: entry.end == .max ? .unlimited : left)
            }
        }
    }

    /// As a server that is told whole seconds has it.
    private func end(_ expiration: Expiration, _ now: Int64, over former: Entry? = nil) -> Int64 {
        if expiration == .kept, let former, !former.isLease { return former.end }
        return switch expiration.wireSeconds(now: now / 1000) {
        case 0: .max
        case let seconds where seconds < 0: 0
        case let seconds where seconds <= 60 * 60 * 24 * 30: now + seconds * 1000
        case let seconds: seconds * 1000
        }
    }

    func items(for keys: [String]) async throws -> [String: StoredItem] {
        try await asked { state, now in
            var found: [String: StoredItem] = [:]
            for key in keys {
                // A lease is an empty item to whoever reads: that is what servers have.
                if let entry = state.live(key, now) { found[key] = entry.item }
            }
            return found
        }
    }

    func store(_ mode: StoreMode, _ items: [NewItem], expiration: Expiration) async throws -> [String] {
        try await asked { state, now in
            var failed: [String] = []
            for item in items {
                let former = state.live(item.key, now)
                let isThere = former != nil
                if mode == .add && isThere || mode == .replace && !isThere {
                    failed.append(item.key)
                } else {
                    state.put(item, end(expiration, now, over: former))
                }
            }
            return failed
        }
    }

    func replace(_ item: NewItem, cas: UInt64, expiration: Expiration) async throws -> Bool {
        try await asked { state, now in
            guard state.live(item.key, now)?.item.cas == cas else { return false }
            state.put(item, end(expiration, now))
            return true
        }
    }

    func delete(_ keys: [String]) async throws -> Set<String> {
        try await asked { state, now in
            Set(
                keys.filter { key in
                    defer { state.entries[key] = nil }
                    return state.live(key, now) != nil
                })
        }
    }

    func add(_ delta: Int64, to key: String, initial: UInt64?, expiration: Expiration) async throws -> UInt64? {
        try await asked { state, now in
            guard var entry = state.live(key, now) else {
                guard let initial else { return nil }
                state.put(NewItem(key: key, bytes: Array("\(initial)".utf8)), end(expiration, now))
                return initial
            }
            guard let number = UInt64(String(decoding: entry.item.bytes, as: UTF8.self)) else {
                throw NotANumber()
            }
            let sum = delta < 0 ? number - min(number, delta.magnitude) : number &+ delta.magnitude
            entry.item.bytes = Array("\(sum)".utf8)
            state.entries[key] = entry
            return sum
        }
    }

    func touch(_ key: String, expiration: Expiration) async throws -> Bool {
        try await asked { state, now in
            guard let former = state.live(key, now) else { return false }
            state.entries[key]?.end = end(expiration, now, over: former)
            return true
        }
    }

    func lease(_ key: String, seconds: Int) async throws -> Lease<StoredItem> {
        try await asked { state, now in
            if let entry = state.live(key, now) { return entry.isLease ? .lost : .found(entry.item) }
            state.put(NewItem(key: key, bytes: []), now + Int64(seconds) * 1000)
            state.entries[key]?.isLease = true
            return .won(LeaseTicket(state.lastCas))
        }
    }

    func flushAll() async throws { try await asked { state, _ in state.entries = [:] } }
}
