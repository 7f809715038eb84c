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

    static let cases = timeless + timed

    /// Those for which time need not pass.
    static let timeless: [CacheContract] = [
        CacheContract("a key that is not there is nil", aKeyThatIsNotThereIsNil),
        CacheContract("keys that are not there are left out", keysThatAreNotThereAreLeftOut),
        CacheContract("what was set is got: text", whatWasSetIsGotText),
        CacheContract("what was set is got: a number", whatWasSetIsGotANumber),
        CacheContract("what was set is got: many", whatWasSetIsGotMany),
        CacheContract(
            "what was set is got: bytes, a truth, a structure, nothing of it",
            whatWasSetIsGotOfOtherTypes),
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
            deleteMultiLeavesNone),
        CacheContract("flushAll leaves nothing", flushAllLeavesNothing),
        CacheContract("incr begins with the initial value", incrBeginsWithTheInitialValue),
        CacheContract("incr of nothing is nil", incrOfNothingIsNil),
        CacheContract("decr begins with the initial value", decrBeginsWithTheInitialValue),
        CacheContract("decr of nothing is nil", decrOfNothingIsNil),
        CacheContract("what was set as a number can be counted", whatWasSetAsANumberCanBeCounted),
        CacheContract("what is no number cannot be counted", whatIsNoNumberCannotBeCounted),
        CacheContract("what has ended already is not found", whatHasEndedAlreadyIsNotFound),
        CacheContract("what keeps an end never ends where there was nothing", whatKeepsNoEndNeverEnds),
        CacheContract("how long a value has left is told", howLongAValueHasLeftIsTold),
        CacheContract("of all who ask for a lease one gets it", ofAllWhoAskForALeaseOneGetsIt),
        CacheContract("a lease that was given up is free", aLeaseThatWasGivenUpIsFree),
        CacheContract("a delete or a set ends a lease", aDeleteOrASetEndsALease),
    ]

    /// Those that move the clock.
    private static let timed: [CacheContract] = [
        CacheContract("a value ends", aValueEnds),
        CacheContract("a point in time", aPointInTime),
        CacheContract("touch gives another end", touchGivesAnotherEnd),
        CacheContract(
            "counting changes no end, and a number's beginning has one",
            countingChangesNoEnd),
        CacheContract("a new value keeps the end of the one before", aNewValueKeepsTheEnd),
        CacheContract("an end that is kept again and again does not move", anEndThatIsKeptDoesNotMove),
        CacheContract("a lease ends", aLeaseEnds),
    ]
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
    /// Not those that leave it to the protocol.
    var tellsTimeLeft = true
    /// Not those over the binary dialect.
    var keepsEnds = true
    /// What the cache is in, to be kept as long.
    var file: TestFile?

    /// Which of the keys have a number.
    func found(_ keys: [String]) async throws -> [String] {
        try await cache.getMulti(keys, as: Int.self, namespace: namespace).keys.sorted()
    }

    func lease(_ key: String) async throws -> Lease<EncodedValue> {
        try await cache.lease(key, duration: .seconds(10), namespace: namespace)
    }

    func fail(_ reason: String) { Issue.record("\(reason)") }
}
