import Glibc

extension MemcacheConnection: ItemServers {
    public func items(for keys: [String]) async throws -> [String: StoredItem] {
        guard !keys.isEmpty else { return [:] }
        return try await observed(.get, keys.count, instead: [:]) {
            let answers = try await self.answers(commandCount: keys.count) { encoder in
                for key in keys { try encoder.get(key) }
            }
            var found: [String: StoredItem] = [:]
            for (key, answer) in zip(keys, answers) {
                switch answer.code {
                case .value:
                    let item = StoredItem(answer)
                    if !item.isLeaseMarker { found[key] = item }
                case .miss: break
                default: throw self.observer.unexpected(answer)
                }
            }
            return found
        }
    }

    /// - Returns: an item of which is not known how long it has left, in the binary dialect.
    public func timedItem(for key: String) async throws -> Timed<StoredItem>? {
        try await observed(.get, 1, instead: nil) {
            let answer = try await self.answer { encoder in try encoder.getWithTimeLeft(key) }
            switch answer.code {
            case .value:
                let item = StoredItem(answer)
                return item.isLeaseMarker ? nil : Timed(item, left: answer.left)
            case .miss: return nil
            default: throw self.observer.unexpected(answer)
            }
        }
    }

    public func store(
        _ mode: StoreMode, _ items: [NewItem], expiration: Expiration
    ) async throws -> [String] {
        guard !items.isEmpty else { return [] }
        if expiration == .kept, mode != .add { return try await storeKeepingEnds(mode, items) }
        let seconds = expiration.wireSeconds(now: Self.now)
        return try await observed(mode.operation, items.count, instead: items.map(\.key)) {
            let answers = try await self.answers(commandCount: items.count) { encoder in
                for item in items { try encoder.store(mode, item, seconds: seconds, cas: nil) }
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
        // No item has it: it is the right to make a value that a server gave that was down. To the binary dialect it
        // would be any.
        guard cas != 0 else { return false }
        if expiration == .kept { return try await replaceKeepingEnd(item, cas: cas) }
        let seconds = expiration.wireSeconds(now: Self.now)
        return try await observed(.cas, 1, instead: false) {
            let answer = try await self.answer { encoder in
                try encoder.store(.set, item, seconds: seconds, cas: cas)
            }
            switch answer.code {
            case .done: return true
            case .notStored, .exists, .notFound: return false
            default: throw self.observer.unexpected(answer)
            }
        }
    }

    /// - Throws: also where failures are misses: what was to go may still be there.
    public func delete(_ keys: [String]) async throws -> Set<String> {
        guard !keys.isEmpty else { return [] }
        return try await observer.observing(.delete, keyCount: keys.count) {
            let answers = try await self.answers(commandCount: keys.count) { encoder in
                for key in keys { try encoder.delete(key) }
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

    public func extend(_ key: String, at end: ValueEnd, with bytes: [UInt8]) async throws -> Bool {
        let operation: Operation = end == .back ? .append : .prepend
        return try await observed(operation, 1, instead: false) {
            let answer = try await self.answer { encoder in
                try encoder.extend(end, NewItem(key: key, bytes: bytes))
            }
            switch answer.code {
            case .done: return true
            case .notStored, .notFound: return false
            default: throw self.observer.unexpected(answer)
            }
        }
    }

    public func add(
        _ delta: Int64, to key: String, initial: UInt64?, expiration: Expiration
    ) async throws -> UInt64? {
        let seconds = expiration.wireSeconds(now: Self.now)
        return try await observed(.increment, 1, instead: nil) {
            let answer = try await self.answer { encoder in
                try encoder.add(delta, to: key, initial: initial, seconds: seconds)
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
        let seconds = expiration == .kept ? nil : expiration.wireSeconds(now: Self.now)
        return try await observed(.touch, 1, instead: false) {
            let answer = try await self.answer { encoder in
                if let seconds { try encoder.touch(key, seconds: seconds) } else { try encoder.get(key) }
            }
            switch answer.code {
            case .done, .value: return true
            case .miss: return false
            default: throw self.observer.unexpected(answer)
            }
        }
    }

    /// - Returns: where failures are misses and the server is down, the right to make the value: nobody else will
    ///   give it.
    public func lease(_ key: String, seconds: Int) async throws -> Lease<StoredItem> {
        // More would be a date.
        let seconds = min(max(1, seconds), Int(Expiration.spanSecondsMax))
        return try await observed(.lease, 1, instead: .won(LeaseTicket(0))) {
            try self.leased(
                try await self.answers(commandCount: 1) { encoder in
                    try encoder.lease(key, seconds: seconds)
                })
        }
    }

    /// - Throws: also where failures are misses: what was to go may still be there.
    public func flushAll() async throws {
        try await observer.observing(.flushAll) {
            let answer = try await self.answer { encoder in encoder.flushAll() }
            guard answer.code == .ok else { throw self.observer.unexpected(answer) }
        }
    }

    func answer(
        _ encode: (inout any RequestEncoder) throws -> Void
    ) async throws -> Answer {
        let answers = try await answers(commandCount: 1, encode)
        guard let answer = answers.first else { throw observer.unexpected(nil) }
        return answer
    }

    func observed<Result: Sendable>(
        _ operation: Operation, _ keyCount: Int, instead: Result, _ body: () async throws -> Result
    ) async throws -> Result {
        try await observer.tolerating(instead: instead) {
            try await observer.observing(operation, keyCount: keyCount, body)
        }
    }

    /// Seconds since 1970.
    static var now: Int64 { Int64(time(nil)) }
}

extension StoredItem {
    init(_ answer: Answer) {
        self.init(bytes: answer.bytes, flags: answer.flags, cas: answer.cas)
    }
}

extension StoreMode {
    var operation: Operation {
        switch self {
        case .set: .set
        case .add: .add
        case .replace: .replace
        }
    }
}
