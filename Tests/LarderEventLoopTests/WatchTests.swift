import Glibc
import LarderEventLoop
import Testing

/// What an owner of a watch looks like: the storage inside, the owner's address as context.
private struct Owner {
    var watch = WatchStorage()
    var calls = 0
    var ready: Interest = []
}

private func record(_ fd: Int32, _ ready: Int16, _ context: UnsafeMutableRawPointer?) {
    guard let owner = context?.assumingMemoryBound(to: Owner.self) else { return }
    owner.pointee.calls += 1
    owner.pointee.ready = Interest(rawValue: ready)
}

/// A watched end of a socket pair, and the other end.
private final class WatchedPair {
    let loop: EventLoop
    let owner = UnsafeMutablePointer<Owner>.allocate(capacity: 1)
    let near: Int32
    let far: Int32
    let watch: Watch

    init(interest: Interest, persistent: Bool = true) throws {
        loop = try EventLoop()
        var ends: [Int32] = [-1, -1]
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
        (near, far) = (ends[0], ends[1])
        owner.initialize(to: Owner())
        watch = Watch(try #require(owner.pointer(to: \.watch)))
        watch.assign(
            to: loop, fd: near, interest: interest, persistent: persistent, handler: record, context: owner)
        try #require(watch.add())
    }

    deinit {
        watch.remove()
        close(near)
        close(far)
        owner.deallocate()
    }

    func send(_ text: String) {
        #expect(write(far, text, text.utf8.count) == text.utf8.count)
    }

    func drain() {
        var bytes = [UInt8](repeating: 0, count: 64)
        #expect(read(near, &bytes, bytes.count) > 0)
    }
}

@Suite struct WatchTests {
    @Test func aTurnRunsTheHandlerOfWhatIsReady() throws {
        let pair = try WatchedPair(interest: .read)
        pair.loop.turn(block: false)
        #expect(pair.owner.pointee.calls == 0)
        pair.send("x")
        pair.loop.turn(block: true)
        #expect(pair.owner.pointee.calls == 1)
        #expect(pair.owner.pointee.ready == .read)
    }

    @Test func aPersistentWatchFiresWhileBytesAreLeft() throws {
        let pair = try WatchedPair(interest: .read)
        pair.send("x")
        pair.loop.turn(block: true)
        pair.loop.turn(block: true)
        #expect(pair.owner.pointee.calls == 2)
        pair.drain()
        pair.loop.turn(block: false)
        #expect(pair.owner.pointee.calls == 2)
    }

    @Test func aWatchThatIsNotPersistentFiresOnceEachTimeItIsAdded() throws {
        let pair = try WatchedPair(interest: .read, persistent: false)
        pair.send("x")
        pair.loop.turn(block: true)
        pair.loop.turn(block: false)
        #expect(pair.owner.pointee.calls == 1)
        #expect(!pair.watch.isAdded)
        pair.watch.add()
        pair.loop.turn(block: true)
        #expect(pair.owner.pointee.calls == 2)
    }

    @Test func aRemovedWatchIsSilentUntilAddedAgain() throws {
        let pair = try WatchedPair(interest: .read)
        pair.send("x")
        pair.watch.remove()
        pair.loop.turn(block: false)
        #expect(pair.owner.pointee.calls == 0)
        pair.watch.add()
        pair.loop.turn(block: true)
        #expect(pair.owner.pointee.calls == 1)
    }

    @Test func interestFollowsWants() throws {
        let pair = try WatchedPair(interest: .read)
        #expect(pair.watch.wants(read: true, write: true))
        pair.loop.turn(block: true)
        #expect(pair.owner.pointee.ready == .write)

        pair.send("x")
        pair.loop.turn(block: true)
        #expect(pair.owner.pointee.ready == .both)

        #expect(pair.watch.wants(read: true, write: false))
        pair.loop.turn(block: true)
        #expect(pair.owner.pointee.ready == .read)

        #expect(pair.watch.wants(read: false, write: false))
        #expect(!pair.watch.isAdded)
        let calls = pair.owner.pointee.calls
        pair.loop.turn(block: false)
        #expect(pair.owner.pointee.calls == calls)

        #expect(pair.watch.wants(read: true, write: false))
        pair.loop.turn(block: true)
        #expect(pair.owner.pointee.calls == calls + 1)
    }

    @Test func interestTurnedOnAndOffWithinATurnLeavesReadInterestIntact() throws {
        let pair = try WatchedPair(interest: .read)
        pair.loop.turn(block: false)
        pair.watch.wants(read: true, write: true)
        pair.watch.wants(read: true, write: false)
        pair.loop.turn(block: false)
        #expect(pair.owner.pointee.calls == 0)
        pair.send("x")
        pair.loop.turn(block: true)
        #expect(pair.owner.pointee.ready == .read)
    }

    @Test func theEndOfTheStreamIsReadable() throws {
        let pair = try WatchedPair(interest: .read)
        #expect(shutdown(pair.far, Int32(SHUT_WR)) == 0)
        pair.loop.turn(block: true)
        #expect(pair.owner.pointee.ready.contains(.read))
    }

    @Test func aDescriptorNumberThatIsReusedWithinATurnIsWatchedAnew() throws {
        let first = try WatchedPair(interest: .read)
        first.loop.turn(block: false)
        first.watch.remove()
        var ends: [Int32] = [-1, -1]
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
        defer { close(ends[1]) }
        // The new socket takes the watched number, as accept does right after close.
        try #require(dup2(ends[0], first.near) == first.near)
        close(ends[0])
        first.watch.add()
        first.loop.turn(block: false)
        #expect(first.owner.pointee.calls == 0)
        #expect(write(ends[1], "x", 1) == 1)
        first.loop.turn(block: true)
        #expect(first.owner.pointee.calls == 1)
    }
}
