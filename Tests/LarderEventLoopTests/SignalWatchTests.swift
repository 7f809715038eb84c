import Glibc
import LarderEventLoop
import Testing

/// Serialized: libevent serves signals on one loop of the process at a time.
@Suite(.serialized) struct SignalWatchTests {
    @Test(arguments: [SIGTERM, SIGINT, SIGUSR1, SIGHUP])
    func theHandlerRunsOnTheLoop(signal: Int32) throws {
        let loop = try EventLoop()
        var calls = 0
        let watch = try SignalWatch(on: loop, signal: signal) { calls += 1 }
        #expect(kill(getpid(), signal) == 0)
        #expect(calls == 0)
        loop.turn(block: true)
        #expect(calls == 1)
        withExtendedLifetime(watch) {}
    }

    @Test func severalSignalsShareALoop() throws {
        let loop = try EventLoop()
        var seen: Set<Int32> = []
        let watches = try [SIGUSR1, SIGHUP].map { signal in
            try SignalWatch(on: loop, signal: signal) { seen.insert(signal) }
        }
        kill(getpid(), SIGUSR1)
        kill(getpid(), SIGHUP)
        while seen.count < 2 { loop.turn(block: true) }
        #expect(seen == [SIGUSR1, SIGHUP])
        withExtendedLifetime(watches) {}
    }

    @Test func aSignalThatCannotBeCaughtIsRefused() throws {
        let loop = try EventLoop()
        #expect(throws: EventLoopError.signalRefused(SIGKILL)) {
            try SignalWatch(on: loop, signal: SIGKILL) {}
        }
    }
}
