import LarderClient
import Testing

/// What every cache does: wheezy.caching's shared suite, case by case in words of our own, and what goes beyond it.
struct CacheContract: Sendable, CustomTestStringConvertible {
    let name: String
    let check: @Sendable (CacheUnderTest) async throws -> Void

    var testDescription: String { name }

    private init(_ name: String, _ check: @escaping @Sendable (CacheUnderTest) async throws -> Void) {
        self.name = name
        self.check = check
    }

    static let cases: [CacheContract] = [
        CacheContract("a key that is not there is nil", aKeyThatIsNotThereIsNil),
        CacheContract("keys that are not there are left out", keysThatAreNotThereAreLeftOut),
        CacheContract("what was set is got: text", whatWasSetIsGotText),
        CacheContract("what was set is got: a number", whatWasSetIsGotANumber),
        CacheContract("what was set is got: many", whatWasSetIsGotMany),
        CacheContract(
            "what was set is got: bytes, a truth, a structure, nothing of it",
            whatWasSetIsGotBytesATruthAStructureNothingOfIt),
        CacheContract("a stored nil is no miss", aStoredNilIsNoMiss),
        CacheContract("a key that can be none is refused", aKeyThatCanBeNoneIsRefused),
        CacheContract("a later set takes the place of an earlier one", aLaterSetTakesThePlaceOfAnEarlierOne),
        CacheContract("add stores where there is nothing", addStoresWhereThereIsNothing),
        CacheContract("addMulti tells which were there", addMultiTellsWhichWereThere),
        CacheContract("replace stores where there is something", replaceStoresWhereThereIsSomething),
        CacheContract("replaceMulti tells which were not there", replaceMultiTellsWhichWereNotThere),
        CacheContract("delete tells whether there was something", deleteTellsWhetherThereWasSomething),
        CacheContract(
            "deleteMulti leaves none, whether they were there or not",
            deleteMultiLeavesNoneWhetherTheyWereThereOrNot),
        CacheContract("flushAll leaves nothing", flushAllLeavesNothing),
        CacheContract("incr begins with the initial value", incrBeginsWithTheInitialValue),
        CacheContract("incr of nothing is nil", incrOfNothingIsNil),
        CacheContract("decr begins with the initial value", decrBeginsWithTheInitialValue),
        CacheContract("decr of nothing is nil", decrOfNothingIsNil),
        CacheContract("what was set as a number can be counted", whatWasSetAsANumberCanBeCounted),
        CacheContract("what is no number cannot be counted", whatIsNoNumberCannotBeCounted),
        CacheContract("a value ends", aValueEnds),
        CacheContract("what has ended already is not found", whatHasEndedAlreadyIsNotFound),
        CacheContract("a point in time", aPointInTime),
        CacheContract("touch gives another end", touchGivesAnotherEnd),
        CacheContract(
            "counting changes no end, and a number's beginning has one",
            countingChangesNoEndAndANumberSBeginningHasOne),
        CacheContract("of all who ask for a lease one gets it", ofAllWhoAskForALeaseOneGetsIt),
        CacheContract("a lease that was given up is free", aLeaseThatWasGivenUpIsFree),
        CacheContract("a lease ends", aLeaseEnds),
        CacheContract("a delete or a set ends a lease", aDeleteOrASetEndsALease),
    ]
}

/// What is read.
extension CacheContract {
    @Sendable fileprivate static func aKeyThatIsNotThereIsNil(_ test: CacheUnderTest) async throws {
        #expect(try await test.cache.get("unknown", as: String.self, namespace: test.namespace) == nil)
    }

    @Sendable fileprivate static func keysThatAreNotThereAreLeftOut(_ test: CacheUnderTest) async throws {
        let found = try await test.cache.getMulti(
            ["unknown1", "unknown2"], as: String.self, namespace: test.namespace)
        #expect(found.isEmpty)
    }

    @Sendable fileprivate static func whatWasSetIsGotText(_ test: CacheUnderTest) async throws {
        #expect(try await test.cache.set("s1", "some string", namespace: test.namespace))
        #expect(try await test.cache.get("s1", namespace: test.namespace) == "some string")
    }

    @Sendable fileprivate static func whatWasSetIsGotANumber(_ test: CacheUnderTest) async throws {
        #expect(try await test.cache.set("i1", 100, namespace: test.namespace))
        #expect(try await test.cache.get("i1", namespace: test.namespace) == 100)
    }

    @Sendable fileprivate static func whatWasSetIsGotMany(_ test: CacheUnderTest) async throws {
        let values = ["k1": "v1", "k2": "v2"]
        #expect(try await test.cache.setMulti(values, namespace: test.namespace) == [])
        #expect(try await test.cache.getMulti(["k1", "k2", "k3"], namespace: test.namespace) == values)
    }

    @Sendable fileprivate static func whatWasSetIsGotBytesATruthAStructureNothingOfIt(_ test: CacheUnderTest)
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

    @Sendable fileprivate static func aStoredNilIsNoMiss(_ test: CacheUnderTest) async throws {
        #expect(try await test.cache.set("nil", Int?.none, namespace: test.namespace))
        let stored = try await test.cache.get("nil", as: Int?.self, namespace: test.namespace)
        #expect(stored == .some(.none))
        let missing = try await test.cache.get("nothing", as: Int?.self, namespace: test.namespace)
        #expect(missing == .none)
    }

    @Sendable fileprivate static func aKeyThatCanBeNoneIsRefused(_ test: CacheUnderTest) async throws {
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
    @Sendable fileprivate static func aLaterSetTakesThePlaceOfAnEarlierOne(_ test: CacheUnderTest)
        async throws
    {
        #expect(try await test.cache.set("s", "long before", namespace: test.namespace))
        #expect(try await test.cache.set("s", "now", namespace: test.namespace))
        #expect(try await test.cache.get("s", namespace: test.namespace) == "now")
    }

    @Sendable fileprivate static func addStoresWhereThereIsNothing(_ test: CacheUnderTest) async throws {
        #expect(try await test.cache.add("a", 100, namespace: test.namespace))
        #expect(try await test.cache.get("a", namespace: test.namespace) == 100)
        #expect(try await !test.cache.add("a", 101, namespace: test.namespace))
        #expect(try await test.cache.get("a", namespace: test.namespace) == 100)
    }

    @Sendable fileprivate static func addMultiTellsWhichWereThere(_ test: CacheUnderTest) async throws {
        let values = ["a1": 1, "a2": 2]
        #expect(try await test.cache.addMulti(values, namespace: test.namespace) == [])
        #expect(try await test.cache.getMulti(["a1", "a2"], namespace: test.namespace) == values)
        let more = ["a1": 10, "a2": 20, "a3": 30]
        #expect(try await test.cache.addMulti(more, namespace: test.namespace) == ["a1", "a2"])
        let found = try await test.cache.getMulti(
            ["a1", "a2", "a3"], as: Int.self, namespace: test.namespace)
        #expect(found == ["a1": 1, "a2": 2, "a3": 30])
    }

    @Sendable fileprivate static func replaceStoresWhereThereIsSomething(_ test: CacheUnderTest) async throws
    {
        #expect(try await test.cache.add("r", 100, namespace: test.namespace))
        #expect(try await test.cache.replace("r", 101, namespace: test.namespace))
        #expect(try await test.cache.get("r", namespace: test.namespace) == 101)
        #expect(try await !test.cache.replace("rr", 101, namespace: test.namespace))
        #expect(try await test.cache.get("rr", as: Int.self, namespace: test.namespace) == nil)
    }

    @Sendable fileprivate static func replaceMultiTellsWhichWereNotThere(_ test: CacheUnderTest) async throws
    {
        let values = ["r1": 1, "r2": 2]
        #expect(try await test.cache.replaceMulti(values, namespace: test.namespace) == ["r1", "r2"])
        #expect(try await test.cache.addMulti(values, namespace: test.namespace) == [])
        let others = ["r1": 100, "r2": 200]
        #expect(try await test.cache.replaceMulti(others, namespace: test.namespace) == [])
        #expect(try await test.cache.getMulti(["r1", "r2"], namespace: test.namespace) == others)
    }

    @Sendable fileprivate static func deleteTellsWhetherThereWasSomething(_ test: CacheUnderTest) async throws
    {
        #expect(try await !test.cache.delete("d", namespace: test.namespace))
        try await test.cache.set("d", 1, namespace: test.namespace)
        #expect(try await test.cache.delete("d", namespace: test.namespace))
        #expect(try await test.cache.get("d", as: Int.self, namespace: test.namespace) == nil)
        #expect(try await !test.cache.delete("d", namespace: test.namespace))
    }

    @Sendable fileprivate static func deleteMultiLeavesNoneWhetherTheyWereThereOrNot(_ test: CacheUnderTest)
        async throws
    {
        let keys = ["d1", "d2"]
        #expect(try await test.cache.deleteMulti(keys, namespace: test.namespace))
        try await test.cache.setMulti(["d1": 1, "d2": 2, "d3": 3], namespace: test.namespace)
        #expect(try await test.cache.deleteMulti(keys, namespace: test.namespace))
        let left = try await test.cache.getMulti(keys + ["d3"], as: Int.self, namespace: test.namespace)
        #expect(left == ["d3": 3])
    }

    @Sendable fileprivate static func flushAllLeavesNothing(_ test: CacheUnderTest) async throws {
        #expect(try await test.cache.setMulti(["s1": 1, "s2": 2], namespace: test.namespace) == [])
        #expect(try await test.cache.flushAll())
        let left = try await test.cache.getMulti(["s1", "s2"], as: Int.self, namespace: test.namespace)
        #expect(left.isEmpty)
        #expect(try await test.cache.set("s1", 3, namespace: test.namespace))
        #expect(try await test.cache.get("s1", namespace: test.namespace) == 3)
    }
}

/// Numbers.
extension CacheContract {
    @Sendable fileprivate static func incrBeginsWithTheInitialValue(_ test: CacheUnderTest) async throws {
        #expect(try await test.cache.incr("ci", initial: 0, namespace: test.namespace) == 1)
        #expect(try await test.cache.get("ci", namespace: test.namespace) == 1)
        #expect(try await test.cache.incr("ci", namespace: test.namespace) == 2)
        #expect(try await test.cache.incr("ci", initial: 70, namespace: test.namespace) == 3)
        #expect(try await test.cache.get("ci", namespace: test.namespace) == 3)
    }

    @Sendable fileprivate static func incrOfNothingIsNil(_ test: CacheUnderTest) async throws {
        #expect(try await test.cache.incr("ix", namespace: test.namespace) == nil)
        #expect(try await test.cache.get("ix", as: Int.self, namespace: test.namespace) == nil)
    }

    @Sendable fileprivate static func decrBeginsWithTheInitialValue(_ test: CacheUnderTest) async throws {
        #expect(try await test.cache.decr("cd", initial: 10, namespace: test.namespace) == 9)
        #expect(try await test.cache.get("cd", namespace: test.namespace) == 9)
        #expect(try await test.cache.decr("cd", namespace: test.namespace) == 8)
        #expect(try await test.cache.get("cd", namespace: test.namespace) == 8)
    }

    @Sendable fileprivate static func decrOfNothingIsNil(_ test: CacheUnderTest) async throws {
        #expect(try await test.cache.decr("dx", namespace: test.namespace) == nil)
    }

    @Sendable fileprivate static func whatWasSetAsANumberCanBeCounted(_ test: CacheUnderTest) async throws {
        try await test.cache.set("n", 95, namespace: test.namespace)
        #expect(try await test.cache.incr("n", by: 10, namespace: test.namespace) == 105)
        #expect(try await test.cache.decr("n", by: 100, namespace: test.namespace) == 5)
        #expect(try await test.cache.get("n", namespace: test.namespace) == 5)
        #expect(try await test.cache.decr("n", by: 7, namespace: test.namespace) == 0)
        #expect(try await test.cache.decr("low", by: 5, initial: 3, namespace: test.namespace) == 0)
    }

    @Sendable fileprivate static func whatIsNoNumberCannotBeCounted(_ test: CacheUnderTest) async throws {
        try await test.cache.set("text", "ten", namespace: test.namespace)
        let error = await #expect(throws: CacheError.self) {
            try await test.cache.incr("text", namespace: test.namespace)
        }
        #expect(error?.code == .notANumber)
        #expect(try await test.cache.get("text", namespace: test.namespace) == "ten")
    }
}

/// When values end.
extension CacheContract {
    @Sendable fileprivate static func aValueEnds(_ test: CacheUnderTest) async throws {
        try await test.cache.set("short", 1, expiration: .after(.seconds(2)), namespace: test.namespace)
        try await test.cache.add("added", 1, expiration: .after(.seconds(2)), namespace: test.namespace)
        try await test.cache.set("long", 1, expiration: .after(.seconds(100)), namespace: test.namespace)
        try await test.cache.set("ever", 1, namespace: test.namespace)
        #expect(
            try await test.found(["short", "added", "long", "ever"]) == ["added", "ever", "long", "short"])
        test.clock.advance(.seconds(3))
        #expect(try await test.found(["short", "added", "long", "ever"]) == ["ever", "long"])
        #expect(try await test.cache.add("short", 2, namespace: test.namespace))
        #expect(try await !test.cache.replace("added", 2, namespace: test.namespace))
    }

    @Sendable fileprivate static func whatHasEndedAlreadyIsNotFound(_ test: CacheUnderTest) async throws {
        try await test.cache.set("zero", 1, expiration: .after(.zero), namespace: test.namespace)
        try await test.cache.set("past", 1, expiration: .at(1_000_000_000), namespace: test.namespace)
        #expect(try await test.found(["zero", "past"]) == [])
    }

    @Sendable fileprivate static func aPointInTime(_ test: CacheUnderTest) async throws {
        let end = Expiration.at(test.clock.now / 1000 + 5)
        try await test.cache.set("at", 1, expiration: end, namespace: test.namespace)
        #expect(try await test.found(["at"]) == ["at"])
        test.clock.advance(.seconds(6))
        #expect(try await test.found(["at"]) == [])
    }

    @Sendable fileprivate static func touchGivesAnotherEnd(_ test: CacheUnderTest) async throws {
        #expect(try await !test.cache.touch("t", expiration: .never, namespace: test.namespace))
        try await test.cache.set("t", 1, expiration: .after(.seconds(2)), namespace: test.namespace)
        try await test.cache.set("u", 1, namespace: test.namespace)
        #expect(try await test.cache.touch("t", expiration: .after(.seconds(100)), namespace: test.namespace))
        #expect(try await test.cache.touch("u", expiration: .after(.seconds(2)), namespace: test.namespace))
        test.clock.advance(.seconds(3))
        #expect(try await test.found(["t", "u"]) == ["t"])
    }

    @Sendable fileprivate static func countingChangesNoEndAndANumberSBeginningHasOne(_ test: CacheUnderTest)
        async throws
    {
        try await test.cache.set("n", 1, expiration: .after(.seconds(2)), namespace: test.namespace)
        #expect(try await test.cache.incr("n", namespace: test.namespace) == 2)
        let end = Expiration.after(.seconds(2))
        #expect(try await test.cache.incr("m", initial: 4, expiration: end, namespace: test.namespace) == 5)
        #expect(try await test.cache.incr("m", expiration: .never, namespace: test.namespace) == 6)
        #expect(try await test.cache.incr("e", initial: 4, namespace: test.namespace) == 5)
        test.clock.advance(.seconds(3))
        #expect(try await test.found(["n", "m", "e"]) == ["e"])
    }
}

/// Leases.
extension CacheContract {
    @Sendable fileprivate static func ofAllWhoAskForALeaseOneGetsIt(_ test: CacheUnderTest) async throws {
        guard case .won(let ticket) = try await test.lease("l") else { return test.fail("no lease") }
        #expect(try await test.lease("l") == .lost)
        #expect(try await test.cache.get("l", as: Int.self, namespace: test.namespace) == nil)
        let value = try EncodedValue(encoding: 5)
        #expect(
            try await test.cache.fulfil(ticket, "l", value, expiration: .never, namespace: test.namespace))
        #expect(try await test.lease("l") == .found(value))
        #expect(try await test.cache.get("l", namespace: test.namespace) == 5)
    }

    @Sendable fileprivate static func aLeaseThatWasGivenUpIsFree(_ test: CacheUnderTest) async throws {
        guard case .won(let ticket) = try await test.lease("l") else { return test.fail("no lease") }
        try await test.cache.abandon(ticket, "l", namespace: test.namespace)
        guard case .won(let other) = try await test.lease("l") else { return test.fail("not free") }
        // The first one's is over.
        try await test.cache.abandon(ticket, "l", namespace: test.namespace)
        #expect(try await test.lease("l") == .lost)
        let value = try EncodedValue(encoding: 5)
        #expect(
            try await !test.cache.fulfil(ticket, "l", value, expiration: .never, namespace: test.namespace))
        #expect(try await test.cache.fulfil(other, "l", value, expiration: .never, namespace: test.namespace))
    }

    @Sendable fileprivate static func aLeaseEnds(_ test: CacheUnderTest) async throws {
        guard case .won(let ticket) = try await test.lease("l") else { return test.fail("no lease") }
        test.clock.advance(.seconds(11))
        guard case .won = try await test.lease("l") else { return test.fail("not over") }
        let value = try EncodedValue(encoding: 5)
        #expect(
            try await !test.cache.fulfil(ticket, "l", value, expiration: .never, namespace: test.namespace))
    }

    @Sendable fileprivate static func aDeleteOrASetEndsALease(_ test: CacheUnderTest) async throws {
        guard test.leasesNoticeChanges else { return }
        let value = try EncodedValue(encoding: 5)
        guard case .won(let first) = try await test.lease("l") else { return test.fail("no lease") }
        try await test.cache.delete("l", namespace: test.namespace)
        #expect(
            try await !test.cache.fulfil(first, "l", value, expiration: .never, namespace: test.namespace))
        guard case .won(let second) = try await test.lease("l") else { return test.fail("no lease") }
        try await test.cache.set("l", 6, namespace: test.namespace)
        #expect(
            try await !test.cache.fulfil(second, "l", value, expiration: .never, namespace: test.namespace))
        #expect(try await test.cache.get("l", namespace: test.namespace) == 6)
    }
}

/// A cache, and what a case needs to know of it.
struct CacheUnderTest: Sendable {
    let cache: any Cache
    let clock: TestClock
    var namespace: String?
    /// Not those that keep their leases by `add`.
    var leasesNoticeChanges = true
    /// Whose keys may have any length.
    var hasLongKeys = false
    /// What the cache is in, to be kept as long.
    var file: TestFile?

    /// Which of the keys have a number.
    func found(_ keys: [String]) async throws -> [String] {
        try await cache.getMulti(keys, as: Int.self, namespace: namespace).keys.sorted()
    }

    func lease(_ key: String) async throws -> CacheLease {
        try await cache.lease(key, duration: .seconds(10), namespace: namespace)
    }

    func fail(_ reason: String) { Issue.record("\(reason)") }
}
