import LarderEventLoop
import Synchronization
import Testing

@testable import LarderServer

@Suite struct ConnectionLimitTests {
    @Test func placesAreExactlyAsManyAsTheLimit() {
        let limit = ConnectionLimit(maximum: 2)
        #expect(limit.tryAcquire())
        #expect(!limit.isFull)
        #expect(limit.tryAcquire())
        #expect(limit.isFull)
        #expect(!limit.tryAcquire())
        limit.release()
        #expect(limit.tryAcquire())
        #expect(limit.current == 2)
        #expect(limit.total == 3)
    }

    @Test func threadsNeverHoldMoreThanTheLimit() throws {
        let limit = ConnectionLimit(maximum: 3)
        let holders = Atomic(0)
        let most = Atomic(0)
        let taken = Atomic(0)
        try withThreads(count: 4) {
            for _ in 0..<5_000 where limit.tryAcquire() {
                let now = holders.add(1, ordering: .relaxed).newValue
                most.max(now, ordering: .relaxed)
                taken.add(1, ordering: .relaxed)
                holders.subtract(1, ordering: .relaxed)
                limit.release()
            }
        }
        #expect(most.load(ordering: .relaxed) <= 3)
        #expect(limit.current == 0)
        #expect(limit.total == taken.load(ordering: .relaxed))
    }

    @Test func aReleaseWakesWhoeverWaitsForIt() throws {
        let loop = try EventLoop()
        var calls = 0
        let wakeup = try Wakeup(on: loop) { calls += 1 }
        let limit = ConnectionLimit(maximum: 1)
        limit.setWaker(wakeup.waker)
        #expect(!limit.waitForRelease(), "there is a place: nothing to wait for")
        #expect(limit.tryAcquire())
        limit.release()
        loop.turn(block: false)
        #expect(calls == 0, "nobody waited")

        #expect(limit.tryAcquire())
        #expect(limit.waitForRelease())
        limit.release()
        loop.turn(block: true)
        #expect(calls == 1)
    }

    @Test func aResetKeepsTheClientsThereAre() {
        let limit = ConnectionLimit(maximum: 1)
        #expect(limit.tryAcquire())
        limit.recordRejection()
        limit.recordPause(isNew: true)
        limit.recordResumption(afterMicroseconds: 5)
        #expect(limit.rejected == 1)
        #expect(limit.listenDisabledCount == 1)
        #expect(limit.listenDisabledMicroseconds == 5)
        limit.resetCounters()
        #expect(limit.current == 1)
        #expect(limit.total == 0)
        #expect(limit.rejected == 0)
        #expect(limit.listenDisabledCount == 0)
        #expect(limit.listenDisabledMicroseconds == 0)
    }
}

/// Runs `body` on several threads at the same time and returns when all have ended.
func withThreads(count: Int, _ body: @Sendable () -> Void) throws {
    try withoutActuallyEscaping(body) { body in
        let threads = try (0..<count).map { try SystemThread(name: "test-\($0)", body) }
        for thread in threads { thread.join() }
    }
}
