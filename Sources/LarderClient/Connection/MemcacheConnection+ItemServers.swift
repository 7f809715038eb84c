import Glibc

extension MemcacheConnection: ItemServers {
    public func items(for keys: [String]) async throws -> [String: StoredItem] {
        guard !keys.isEmpty else { return [:] }
        let metaKeys = try Self.metaKeys(keys)
        return try await observed(.get, keys.count, instead: [:]) {
            let answers = try await self.answers(.meta, commandCount: keys.count) { encoder in
                for key in metaKeys { encoder.get(key) }
            }
            var found: [String: StoredItem] = [:]
            for (key, answer) in zip(keys, answers) {
                switch answer.code {
                case .value: found[key] = StoredItem(answer)
                case .miss: break
                default: throw self.observer.unexpected(answer)
                }
            }
            return found
        }
    }

    public func store(
        _ mode: StoreMode, _ items: [NewItem], expiration: Expiration
    ) async throws -> [String] {
        guard !items.isEmpty else { return [] }
        let metaKeys = try Self.metaKeys(items.map(\.key))
        let seconds = expiration.wireSeconds(now: Self.now)
        return try await observed(mode.operation, items.count, instead: items.map(\.key)) {
            let answers = try await self.answers(.metaWithData, commandCount: items.count) { encoder in
                for (key, item) in zip(metaKeys, items) {
                    encoder.store(mode.letter, key, item, seconds: seconds)
                }
            }
            var failed: [String] = []
            for (item, answer) in zip(items, answers) {
                switch answer.code {
                case .done: break
                case .notStored, .exists, .notFound: failed.append(item.key)
                case .serverError:
                    // Too large, or no memory for it: this one is not stored, and the others are.
                    self.observer.notStored(answer)
                    failed.append(item.key)
                default: throw self.observer.unexpected(answer)
                }
            }
            return failed
        }
    }

    public func replace(_ item: NewItem, cas: UInt64, expiration: Expiration) async throws -> Bool {
        let key = try MetaKey(item.key)
        let seconds = expiration.wireSeconds(now: Self.now)
        return try await observed(.cas, 1, instead: false) {
            let answer = try await self.answer(.metaWithData) { encoder in
                encoder.store("S", key, item, seconds: seconds, cas: cas)
            }
            switch answer.code {
            case .done: return true
            case .notStored, .exists, .notFound: return false
            default: throw self.observer.unexpected(answer)
            }
        }
    }

    public func delete(_ keys: [String]) async throws -> Set<String> {
        guard !keys.isEmpty else { return [] }
        let metaKeys = try Self.metaKeys(keys)
        return try await observed(.delete, keys.count, instead: []) {
            let answers = try await self.answers(.meta, commandCount: keys.count) { encoder in
                for key in metaKeys { encoder.delete(key) }
            }
            var deleted: Set<String> = []
            for (key, answer) in zip(keys, answers) {
                switch answer.code {
                case .done: deleted.insert(key)
                case .notFound: break
                default: throw self.observer.unexpected(answer)
                }
            }
            return deleted
        }
    }

    public func add(
        _ delta: Int64, to key: String, initial: UInt64?, expiration: Expiration
    ) async throws -> UInt64? {
        let metaKey = try MetaKey(key)
        let seconds = expiration.wireSeconds(now: Self.now)
        return try await observed(.increment, 1, instead: nil) {
            let answer = try await self.answer(.meta) { encoder in
                encoder.add(delta, metaKey, initial: initial, seconds: seconds)
            }
            switch answer.code {
            case .value:
                guard let number = UInt64(String(decoding: answer.bytes, as: UTF8.self)) else {
                    throw self.observer.unexpected(answer)
                }
                return number
            case .notFound: return nil
            default: throw self.observer.unexpected(answer)
            }
        }
    }

    public func touch(_ key: String, expiration: Expiration) async throws -> Bool {
        let metaKey = try MetaKey(key)
        let seconds = expiration.wireSeconds(now: Self.now)
        return try await observed(.touch, 1, instead: false) {
            let answer = try await self.answer(.meta) { encoder in
                encoder.touch(metaKey, seconds: seconds)
            }
            switch answer.code {
            case .done: return true
            case .miss: return false
            default: throw self.observer.unexpected(answer)
            }
        }
    }

    /// - Returns: where failures are misses and the server is down, the right to make the value: nobody else will
    ///   give it.
    public func lease(_ key: String, seconds: Int) async throws -> Lease {
        let metaKey = try MetaKey(key)
        return try await observed(.lease, 1, instead: .won(cas: 0)) {
            let answer = try await self.answer(.meta) { encoder in
                encoder.lease(metaKey, seconds: seconds)
            }
            guard answer.code == .value else { throw self.observer.unexpected(answer) }
            if answer.isWon { return .won(cas: answer.cas) }
            // The stand-in is empty; what is stale has a value that may still be used.
            return answer.isTaken && answer.bytes.isEmpty ? .lost : .found(StoredItem(answer))
        }
    }

    public func flushAll() async throws {
        try await observed(.flushAll, 1, instead: ()) {
            let answer = try await self.answer(.line) { encoder in encoder.line("flush_all") }
            guard answer.code == .ok else { throw self.observer.unexpected(answer) }
        }
    }

    private func answer(
        _ kind: PendingBatch.Kind, _ encode: (inout RequestEncoder) -> Void
    ) async throws -> Answer {
        let answers = try await answers(kind, commandCount: 1, encode)
        guard let answer = answers.first else { throw observer.unexpected(nil) }
        return answer
    }

    private func observed<Result: Sendable>(
        _ operation: Operation, _ keyCount: Int, instead: Result, _ body: () async throws -> Result
    ) async throws -> Result {
        try await observer.tolerating(instead: instead) {
            try await observer.observing(operation, keyCount: keyCount, body)
        }
    }

    private static func metaKeys(_ keys: [String]) throws(MemcacheError) -> [MetaKey] {
        var metaKeys: [MetaKey] = []
        metaKeys.reserveCapacity(keys.count)
        for key in keys { metaKeys.append(try MetaKey(key)) }
        return metaKeys
    }

    /// Seconds since 1970.
    private static var now: Int64 { Int64(time(nil)) }
}

extension StoredItem {
    init(_ answer: Answer) {
        self.init(bytes: answer.bytes, flags: answer.flags, cas: answer.cas)
    }
}

extension StoreMode {
    fileprivate var letter: Character {
        switch self {
        case .set: "S"
        case .add: "E"
        case .replace: "R"
        }
    }

    fileprivate var operation: Operation {
        switch self {
        case .set: .set
        case .add: .add
        case .replace: .replace
        }
    }
}
