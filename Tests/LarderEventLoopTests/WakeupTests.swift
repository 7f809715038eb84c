import Glibc
import LarderEventLoop
import Synchronization
import Testing

/// Calls `wake` on a thread of its own and returns when that thread has ended.
private func wakeFromAnotherThread(_ waker: Waker) {
    var thread = pthread_t()
    let context = Unmanaged.passRetained(waker).toOpaque()
    let result = pthread_create(&thread, nil, wakeAndEnd, context)
    #expect(result == 0)
    pthread_join(thread, nil)
}

private func wakeAndEnd(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    if let context { Unmanaged<Waker>.fromOpaque(context).takeRetainedValue().wake() }
    return nil
}

@Suite struct WakeupTests {
    @Test func anotherThreadWakesTheLoop() throws {
        let loop = try EventLoop()
        var calls = 0
        let wakeup = try Wakeup(on: loop) { calls += 1 }
        wakeFromAnotherThread(wakeup.waker)
        loop.turn(block: true)
        #expect(calls == 1)
        wakeFromAnotherThread(wakeup.waker)
        loop.turn(block: true)
        #expect(calls == 2)
    }

    @Test func wakesBeforeTheHandlerAreOneCall() throws {
        let loop = try EventLoop()
        var calls = 0
        let wakeup = try Wakeup(on: loop) { calls += 1 }
        for _ in 0..<5 { wakeup.waker.wake() }
        loop.turn(block: true)
        loop.turn(block: false)
        #expect(calls == 1)
    }

    @Test func aWakeInsideTheHandlerCallsItAgain() throws {
        let loop = try EventLoop()
        var calls = 0
        var waker: Waker?
        let wakeup = try Wakeup(on: loop) {
            calls += 1
            if calls == 1 { waker?.wake() }
        }
        waker = wakeup.waker
        wakeup.waker.wake()
        loop.turn(block: true)
        loop.turn(block: true)
        #expect(calls == 2)
    }

    @Test func aWakerOutlivesItsWakeup() throws {
        let loop = try EventLoop()
        var wakeup: Wakeup? = try Wakeup(on: loop) { Issue.record("called after the end") }
        let waker = try #require(wakeup).waker
        wakeup = nil
        waker.wake()
        loop.turn(block: false)
    }

    /// The flag and the counter race on every round here: a lost wake would hang the loop.
    @Test func noWakeIsLostUnderContention() throws {
        let loop = try EventLoop()
        let rounds = 20_000
        let state = Produced()
        var seen = 0
        let wakeup = try Wakeup(on: loop) { seen = state.count.load(ordering: .relaxed) }
        state.waker.withLock { $0 = wakeup.waker }
        var thread = pthread_t()
        let context = Unmanaged.passRetained(state).toOpaque()
        #expect(pthread_create(&thread, nil, produce, context) == 0)
        while seen < rounds { loop.turn(block: true) }
        pthread_join(thread, nil)
        #expect(seen == rounds)
    }
}

private final class Produced: Sendable {
    let count = Atomic(0)
    let waker = Mutex<Waker?>(nil)
}

private func produce(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let context else { return nil }
    let state = Unmanaged<Produced>.fromOpaque(context).takeRetainedValue()
    let waker = state.waker.withLock { $0 }
    for _ in 0..<20_000 {
        state.count.add(1, ordering: .relaxed)
        waker?.wake()
    }
    return nil
}
