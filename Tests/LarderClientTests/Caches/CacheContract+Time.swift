import LarderClient
import Testing

/// Numbers.
extension CacheContract {
    @Sendable static func incrBeginsWithTheInitialValue(_ test: CacheUnderTest) async throws {
        #expect(try await test.cache.incr("ci", initial: 0, namespace: test.namespace) == 1)
        #expect(try await test.cache.get("ci", namespace: test.namespace) == 1)
        #expect(try await test.cache.incr("ci", namespace: test.namespace) == 2)
        #expect(try await test.cache.incr("ci", initial: 70, namespace: test.namespace) == 3)
        #expect(try await test.cache.get("ci", namespace: test.namespace) == 3)
    }

    @Sendable static func incrOfNothingIsNil(_ test: CacheUnderTest) async throws {
        #expect(try await test.cache.incr("ix", namespace: test.namespace) == nil)
        #expect(try await test.cache.get("ix", as: Int.self, namespace: test.namespace) == nil)
    }

    @Sendable static func decrBeginsWithTheInitialValue(_ test: CacheUnderTest) async throws {
        #expect(try await test.cache.decr("cd", initial: 10, namespace: test.namespace) == 9)
        #expect(try await test.cache.get("cd", namespace: test.namespace) == 9)
        #expect(try await test.cache.decr("cd", namespace: test.namespace) == 8)
        #expect(try await test.cache.get("cd", namespace: test.namespace) == 8)
    }

    @Sendable static func decrOfNothingIsNil(_ test: CacheUnderTest) async throws {
        #expect(try await test.cache.decr("dx", namespace: test.namespace) == nil)
    }

    @Sendable static func whatWasSetAsANumberCanBeCounted(_ test: CacheUnderTest) async throws {
        try await test.cache.set("n", 95, namespace: test.namespace)
        #expect(try await test.cache.incr("n", by: 10, namespace: test.namespace) == 105)
        #expect(try await test.cache.decr("n", by: 100, namespace: test.namespace) == 5)
        #expect(try await test.cache.get("n", namespace: test.namespace) == 5)
        #expect(try await test.cache.decr("n", by: 7, namespace: test.namespace) == 0)
        #expect(try await test.cache.decr("low", by: 5, initial: 3, namespace: test.namespace) == 0)
    }

    @Sendable static func whatIsNoNumberCannotBeCounted(_ test: CacheUnderTest) async throws {
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
    @Sendable static func aValueEnds(_ test: CacheUnderTest) async throws {
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

    @Sendable static func whatHasEndedAlreadyIsNotFound(_ test: CacheUnderTest) async throws {
        try await test.cache.set("zero", 1, expiration: .after(.zero), namespace: test.namespace)
        try await test.cache.set("past", 1, expiration: .at(1_000_000_000), namespace: test.namespace)
        #expect(try await test.found(["zero", "past"]) == [])
    }

    @Sendable static func aPointInTime(_ test: CacheUnderTest) async throws {
        let end = Expiration.at(test.clock.now / 1000 + 5)
        try await test.cache.set("at", 1, expiration: end, namespace: test.namespace)
        #expect(try await test.found(["at"]) == ["at"])
        test.clock.advance(.seconds(6))
        #expect(try await test.found(["at"]) == [])
    }

    @Sendable static func touchGivesAnotherEnd(_ test: CacheUnderTest) async throws {
        #expect(try await !test.cache.touch("t", expiration: .never, namespace: test.namespace))
        try await test.cache.set("t", 1, expiration: .after(.seconds(2)), namespace: test.namespace)
        try await test.cache.set("u", 1, namespace: test.namespace)
        #expect(try await test.cache.touch("t", expiration: .after(.seconds(100)), namespace: test.namespace))
        #expect(try await test.cache.touch("u", expiration: .after(.seconds(2)), namespace: test.namespace))
        test.clock.advance(.seconds(3))
        #expect(try await test.found(["t", "u"]) == ["t"])
    }

    @Sendable static func countingChangesNoEnd(_ test: CacheUnderTest)
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

/// Ends that stay.
extension CacheContract {
    @Sendable static func whatKeepsNoEndNeverEnds(_ test: CacheUnderTest) async throws {
        guard test.keepsEnds else { return }
        let (cache, namespace) = (test.cache, test.namespace)
        #expect(try await !cache.replace("r", 1, expiration: .kept, namespace: namespace))
        #expect(try await cache.add("a", 1, expiration: .kept, namespace: namespace))
        #expect(try await !cache.add("a", 2, expiration: .kept, namespace: namespace))
        #expect(try await cache.setMulti(["s": 1, "a": 3], expiration: .kept, namespace: namespace) == [])
        #expect(try await !cache.touch("t", expiration: .kept, namespace: namespace))
        for (key, value) in ["s": 1, "a": 3] {
            let found = try await cache.getWithTimeLeft(key, as: Int.self, namespace: namespace)
            #expect(found?.value == value)
            #expect(found?.left == .unlimited || !test.tellsTimeLeft)
        }
        #expect(try await test.found(["r", "t"]) == [])
    }

    @Sendable static func howLongAValueHasLeftIsTold(_ test: CacheUnderTest) async throws {
        let (cache, namespace) = (test.cache, test.namespace)
        #expect(try await cache.getWithTimeLeft("k", as: Int.self, namespace: namespace) == nil)
        try await cache.set("k", 1, expiration: .after(.seconds(100_000)), namespace: namespace)
        if test.keepsEnds { try await cache.set("k", 2, expiration: .kept, namespace: namespace) }
        #expect(try await cache.touch("k", expiration: .kept, namespace: namespace))
        let found = try await cache.getWithTimeLeft("k", as: Int.self, namespace: namespace)
        #expect(found?.value == (test.keepsEnds ? 2 : 1))
        guard test.tellsTimeLeft else { return }
        guard case .limited(let left)? = found?.left else { return test.fail("\(found as Any)") }
        #expect(left > .seconds(50_000) && left <= .seconds(100_000))
    }

    @Sendable static func aNewValueKeepsTheEnd(_ test: CacheUnderTest) async throws {
        let (cache, namespace) = (test.cache, test.namespace)
        try await cache.setMulti(
            ["s": 1, "r": 1, "t": 1, "n": 1], expiration: .after(.seconds(20)), namespace: namespace)
        test.clock.advance(.seconds(10))
        #expect(try await cache.set("s", 2, expiration: .kept, namespace: namespace))
        #expect(try await cache.replace("r", 2, expiration: .kept, namespace: namespace))
        #expect(try await cache.touch("t", expiration: .kept, namespace: namespace))
        #expect(try await cache.set("n", 2, expiration: .never, namespace: namespace))
        let left = try await cache.getWithTimeLeft("s", as: Int.self, namespace: namespace)?.left
        #expect(left == .limited(.seconds(10)) || !test.tellsTimeLeft)
        test.clock.advance(.seconds(9))
        #expect(try await test.found(["s", "r", "t", "n"]) == ["n", "r", "s", "t"])
        // One more, which may have been near.
        test.clock.advance(.seconds(2))
        #expect(try await test.found(["s", "r", "t", "n"]) == ["n"])
    }

    @Sendable static func anEndThatIsKeptDoesNotMove(_ test: CacheUnderTest) async throws {
        try await test.cache.set("k", 0, expiration: .after(.seconds(60)), namespace: test.namespace)
        for number in 1...199 {
            test.clock.advance(.milliseconds(300))
            #expect(try await test.cache.set("k", number, expiration: .kept, namespace: test.namespace))
        }
        #expect(try await test.cache.get("k", namespace: test.namespace) == 199)
        test.clock.advance(.milliseconds(1300))
        #expect(try await test.cache.get("k", as: Int.self, namespace: test.namespace) == nil)
    }
}

/// Leases.
extension CacheContract {
    @Sendable static func ofAllWhoAskForALeaseOneGetsIt(_ test: CacheUnderTest) async throws {
        guard case .won(let ticket) = try await test.lease("l") else { return test.fail("no lease") }
        #expect(try await test.lease("l") == .lost)
        #expect(try await test.cache.get("l", as: Int.self, namespace: test.namespace) == nil)
        let value = try EncodedValue(encoding: 5)
        #expect(
            try await test.cache.fulfil(ticket, "l", value, expiration: .never, namespace: test.namespace))
        #expect(try await test.lease("l") == .found(value))
        #expect(try await test.cache.get("l", namespace: test.namespace) == 5)
    }

    @Sendable static func aLeaseThatWasGivenUpIsFree(_ test: CacheUnderTest) async throws {
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

    @Sendable static func aLeaseEnds(_ test: CacheUnderTest) async throws {
        guard case .won(let ticket) = try await test.lease("l") else { return test.fail("no lease") }
        test.clock.advance(.seconds(11))
        guard case .won = try await test.lease("l") else { return test.fail("not over") }
        let value = try EncodedValue(encoding: 5)
        #expect(
            try await !test.cache.fulfil(ticket, "l", value, expiration: .never, namespace: test.namespace))
    }

    @Sendable static func aDeleteOrASetEndsALease(_ test: CacheUnderTest) async throws {
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
