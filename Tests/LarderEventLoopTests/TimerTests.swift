import LarderEventLoop
import Testing

@Suite struct TimerTests {
    @Test func aOneShotTimerFiresOnce() throws {
        let loop = try EventLoop()
        var calls = 0
        let timer = Timer(on: loop) { calls += 1 }
        timer.start(afterMilliseconds: 1)
        loop.turn(block: true)
        loop.turn(block: false)
        #expect(calls == 1)
        timer.start(afterMilliseconds: 0)
        loop.turn(block: true)
        #expect(calls == 2)
    }

    @Test func aRepeatingTimerFiresUntilStopped() throws {
        let loop = try EventLoop()
        var calls = 0
        let timer = Timer(on: loop) { calls += 1 }
        timer.start(afterMilliseconds: 1, repeats: true)
        while calls < 3 { loop.turn(block: true) }
        timer.stop()
        let stoppedAt = calls
        // Nothing is left to wait for, so that a blocking turn returns at once.
        loop.turn(block: true)
        #expect(calls == stoppedAt)
    }

    @Test func aTimerMayStopOrDropItselfInItsHandler() throws {
        let loop = try EventLoop()
        var calls = 0
        var timer: Timer?
        timer = Timer(on: loop) {
            calls += 1
            timer = nil
        }
        timer?.start(afterMilliseconds: 1, repeats: true)
        loop.turn(block: true)
        loop.turn(block: true)
        #expect(calls == 1)
        #expect(timer == nil)
    }

    @Test func aDroppedTimerDoesNotFire() throws {
        let loop = try EventLoop()
        var calls = 0
        Timer(on: loop) { calls += 1 }.start(afterMilliseconds: 0)
        loop.turn(block: true)
        #expect(calls == 0)
    }
}
