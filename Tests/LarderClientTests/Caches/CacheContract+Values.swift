import LarderClient
import Testing

/// What is read.
extension CacheContract {
    @Sendable static func aKeyThatIsNotThereIsNil(_ test: CacheUnderTest) async throws {
        #expect(try await test.cache.get("unknown", as: String.self, namespace: test.namespace) == nil)
    }

    @Sendable static func keysThatAreNotThereAreLeftOut(_ test: CacheUnderTest) async throws {
        let found = try await test.cache.getMulti(
            ["unknown1", "unknown2"], as: String.self, namespace: test.namespace)
        #expect(found.isEmpty)
    }

    @Sendable static func whatWasSetIsGotText(_ test: CacheUnderTest) async throws {
        #expect(try await test.cache.set("s1", "some string", namespace: test.namespace))
        #expect(try await test.cache.get("s1", namespace: test.namespace) == "some string")
    }

    @Sendable static func whatWasSetIsGotANumber(_ test: CacheUnderTest) async throws {
        #expect(try await test.cache.set("i1", 100, namespace: test.namespace))
        #expect(try await test.cache.get("i1", namespace: test.namespace) == 100)
    }

    @Sendable static func whatWasSetIsGotMany(_ test: CacheUnderTest) async throws {
        let values = ["k1": "v1", "k2": "v2"]
        #expect(try await test.cache.setMulti(values, namespace: test.namespace) == [])
        #expect(try await test.cache.getMulti(["k1", "k2", "k3"], namespace: test.namespace) == values)
    }

    @Sendable static func whatWasSetIsGotOfOtherTypes(_ test: CacheUnderTest)
        async throws
    {
        struct Row: Codable, Equatable { var id: Int, names: [String] }
        let row = Row(id: 7, names: ["a", "é"])
        #expect(try await test.cache.set("b", Array(UInt8.min...UInt8.max), namespace: test.namespace))
        #expect(try await test.cache.set("t", true, namespace: test.namespace))
        #expect(try await test.cache.set("r", row, namespace: test.namespace))
        #expect(try await test.cache.set("e", "", namespace: test.namespace))
        #expect(try await test.cache.get("b", namespace: test.namespace) == Array(UInt8.min...UInt8.max))
        #expect(try await test.cache.get("t", namespace: test.namespace) == true)
        #expect(try await test.cache.get("r", namespace: test.namespace) == row)
        #expect(try await test.cache.get("e", namespace: test.namespace) == "")
    }

    @Sendable static func aStoredNilIsNoMiss(_ test: CacheUnderTest) async throws {
        #expect(try await test.cache.set("nil", Int?.none, namespace: test.namespace))
        let stored = try await test.cache.get("nil", as: Int?.self, namespace: test.namespace)
        #expect(stored == .some(.none))
        let missing = try await test.cache.get("nothing", as: Int?.self, namespace: test.namespace)
        #expect(missing == .none)
    }

    @Sendable static func aKeyThatCanBeNoneIsRefused(_ test: CacheUnderTest) async throws {
        for key in [""] + (test.hasLongKeys ? [] : [String(repeating: "k", count: 251)]) {
            let error = await #expect(throws: CacheError.self) {
                try await test.cache.set(key, 1, namespace: test.namespace)
            }
            #expect(error?.code == .badKey)
        }
        let longest = String(repeating: "k", count: 250)
        #expect(try await test.cache.set(longest, 1, namespace: test.namespace))
        #expect(try await test.cache.get(longest, namespace: test.namespace) == 1)
    }
}

/// What is stored and removed.
extension CacheContract {
    @Sendable static func aLaterSetTakesThePlaceOfAnEarlierOne(_ test: CacheUnderTest)
        async throws
    {
        #expect(try await test.cache.set("s", "long before", namespace: test.namespace))
        #expect(try await test.cache.set("s", "now", namespace: test.namespace))
        #expect(try await test.cache.get("s", namespace: test.namespace) == "now")
    }

    @Sendable static func addStoresWhereThereIsNothing(_ test: CacheUnderTest) async throws {
        #expect(try await test.cache.add("a", 100, namespace: test.namespace))
        #expect(try await test.cache.get("a", namespace: test.namespace) == 100)
        #expect(try await !test.cache.add("a", 101, namespace: test.namespace))
        #expect(try await test.cache.get("a", namespace: test.namespace) == 100)
    }

    @Sendable static func addMultiTellsWhichWereThere(_ test: CacheUnderTest) async throws {
        let values = ["a1": 1, "a2": 2]
        #expect(try await test.cache.addMulti(values, namespace: test.namespace) == [])
        #expect(try await test.cache.getMulti(["a1", "a2"], namespace: test.namespace) == values)
        let more = ["a1": 10, "a2": 20, "a3": 30]
        #expect(try await test.cache.addMulti(more, namespace: test.namespace) == ["a1", "a2"])
        let found = try await test.cache.getMulti(
            ["a1", "a2", "a3"], as: Int.self, namespace: test.namespace)
        #expect(found == ["a1": 1, "a2": 2, "a3": 30])
    }

    @Sendable static func replaceStoresWhereThereIsSomething(_ test: CacheUnderTest) async throws {
        #expect(try await test.cache.add("r", 100, namespace: test.namespace))
        #expect(try await test.cache.replace("r", 101, namespace: test.namespace))
        #expect(try await test.cache.get("r", namespace: test.namespace) == 101)
        #expect(try await !test.cache.replace("rr", 101, namespace: test.namespace))
        #expect(try await test.cache.get("rr", as: Int.self, namespace: test.namespace) == nil)
    }

    @Sendable static func replaceMultiTellsWhichWereNotThere(_ test: CacheUnderTest) async throws {
        let values = ["r1": 1, "r2": 2]
        #expect(try await test.cache.replaceMulti(values, namespace: test.namespace) == ["r1", "r2"])
        #expect(try await test.cache.addMulti(values, namespace: test.namespace) == [])
        let others = ["r1": 100, "r2": 200]
        #expect(try await test.cache.replaceMulti(others, namespace: test.namespace) == [])
        #expect(try await test.cache.getMulti(["r1", "r2"], namespace: test.namespace) == others)
    }

    @Sendable static func deleteTellsWhetherThereWasSomething(_ test: CacheUnderTest) async throws {
        #expect(try await !test.cache.delete("d", namespace: test.namespace))
        try await test.cache.set("d", 1, namespace: test.namespace)
        #expect(try await test.cache.delete("d", namespace: test.namespace))
        #expect(try await test.cache.get("d", as: Int.self, namespace: test.namespace) == nil)
        #expect(try await !test.cache.delete("d", namespace: test.namespace))
    }

    @Sendable static func deleteMultiLeavesNone(_ test: CacheUnderTest)
        async throws
    {
        let keys = ["d1", "d2"]
        #expect(try await test.cache.deleteMulti(keys, namespace: test.namespace))
        try await test.cache.setMulti(["d1": 1, "d2": 2, "d3": 3], namespace: test.namespace)
        #expect(try await test.cache.deleteMulti(keys, namespace: test.namespace))
        let left = try await test.cache.getMulti(keys + ["d3"], as: Int.self, namespace: test.namespace)
        #expect(left == ["d3": 3])
    }

    @Sendable static func flushAllLeavesNothing(_ test: CacheUnderTest) async throws {
        #expect(try await test.cache.setMulti(["s1": 1, "s2": 2], namespace: test.namespace) == [])
        #expect(try await test.cache.flushAll())
        let left = try await test.cache.getMulti(["s1", "s2"], as: Int.self, namespace: test.namespace)
        #expect(left.isEmpty)
        #expect(try await test.cache.set("s1", 3, namespace: test.namespace))
        #expect(try await test.cache.get("s1", namespace: test.namespace) == 3)
    }
}
