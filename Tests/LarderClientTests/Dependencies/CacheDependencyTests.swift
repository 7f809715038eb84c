import LarderClient
import LarderTesting
import Testing

@Suite struct CacheDependencyTests {
    private let clock = TestClock()

    /// The guide's example, with what it keeps in the cache.
    @Test func theGuidesExample() async throws {
        let servers = MapServers(clock: clock)
        let cache = RemoteCache(servers)
        try await cache.setMulti(["k1": 1, "k2": 2, "k3": 3, "k4": 4, "other": 5])
        // Module a.
        let dependency = CacheDependency(cache, "master-key")
        #expect(try await dependency.addMulti(["k1", "k2", "k3"]) == [])
        // Module b.
        #expect(try await CacheDependency(cache, "master-key").add("k4"))
        let kept = ["master-key", "master-key1", "master-key2", "master-key3", "master-key4"]
        #expect(servers.keys == (["k1", "k2", "k3", "k4", "other"] + kept).sorted())
        #expect(try await cache.get("master-key") == 4)
        let keys = try await dependency.keys()
        #expect(keys.sorted() == (["k1", "k2", "k3", "k4"] + kept).sorted())
        // Anywhere.
        #expect(try await CacheDependency(cache, "master-key").delete())
        #expect(servers.keys == ["other"])
        #expect(try await !CacheDependency(cache, "master-key").delete())
    }

    /// A server that is down took nothing: what should depend on something would never be deleted.
    @Test func whatNoServerTookIsNotTaken() async throws {
        var configuration = ConnectionConfiguration()
        configuration.onFailure = .miss
        configuration.silence()
        let down = MemcacheConnection(
            to: .unixSocket(path: "/nonexistent/larder.sock"), configuration: configuration)
        let dependency = CacheDependency(RemoteCache(down), "m")
        #expect(try await dependency.addMulti(["a", "b"]) == ["a", "b"])
        #expect(try await CacheDependency(NullCache(), "m").addMulti(["a", "b"]) == [])
    }

    /// Without what it depends on, a value does not stay.
    @Test func aValueWhoseDependencyFailsGoes() async throws {
        let servers = MapServers(clock: clock)
        let cache = RemoteCache(servers)
        let cached = Cached(MinimalCache(cache, canCount: false))
        await #expect(throws: CacheError.self) { try await cached.set("k", 1, dependsOn: "m") }
        #expect(servers.keys.isEmpty)
    }

    @Test(arguments: CacheKind.allCases)
    func deletesAllAndNothingElse(kind: CacheKind) async throws {
        let test = try kind.make()
        let names = ["k1", "k2", "k3", "k4"]
        for name in names + ["other"] { try await test.cache.set(name, 1, namespace: test.namespace) }
        let dependency = CacheDependency(test.cache, "m")
        try await dependency.addMulti(["k1", "k2", "k3"], namespace: test.namespace)
        try await dependency.add("k4", namespace: test.namespace)
        #expect(try await dependency.delete(namespace: test.namespace))
        let found = try await test.found(names + ["other", "m", "m1", "m2", "m3", "m4"])
        #expect(found == ["other"])
        #expect(try await dependency.keys(namespace: test.namespace) == [])
    }

    @Test func eachNamespaceForItself() async throws {
        let membership = try CacheKind.memory(clock)
        let funds = try CacheKind.memory(clock)
        let cache = try CacheClient(["membership": membership, "funds": funds], defaultNamespace: "funds")
        for namespace in ["membership", "funds"] {
            try await cache.set("k", 1, namespace: namespace)
            try await CacheDependency(cache, "m").add("k", namespace: namespace)
        }
        #expect(try await CacheDependency(cache, "m").delete(namespace: "membership"))
        #expect(membership.itemCount == 0)
        #expect(try await cache.get("k", namespace: "funds") == 1)
        #expect(try await CacheDependency(cache, "m").delete(namespace: "funds"))
        #expect(funds.itemCount == 0)
    }

    /// Masters that continue one another, and all that their entries are called.
    @Test func mastersDoNotMeet() async throws {
        let masters = [
            "k", "k1", "k12", "k1:", "k1::", "k:", "k:1", "k:1:", "1", "11", ":", "1:", "k1:1", "ключ",
            "ключ1",
        ]
        let servers = MapServers(clock: clock)
        let cache = RemoteCache(servers)
        for master in masters {
            for number in 0..<12 {
                try await cache.set("value \(master) \(number)", 1)
                #expect(try await CacheDependency(cache, master).add("value \(master) \(number)"))
            }
        }
        // A value, an entry and a number for each: no two are the same.
        #expect(servers.keys.count == masters.count * (12 + 12 + 1))
        for (place, master) in masters.enumerated() {
            #expect(try await CacheDependency(cache, master).delete())
            #expect(servers.keys.count == (masters.count - place - 1) * 25)
            #expect(servers.keys.allSatisfy { !$0.hasPrefix("value \(master) ") })
        }
    }

    @Test func entriesEnd() async throws {
        let servers = MapServers(clock: clock)
        let cache = RemoteCache(servers)
        let dependency = CacheDependency(cache, "m", expiration: .after(.seconds(10)))
        try await dependency.add("k")
        clock.advance(.seconds(11))
        #expect(try await cache.get("m") == 1)
        #expect(try await cache.get("m1", as: String.self) == nil)
        #expect(try await dependency.add("l"))
        #expect(try await dependency.keys() == ["l", "m2", "m"])
    }

    /// The number was evicted: what depended before depends still.
    @Test(arguments: [1, 2, 3, 10, 1000])
    func aLostNumberLosesNothing(count: Int) async throws {
        let servers = MapServers(clock: clock)
        let cache = RemoteCache(servers)
        let dependency = CacheDependency(cache, "m")
        let values = Dictionary(uniqueKeysWithValues: (0..<count).map { ("v\($0)", $0) })
        try await cache.setMulti(values)
        try await dependency.addMulti(Array(values.keys))
        try await cache.delete("m")
        try await cache.set("late", 1)
        #expect(try await dependency.add("late"))
        #expect(try await dependency.delete())
        #expect(servers.keys == [])
    }

    @Test func aNullCacheHasNothingToDelete() async throws {
        let dependency = CacheDependency(NullCache(), "m")
        #expect(try await dependency.addMulti(["k"]) == [])
        #expect(try await !dependency.delete())
    }

    @Test func aNumberThatSomebodyStoredIsNoTrap() async throws {
        let servers = MapServers(clock: clock)
        let cache = RemoteCache(servers)
        try await cache.set("m", UInt64.max)
        let dependency = CacheDependency(cache, "m")
        #expect(try await dependency.add("k"))
        try await cache.set("m", "text")
        await #expect(throws: CacheError.self) { try await dependency.add("k") }
        await #expect(throws: CacheError.self) { try await dependency.delete() }
    }

    /// Both may rely on it that all is gone.
    @Test func twoDeletesAtOnce() async throws {
        for round in 0..<500 {
            let servers = MapServers(clock: clock)
            let cache = RemoteCache(servers)
            try await cache.setMulti(["a": 1, "b": 1, "c": 1])
            try await CacheDependency(cache, "m").addMulti(["a", "b", "c"])
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<2 {
                    group.addTask {
                        try await CacheDependency(cache, "m").delete()
                        let left = try await cache.getMulti(["a", "b", "c"], as: Int.self)
                        #expect(left.isEmpty, "round \(round)")
                    }
                }
                try await group.waitForAll()
            }
            #expect(servers.keys == [])
        }
    }

    /// Adding while deleting: a key is deleted, or the next delete deletes it.
    @Test func nothingIsForgotten() async throws {
        for round in 0..<2000 {
            let servers = MapServers(clock: clock)
            let cache = RemoteCache(servers)
            let dependency = CacheDependency(cache, "m")
            try await cache.setMulti(["a": 1, "b": 1, "c": 1, "d": 1])
            try await dependency.add("a")
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await dependency.delete() }
                group.addTask { try await dependency.add("b") }
                group.addTask { try await dependency.addMulti(["c", "d"]) }
                try await group.waitForAll()
            }
            try await dependency.delete()
            #expect(servers.keys == [], "round \(round)")
        }
    }
}
