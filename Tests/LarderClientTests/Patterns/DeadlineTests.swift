import LarderTestServer
import Testing

@testable import LarderClient

@Suite(.timeLimit(.minutes(1))) struct DeadlineTests {
    @Test func whatIsDoneInTimeIsTheResult() async throws {
        #expect(try await withDeadline(.seconds(1000)) { 5 } == 5)
        let nothing = try await withDeadline(.seconds(1000)) { Int?.none }
        #expect(nothing == nil)
    }

    @Test func whatItThrowsIsThrown() async throws {
        struct Failure: Error {}
        await #expect(throws: Failure.self) {
            try await withDeadline(.seconds(1000)) { throw Failure() }
        }
    }

    /// A request that no answer comes to, and a queue before a pool.
    @Test func whoWaitsForAServerOrAPlaceLeaves() async throws {
        try await LarderTestServer.withServer { server in
            let clock = TestClock()
            let pool = try await EagerPool(
                size: 1, to: server.address, configuration: server.connectionConfiguration)
            let cache = RemoteCache(Pooled(pool))
            try await cache.set("k", 1)
            server.stopAnswering()
            for _ in 0..<3 {
                let waiting = Task {
                    try await withDeadline(.seconds(5), clock: clock.cacheClock) {
                        try await cache.get("k", as: Int.self)
                    }
                }
                await until { clock.sleepers == 1 }
                clock.advance(.seconds(5))
                let error = await #expect(throws: MemcacheError.self) { try await waiting.value }
                #expect(error?.code == .timedOut)
            }
            let borrowed = try await pool.acquire()
            let queued = Task {
                try await withDeadline(.seconds(5), clock: clock.cacheClock) {
                    try await cache.get("k", as: Int.self)
                }
            }
            await until { clock.sleepers == 1 && pool.waiterCount == 1 }
            clock.advance(.seconds(5))
            await #expect(throws: MemcacheError.self) { try await queued.value }
            borrowed.giveBack()
            server.resumeAnswering()
            // Nobody's answer came to anybody else.
            #expect(try await cache.get("k") == 1)
            await pool.close()
        }
    }

    @Test func whoeverIsCancelledIsCancelled() async throws {
        let clock = TestClock()
        let task = Task {
            try await withDeadline(.seconds(5), clock: clock.cacheClock) {
                try await clock.cacheClock.sleep(.seconds(100_000))
            }
        }
        await until { clock.sleepers == 2 }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
    }
}
