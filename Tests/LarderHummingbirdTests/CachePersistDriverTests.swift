#if Hummingbird
    import Hummingbird
    import LarderClient
    import LarderHummingbird
    import LarderTestServer
    import ServiceLifecycleTestKit
    import Synchronization
    import Testing

    /// A driver, and what makes time pass for it.
    struct PersistUnderTest: Sendable {
        let persist: CachePersistDriver
        let cache: any Cache
        let advance: @Sendable (Duration) -> Void
    }

    /// A clock that stands still until it is moved.
    private final class Hand: Sendable {
        private let milliseconds = Atomic<Int64>(1_700_000_000_000)

        func advance(_ duration: Duration) {
            milliseconds.add(Int64(duration / .milliseconds(1)), ordering: .sequentiallyConsistent)
        }

        var clock: CacheClock {
            CacheClock(
                now: { self.milliseconds.load(ordering: .sequentiallyConsistent) },
                sleep: { self.advance($0) })
        }
    }

    /// Where the values are.
    enum Kept: String, CaseIterable, Sendable {
        case memory, connection, pool, twoServers, prefixed, namespace, multilevel

        func with(_ body: @Sendable (PersistUnderTest) async throws -> Void) async throws {
            switch self {
            case .memory:
                let hand = Hand()
                let cache = try MemoryCache(memoryBytes: 4 << 20, clock: hand.clock)
                try await body(
                    PersistUnderTest(
                        persist: CachePersistDriver(cache), cache: cache, advance: { hand.advance($0) }))
            default:
                let first = try LarderTestServer()
                let second = try LarderTestServer()
                defer {
                    first.stop()
                    second.stop()
                }
                let (persist, cache) = try await driver(first, second)
                try await body(
                    PersistUnderTest(persist: persist, cache: cache) {
                        first.advance(by: $0)
                        second.advance(by: $0)
                    })
            }
        }

        private func driver(
            _ first: LarderTestServer, _ second: LarderTestServer
        ) async throws -> (CachePersistDriver, any Cache) {
            let configuration = first.connectionConfiguration
            let remote = first.makeCache()
            switch self {
            case .pool:
                let pool = try await EagerPool(size: 3, to: first.address, configuration: configuration)
                let cache = RemoteCache(Pooled(pool))
                return (CachePersistDriver(cache) { await pool.close() }, cache)
            case .twoServers:
                let group = ServerGroup(
                    [GroupMember(first.address), GroupMember(second.address)], configuration: configuration)
                let cache = RemoteCache(group)
                return (CachePersistDriver(cache) { await group.close() }, cache)
            case .prefixed: return (CachePersistDriver(remote, prefix: "app:"), remote)
            case .namespace:
                let cache = try CacheClient(
                    ["default": NullCache(), "sessions": remote], defaultNamespace: "default")
                return (CachePersistDriver(cache, namespace: "sessions"), cache)
            case .multilevel:
                // What is far decides when it ends; nothing may be near for longer than that.
                let near = try MemoryCache(memoryBytes: 4 << 20)
                let cache = MultilevelCache(near: near, far: remote, nearDuration: .zero)
                return (CachePersistDriver(cache), cache)
            default: return (CachePersistDriver(remote), remote)
            }
        }
    }

    private struct Person: Codable, Equatable, Sendable {
        var name: String
    }

    @Suite(.timeLimit(.minutes(2))) struct CachePersistDriverTests {
        @Test(arguments: Kept.allCases) func whatWasSetIsGot(kept: Kept) async throws {
            try await kept.with { test in
                try await test.persist.set(key: "k", value: "Persist")
                #expect(try await test.persist.get(key: "k", as: String.self) == "Persist")
                #expect(try await test.persist.get(key: "other", as: String.self) == nil)
            }
        }

        @Test(arguments: Kept.allCases) func whatWasCreatedIsGot(kept: Kept) async throws {
            try await kept.with { test in
                try await test.persist.create(key: "k", value: "Persist")
                #expect(try await test.persist.get(key: "k", as: String.self) == "Persist")
            }
        }

        @Test(arguments: Kept.allCases) func nothingIsCreatedTwice(kept: Kept) async throws {
            try await kept.with { test in
                try await test.persist.create(key: "k", value: "first")
                await #expect(throws: PersistError.duplicate) {
                    try await test.persist.create(key: "k", value: "second")
                }
                await #expect(throws: PersistError.duplicate) {
                    try await test.persist.create(key: "k", value: "second", expires: .seconds(10))
                }
                #expect(try await test.persist.get(key: "k", as: String.self) == "first")
                test.advance(.seconds(11))
                #expect(try await test.persist.get(key: "k", as: String.self) == "first")
            }
        }

        /// Of many who create at the same time, one does.
        @Test(arguments: Kept.allCases) func oneCreates(kept: Kept) async throws {
            try await kept.with { test in
                let count = try await withThrowingTaskGroup(of: Bool.self) { group in
                    for number in 0..<50 {
                        group.addTask {
                            do {
                                try await test.persist.create(key: "k", value: number)
                                return true
                            } catch let error as PersistError where error == .duplicate {
                                return false
                            }
                        }
                    }
                    return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
                }
                #expect(count == 1)
            }
        }

        @Test(arguments: Kept.allCases) func aLaterSetTakesThePlaceOfAnEarlierOne(kept: Kept) async throws {
            try await kept.with { test in
                try await test.persist.set(key: "k", value: "test1")
                try await test.persist.set(key: "k", value: "test2")
                #expect(try await test.persist.get(key: "k", as: String.self) == "test2")
            }
        }

        @Test(arguments: Kept.allCases) func valuesEnd(kept: Kept) async throws {
            try await kept.with { test in
                try await test.persist.set(key: "now", value: "1", expires: .zero)
                try await test.persist.set(key: "later", value: "2", expires: .seconds(10))
                try await test.persist.create(key: "created", value: "3", expires: .seconds(10))
                #expect(try await test.persist.get(key: "now", as: String.self) == nil)
                test.advance(.seconds(9))
                #expect(try await test.persist.get(key: "later", as: String.self) == "2")
                #expect(try await test.persist.get(key: "created", as: String.self) == "3")
                test.advance(.seconds(1))
                #expect(try await test.persist.get(key: "later", as: String.self) == nil)
                #expect(try await test.persist.get(key: "created", as: String.self) == nil)
            }
        }

        @Test(arguments: Kept.allCases) func whatHasEndedCanBeCreatedAndSet(kept: Kept) async throws {
            try await kept.with { test in
                try await test.persist.set(key: "k", value: "1", expires: .zero)
                try await test.persist.create(key: "k", value: "2", expires: .seconds(1))
                test.advance(.seconds(1))
                #expect(try await test.persist.get(key: "k", as: String.self) == nil)
                // Its end is over, and not the new value's.
                try await test.persist.set(key: "k", value: "3")
                test.advance(.seconds(100_000))
                #expect(try await test.persist.get(key: "k", as: String.self) == "3")
            }
        }

        @Test(arguments: Kept.allCases) func theTimeLeftIsTold(kept: Kept) async throws {
            try await kept.with { test in
                try await test.persist.set(key: "k", value: "1", expires: .seconds(10))
                let first = try #require(try await test.persist.getWithTTL(key: "k", as: String.self))
                #expect(first.object == "1")
                #expect(first.ttl == .seconds(10))
                test.advance(.seconds(4))
                let second = try #require(try await test.persist.getWithTTL(key: "k", as: String.self))
                #expect(second.object == "1")
                #expect(second.ttl == .seconds(6))
                try await test.persist.set(key: "ever", value: 5)
                let third = try #require(try await test.persist.getWithTTL(key: "ever", as: Int.self))
                #expect(third.object == 5)
                #expect(third.ttl == nil)
                #expect(try await test.persist.getWithTTL(key: "none", as: Int.self) == nil)
                await #expect(throws: PersistError.invalidConversion) {
                    try await test.persist.getWithTTL(key: "k", as: Int.self)
                }
            }
        }

        /// The trap: a set without an end changes the value only.
        @Test(arguments: Kept.allCases) func aSetWithoutAnEndKeepsIt(kept: Kept) async throws {
            try await kept.with { test in
                try await test.persist.set(key: "k", value: "1", expires: .seconds(10))
                for second in 1...9 {
                    test.advance(.seconds(1))
                    try await test.persist.set(key: "k", value: "after \(second)")
                    let found = try #require(try await test.persist.getWithTTL(key: "k", as: String.self))
                    #expect(found.object == "after \(second)")
                    #expect(found.ttl == .seconds(10 - second))
                }
                test.advance(.seconds(1))
                #expect(try await test.persist.get(key: "k", as: String.self) == nil)
                try await test.persist.set(key: "k", value: "new")
                let found = try #require(try await test.persist.getWithTTL(key: "k", as: String.self))
                #expect(found.object == "new")
                #expect(found.ttl == nil)
            }
        }

        /// Nor does it move by parts of a second, which servers do not tell.
        @Test(arguments: Kept.allCases) func manySetsDoNotMoveTheEnd(kept: Kept) async throws {
            try await kept.with { test in
                try await test.persist.set(key: "k", value: 0, expires: .seconds(60))
                for number in 1...118 {
                    test.advance(.milliseconds(500))
                    try await test.persist.set(key: "k", value: number)
                }
                #expect(try await test.persist.get(key: "k", as: Int.self) == 118)
                test.advance(.milliseconds(999))
                #expect(try await test.persist.get(key: "k", as: Int.self) == 118)
                test.advance(.milliseconds(1))
                #expect(try await test.persist.get(key: "k", as: Int.self) == nil)
            }
        }

        @Test(arguments: Kept.allCases) func anEndCanBeGivenAnew(kept: Kept) async throws {
            try await kept.with { test in
                try await test.persist.set(key: "k", value: "1", expires: .seconds(10))
                try await test.persist.set(key: "k", value: "2", expires: .seconds(100))
                try await test.persist.set(key: "k", value: "3")
                test.advance(.seconds(99))
                #expect(try await test.persist.get(key: "k", as: String.self) == "3")
                test.advance(.seconds(1))
                #expect(try await test.persist.get(key: "k", as: String.self) == nil)
            }
        }

        /// Who sets the end and who keeps it meet again and again: whoever keeps it keeps the one that there is.
        @Test(arguments: Kept.allCases) func theEndIsKeptWhileOthersChangeIt(kept: Kept) async throws {
            try await kept.with { test in
                for round in 0..<40 {
                    let key = "k\(round)"
                    try await test.persist.set(key: key, value: -1, expires: .seconds(10))
                    try await withThrowingTaskGroup { group in
                        for number in 0..<8 {
                            group.addTask { try await test.persist.set(key: key, value: number) }
                        }
                        group.addTask {
                            try await test.persist.set(key: key, value: 100, expires: .seconds(1000))
                        }
                        try await group.waitForAll()
                    }
                    let found = try #require(try await test.persist.getWithTTL(key: key, as: Int.self))
                    #expect(found.ttl == .seconds(1000), "round \(round): \(found)")
                }
            }
        }

        /// A removal between looking for the end and storing leaves a value that never ends, or none.
        @Test(arguments: Kept.allCases) func aSetThatMeetsARemovalIsWholeOrNot(kept: Kept) async throws {
            try await kept.with { test in
                for round in 0..<40 {
                    let key = "k\(round)"
                    try await test.persist.set(key: key, value: 1, expires: .seconds(10))
                    async let removal: Void = test.persist.remove(key: key)
                    async let setting: Void = test.persist.set(key: key, value: 2)
                    _ = try await (removal, setting)
                    let found = try await test.persist.getWithTTL(key: key, as: Int.self)
                    #expect(found == nil || (found?.object == 2 && found?.ttl == nil), "round \(round)")
                }
            }
        }

        @Test(arguments: Kept.allCases) func valuesOfAllTypesComeBack(kept: Kept) async throws {
            try await kept.with { test in
                let persist = test.persist
                try await persist.set(key: "person", value: Person(name: "Ana"))
                try await persist.set(key: "number", value: -7)
                try await persist.set(key: "real", value: 1.5)
                try await persist.set(key: "bytes", value: [UInt8]([0, 13, 10, 255]))
                try await persist.set(key: "list", value: ["a", "b"])
                try await persist.set(key: "empty", value: "")
                try await persist.set(key: "nil", value: String?.none)
                try await persist.set(key: "some", value: String?.some("x"))
                #expect(try await persist.get(key: "person", as: Person.self) == Person(name: "Ana"))
                #expect(try await persist.get(key: "number", as: Int.self) == -7)
                #expect(try await persist.get(key: "real", as: Double.self) == 1.5)
                #expect(try await persist.get(key: "bytes", as: [UInt8].self) == [0, 13, 10, 255])
                #expect(try await persist.get(key: "list", as: [String].self) == ["a", "b"])
                #expect(try await persist.get(key: "empty", as: String.self) == "")
                #expect(try await persist.get(key: "nil", as: String?.self) == .some(.none))
                #expect(try await persist.get(key: "some", as: String?.self) == .some(.some("x")))
            }
        }

        @Test(arguments: Kept.allCases) func anotherTypeIsAnInvalidConversion(kept: Kept) async throws {
            try await kept.with { test in
                let persist = test.persist
                func isInvalid<Object: Codable & Sendable>(_ key: String, _ type: Object.Type) async {
                    await #expect(throws: PersistError.invalidConversion, "\(key) as \(type)") {
                        try await persist.get(key: key, as: type)
                    }
                }
                try await persist.set(key: "person", value: Person(name: "hello"))
                try await persist.set(key: "text", value: "5")
                try await persist.set(key: "number", value: 300)
                await isInvalid("person", String.self)
                await isInvalid("person", Int.self)
                await isInvalid("person", [UInt8].self)
                await isInvalid("person", [String].self)
                await isInvalid("text", Int.self)
                await isInvalid("text", Person.self)
                await isInvalid("text", [UInt8].self)
                await isInvalid("number", String.self)
                await isInvalid("number", UInt8.self)
                await isInvalid("number", Person?.self)
            }
        }

        @Test(arguments: Kept.allCases) func whatIsRemovedIsGone(kept: Kept) async throws {
            try await kept.with { test in
                try await test.persist.set(key: "k", value: "1", expires: .seconds(10))
                try await test.persist.remove(key: "k")
                #expect(try await test.persist.get(key: "k", as: String.self) == nil)
                try await test.persist.remove(key: "k")
                try await test.persist.create(key: "k", value: "2")
                test.advance(.seconds(100))
                #expect(try await test.persist.get(key: "k", as: String.self) == "2")
            }
        }

        @Test(arguments: Kept.allCases) func anyTextIsAKey(kept: Kept) async throws {
            try await kept.with { test in
                let keys = [
                    "", " ", "a b", "a\r\nb", "\0", "~", "ключ", String(repeating: "k", count: 250),
                    String(repeating: "k", count: 251), String(repeating: "长", count: 10_000),
                ]
                for (number, key) in keys.enumerated() {
                    try await test.persist.create(key: key, value: number, expires: .seconds(10))
                    try await test.persist.set(key: key, value: number + 100)
                }
                for (number, key) in keys.enumerated() {
                    #expect(try await test.persist.get(key: key, as: Int.self) == number + 100)
                }
                test.advance(.seconds(10))
                for key in keys {
                    #expect(try await test.persist.get(key: key, as: Int.self) == nil)
                }
            }
        }

        @Test func aValueThatIsNotTakenIsAnError() async throws {
            let cache = try MemoryCache(memoryBytes: 4 << 20, itemBytesMax: 1000)
            let persist = CachePersistDriver(cache)
            let large = String(repeating: "x", count: 2000)
            await #expect(throws: CacheError.self) { try await persist.set(key: "k", value: large) }
            await #expect(throws: CacheError.self) { try await persist.create(key: "k", value: large) }
        }

        @Test func theServiceEndsAndClosesWhatItWasGiven() async throws {
            let closed = Hand()
            let before = closed.clock.now()
            let persist = CachePersistDriver(NullCache()) { closed.advance(.seconds(1)) }
            try await testGracefulShutdown { trigger in
                async let running: Void = persist.run()
                trigger.triggerGracefulShutdown()
                try await running
            }
            #expect(closed.clock.now() == before + 1000)
        }
    }
#endif
