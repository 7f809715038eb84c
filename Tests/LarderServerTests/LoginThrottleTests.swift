import LarderTesting
import Testing

@testable import LarderServer

/// Guesses from one address, on the test's own clock.
@Suite struct LoginThrottleTests {
    private let throttle = LoginThrottle()

    @Test func rightAttemptsNeverWaitForEachOther() {
        for _ in 0..<1000 { #expect(throttle.wait(1, succeeds: true, now: 50) == 0) }
    }

    @Test func anAttemptThatFailsMakesTheNextOneWait() {
        #expect(throttle.wait(1, succeeds: false, now: 1000) == 0)
        #expect(throttle.wait(1, succeeds: false, now: 1000) == 100)
        // The right password waits, too: an earlier answer would mark the others as wrong.
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

    /// Ten attempts a second have their turn, for any number and order of attempts.
    @Test func tenInASecond() {
        var turns = 0
        for now in 0..<10_000 where throttle.wait(7, succeeds: false, now: Int64(now)) == 0 { turns += 1 }
        #expect(turns == 100)
    }

    /// One waiting attempt at a time has its turn: the first that asks. So the right password gets its turn, too.
    @Test func theRightPasswordIsNotKeptOut() {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SeededRandom(seed: seed)
        for _ in 0..<100 {
            var now: Int64 = 0
            var isIn = false
            for _ in 0..<10_000 where !isIn {
                for asks in (0..<20).shuffled(using: &random)
                where throttle.wait(9, succeeds: asks == 0, now: now) == 0 && asks == 0 {
                    isIn = true
                }
                now += 100
            }
            #expect(isIn, "seed \(seed)")
        }
    }

    /// The table has a fixed size. With too many addresses it forgets those that become free first.
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
        #expect(
            (0..<7).map { LoginThrottle.delayMilliseconds(failures: $0) } == [100, 200, 400, 800, 1000, 1000, 1000])
        #expect(LoginThrottle.delayMilliseconds(failures: .max) == 1000)
        #expect(LoginThrottle.delayMilliseconds(failures: -1) == 100)
    }
}
