import Testing

@testable import LarderServer

/// Guesses at one address, on a clock of the test's own.
@Suite struct LoginThrottleTests {
    private let throttle = LoginThrottle()

    @Test func rightAttemptsNeverWaitForEachOther() {
        for _ in 0..<1000 { #expect(throttle.wait(1, succeeds: true, now: 50) == 0) }
    }

    @Test func anAttemptThatFailsMakesTheNextOneWait() {
        #expect(throttle.wait(1, succeeds: false, now: 1000) == 0)
        #expect(throttle.wait(1, succeeds: false, now: 1000) == 100)
        // The right one, too: that it is told sooner would tell the others apart.
        #expect(throttle.wait(1, succeeds: true, now: 1040) == 60)
        #expect(throttle.wait(1, succeeds: true, now: 1099) == 1)
        #expect(throttle.wait(1, succeeds: true, now: 1100) == 0)
        #expect(throttle.wait(1, succeeds: false, now: 1100) == 0)
        #expect(throttle.wait(1, succeeds: true, now: 1101) == 99)
    }

    @Test func addressesHaveNothingToDoWithEachOther() {
        #expect(throttle.wait(1, succeeds: false, now: 0) == 0)
        #expect(throttle.wait(2, succeeds: false, now: 0) == 0)
        #expect(throttle.wait(1, succeeds: false, now: 10) == 90)
        #expect(throttle.wait(2, succeeds: false, now: 20) == 80)
        #expect(throttle.wait(3, succeeds: true, now: 20) == 0)
    }

    /// However many ask, and however they come: ten in a second have their turn.
    @Test func tenInASecond() {
        var turns = 0
        for now in 0..<10_000 where throttle.wait(7, succeeds: false, now: Int64(now)) == 0 { turns += 1 }
        #expect(turns == 100)
    }

    /// Of many who wait one has its turn each time, whichever asks first: so the right one comes to it.
    @Test func theRightPasswordIsNotKeptOut() {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<100 {
            var now: Int64 = 0
            var isIn = false
            for _ in 0..<10_000 where !isIn {
                for asks in (0..<20).shuffled(using: &random) where throttle.wait(9, succeeds: asks == 0, now: now) == 0 && asks == 0 {
                    isIn = true
                }
                now += 100
            }
            #expect(isIn)
        }
    }

    /// What is kept is of one size; too many addresses at once make it forget those that are free soonest.
    @Test func manyAddresses() {
        for origin in 0..<100_000 {
            #expect(throttle.wait(UInt64(origin), succeeds: false, now: 5) == 0)
            #expect(throttle.wait(UInt64(origin), succeeds: false, now: 5) == 100)
        }
    }

    @Test func aClockAtItsBeginning() {
        #expect(throttle.wait(0, succeeds: true, now: 0) == 0)
        #expect(throttle.wait(0, succeeds: false, now: 0) == 0)
        #expect(throttle.wait(0, succeeds: true, now: 0) == 100)
    }

    @Test func answersComeLaterAndLater() {
        #expect((0..<7).map { LoginThrottle.delayMilliseconds(failures: $0) } == [100, 200, 400, 800, 1000, 1000, 1000])
        #expect(LoginThrottle.delayMilliseconds(failures: .max) == 1000)
        #expect(LoginThrottle.delayMilliseconds(failures: -1) == 100)
    }
}
