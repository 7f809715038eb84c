import Logging

extension ServerGroup: ItemServers {
    public func items(for keys: [String]) async throws -> [String: StoredItem] {
        let parts = try await asking(keys) { servers, places in
            try await servers.items(for: places.map { keys[$0] })
        } failed: { _ in
            [:]
        }
        return parts.reduce(into: [:]) { found, part in found.merge(part) { first, _ in first } }
    }

    /// If a server fails, the items of the other servers are still returned.
    public func partialItems(for keys: [String]) async -> PartialItems {
        let parts: [GroupPart]
        do { parts = try split(keys) } catch {
            return await PartialItems(for: keys) { throw error }
        }
        return await withTaskGroup(of: PartialItems.self) { group in
            for part in parts {
                let own = part.places.map { keys[$0] }
                group.addTask {
                    await PartialItems(for: own) { try await part.asked.ask { try await $0.items(for: own) } }
                }
            }
            return await group.reduce(into: PartialItems()) { answer, part in
                answer.items.merge(part.items) { first, _ in first }
                answer.failures.merge(part.failures) { first, _ in first }
            }
        }
    }

    public func timedItem(for key: String) async throws -> Timed<StoredItem>? {
        try await one(key, instead: nil) { try await $0.timedItem(for: key) }
    }

    public func store(
        _ mode: StoreMode, _ items: [NewItem], expiration: Expiration
    ) async throws -> [String] {
        let parts = try await asking(items.map(\.key)) { servers, places in
            try await servers.store(mode, places.map { items[$0] }, expiration: expiration)
        } failed: { places in
            places.map { items[$0].key }
        }
        return parts.flatMap { $0 }
    }

    public func replace(_ item: NewItem, cas: UInt64, expiration: Expiration) async throws -> Bool {
        try await one(item.key, instead: false) {
            try await $0.replace(item, cas: cas, expiration: expiration)
        }
    }

    /// - Throws: also where failures are misses: what was to go may still be there. The other servers have done it.
    public func delete(_ keys: [String]) async throws -> Set<String> {
        let parts = try await asking(keys) { servers, places in
            try await servers.delete(places.map { keys[$0] })
        }
        return parts.reduce(into: []) { deleted, part in deleted.formUnion(part) }
    }

    public func add(
        _ delta: Int64, to key: String, initial: UInt64?, expiration: Expiration
    ) async throws -> UInt64? {
        try await one(key, instead: nil) {
            try await $0.add(delta, to: key, initial: initial, expiration: expiration)
        }
    }

    public func extend(_ key: String, at end: ValueEnd, with bytes: [UInt8]) async throws -> Bool {
        try await one(key, instead: false) { try await $0.extend(key, at: end, with: bytes) }
    }

    public func touch(_ key: String, expiration: Expiration) async throws -> Bool {
        try await one(key, instead: false) { try await $0.touch(key, expiration: expiration) }
    }

    public func lease(_ key: String, seconds: Int) async throws -> Lease<StoredItem> {
        try await one(key, instead: .won(LeaseTicket(0))) { try await $0.lease(key, seconds: seconds) }
    }

    /// - Throws: also where failures are misses: what was to go may still be there. The other servers have done it.
    public func flushAll() async throws {
        let everybody = servers.map {
            GroupPart(asked: AdmittedServer(server: $0, admission: $0.visit), places: [])
        }
        _ = try await inParallel(everybody, failed: nil) { servers, _ in try await servers.flushAll() }
    }

    /// Asks the server that has the key; `instead` is the result where a failure is a miss.
    private func one<Result: Sendable>(
        _ key: String, instead: Result, _ body: (any ItemServers) async throws -> Result
    ) async throws -> Result {
        do {
            return try await server(for: key).ask(body)
        } catch let error as MemcacheError where isMiss(error) {
            return instead
        }
    }

    /// Asks each server about its keys, which are given by their places; `failed` has the result for those whose server
    /// fails, where that is a miss. Without it a failure is an error always.
    private func asking<Result: Sendable>(
        _ keys: [String], _ body: @escaping @Sendable (any ItemServers, [Int]) async throws -> Result,
        failed: (@Sendable ([Int]) -> Result)? = nil
    ) async throws -> [Result] {
        do {
            return try await inParallel(split(keys), failed: failed, body)
        } catch let error as MemcacheError {
            guard let failed, isMiss(error) else { throw error }
            return [failed(Array(keys.indices))]
        }
    }

    /// A server that fails keeps none of the others from doing what it is asked.
    private func inParallel<Result: Sendable>(
        _ parts: [GroupPart], failed: (@Sendable ([Int]) -> Result)?,
        _ body: @escaping @Sendable (any ItemServers, [Int]) async throws -> Result
    ) async throws -> [Result] {
        @Sendable func ask(_ part: GroupPart) async throws -> Result {
            do {
                return try await part.asked.ask { try await body($0, part.places) }
            } catch let error as MemcacheError {
                guard let failed, self.isMiss(error) else { throw error }
                return failed(part.places)
            }
        }
        // One server needs no second task.
        if parts.count == 1 { return [try await ask(parts[0])] }
        return try await withTaskGroup(of: Swift.Result<Result, any Error>.self) { group in
            for part in parts {
                group.addTask {
                    do { return .success(try await ask(part)) } catch { return .failure(error) }
                }
            }
            return await group.reduce(into: []) { results, result in results.append(result) }
        }
        .map { try $0.get() }
    }

    private func isMiss(_ error: MemcacheError) -> Bool {
        guard error.isServerFailure, configuration.onFailure == .miss else { return false }
        configuration.logger.debug("a miss, because a server failed", metadata: ["error": "\(error)"])
        return true
    }
}
