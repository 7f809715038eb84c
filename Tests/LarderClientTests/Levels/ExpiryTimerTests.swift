import Testing

@testable import LarderClient

@Suite struct ExpiryTimerTests {
    private let clock = TestClock()

    @Test func callsAtTheEarliestTime() async throws {
        let timer = ExpiryTimer(clock.cacheClock)
        let fired = Shared<[Int64]>([])
        let fire: @Sendable (Int64) -> Void = { due in
            timer.schedule(due) { fired.change { $0.append(due) } }
        }
        let start = clock.now
        fire(start + 5000)
        await until { clock.sleepers == 1 }
        fire(start + 7000)
        fire(start + 2000)
        // The first sleeper is woken at once, and there is another.
        await until { clock.sleepers == 1 }
        clock.advance(.milliseconds(1999))
        for _ in 0..<20 { await Task.yield() }
        #expect(fired.value.isEmpty)
        clock.advance(.milliseconds(1))
        await until { !fired.value.isEmpty }
        #expect(fired.value == [start + 2000])
        // What is over already is called at once.
        fire(start)
        await until { fired.value.count == 2 }
        timer.stop()
        fire(start)
        for _ in 0..<20 { await Task.yield() }
        #expect(fired.value == [start + 2000, start])
    }

    @Test func waitsForWhatIsFarAway() async throws {
        let timer = ExpiryTimer(clock.cacheClock)
        let fired = Shared(0)
        let days: Int64 = 3
        timer.schedule(clock.now + days * 86_400_000) { fired.next() }
        for _ in 0..<days {
            #expect(fired.value == 0)
            await until { clock.sleepers == 1 }
            clock.advance(.seconds(86_400))
        }
        await until { fired.value == 1 }
        timer.schedule(.max - 1) { fired.next() }
        await until { clock.sleepers == 1 }
        timer.stop()
        await until { clock.sleepers == 0 }
        #expect(fired.value == 1)
    }
}
