import Glibc
import LarderEventLoop
import Synchronization
import Testing

@testable import LarderServer

/// Keeps what it is handed until the test ends.
private final class CollectingSink: ConnectionSink {
    var adopted: [(fd: Int32, listener: Listener)] = []

    func adopt(_ fd: Int32, from listener: Listener) {
        adopted.append((fd, listener))
    }

    deinit {
        for connection in adopted { close(connection.fd) }
    }
}

/// An acceptor on the test's own loop.
private struct Scene {
    let loop: EventLoop
    let limit: ConnectionLimit
    let sink = CollectingSink()
    let listeners: [Listener]
    let acceptor: Acceptor

    init(
        _ settings: Settings = ephemeralSettings(), connections: Int = 100, refusesOverLimit: Bool = true
    ) throws {
        loop = try EventLoop()
        limit = ConnectionLimit(maximum: connections)
        listeners = try Listener.openAll(settings)
        acceptor = try Acceptor(
            listeners, on: loop, limit: limit, refusesOverLimit: refusesOverLimit, sink: sink)
    }

    func connect(_ count: Int = 1) throws -> [TestClient] {
        try (0..<count).map { _ in try TestClient(to: listeners[0]) }
    }

    func turn(untilAdopted count: Int) {
        while sink.adopted.count < count { loop.turn(block: true) }
    }
}

@Suite struct AcceptorTests {
    @Test func aClientIsHandedOnNonBlockingAndClosedOnExec() throws {
        let scene = try Scene()
        let clients = try scene.connect()
        scene.turn(untilAdopted: 1)
        let fd = scene.sink.adopted[0].fd
        #expect(fcntl(fd, F_GETFL) & O_NONBLOCK != 0)
        #expect(fcntl(fd, F_GETFD) & FD_CLOEXEC != 0)
        #expect(SocketAddress.peer(of: fd) == SocketAddress.local(of: clients[0].fd))
        #expect(scene.limit.current == 1)
    }

    @Test func theListenerThatItCameFromIsNamed() throws {
        let scene = try Scene(ephemeralSettings(hosts: ["127.0.0.1", "127.0.0.2"]))
        let client = try TestClient(to: scene.listeners[1])
        scene.turn(untilAdopted: 1)
        #expect(scene.sink.adopted[0].listener.fd == scene.listeners[1].fd)
        #expect(!scene.sink.adopted[0].listener.isUnixSocket)
        withExtendedLifetime(client) {}
    }

    @Test func aUnixClientIsTold() throws {
        let directory = try TemporaryDirectory()
        var settings = Settings()
        settings.unixSocketPath = directory.file("s")
        let scene = try Scene(settings)
        let clients = try scene.connect()
        scene.turn(untilAdopted: 1)
        #expect(scene.sink.adopted[0].listener.isUnixSocket)
        withExtendedLifetime(clients) {}
    }

    @Test func moreClientsThanATurnAcceptsAllGetIn() throws {
        let scene = try Scene()
        let clients = try scene.connect(70)
        scene.turn(untilAdopted: 70)
        #expect(scene.limit.current == 70)
        withExtendedLifetime(clients) {}
    }

    @Test func theOneClientTooManyIsToldSoAndClosed() throws {
        let scene = try Scene(connections: 2)
        let clients = try scene.connect(3)
        while scene.limit.rejected < 1 { scene.loop.turn(block: true) }
        #expect(clients[2].readToEnd() == "ERROR Too many open connections\r\n")
        #expect(scene.sink.adopted.count == 2)
        #expect(scene.limit.total == 2)
        #expect(scene.limit.isAccepting)

        scene.limit.release()
        let next = try scene.connect()
        scene.turn(untilAdopted: 3)
        #expect(scene.limit.rejected == 1)
        withExtendedLifetime(next) {}
    }

    @Test func aRefusedClientThatHasSentACommandStillReadsTheAnswer() throws {
        let scene = try Scene(connections: 1)
        let clients = try scene.connect(2)
        #expect(write(clients[1].fd, "get a\r\n", 7) == 7)
        while scene.limit.rejected < 1 { scene.loop.turn(block: true) }
        #expect(clients[1].readToEnd() == "ERROR Too many open connections\r\n")
    }

    @Test func withoutRefusalsTheNextClientWaitsForAPlace() throws {
        let scene = try Scene(connections: 1, refusesOverLimit: false)
        let clients = try scene.connect(2)
        while scene.limit.isAccepting { scene.loop.turn(block: true) }
        #expect(scene.sink.adopted.count == 1)
        #expect(scene.limit.listenDisabledCount == 1)
        scene.loop.turn(block: false)
        #expect(scene.sink.adopted.count == 1, "a paused listener does not fire")

        let limit = scene.limit
        try withThreads(count: 1) { limit.release() }
        scene.turn(untilAdopted: 2)
        #expect(scene.limit.rejected == 0)
        #expect(scene.limit.total == 2)
        withExtendedLifetime(clients) {}
    }

    @Test func wantOfDescriptorsPausesAndIsTriedAgain() throws {
        let scene = try Scene()
        failuresLeft.withLock { $0 = 2 }
        scene.acceptor.acceptNext = failTwice
        let clients = try scene.connect()
        while scene.limit.isAccepting { scene.loop.turn(block: true) }
        #expect(scene.limit.listenDisabledCount == 1)
        scene.loop.turn(block: false)
        scene.turn(untilAdopted: 1)
        #expect(scene.limit.isAccepting)
        #expect(scene.limit.listenDisabledCount == 1, "two failures in a row are one pause")
        withExtendedLifetime(clients) {}
    }

    @Test func stoppingClosesTheListeners() throws {
        let scene = try Scene()
        let address = try #require(scene.listeners[0].address)
        scene.acceptor.stop()
        scene.acceptor.stop()
        let fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(fd) }
        #expect(address.withSockaddr { connect(fd, $0, $1) } == -1)
        #expect(errno == ECONNREFUSED)
    }
}

private let failuresLeft = Mutex(0)

/// Stands in for accept: the process has no descriptor left, twice; then the real one is asked.
private func failTwice(_ listener: Int32) -> Int32 {
    let fails = failuresLeft.withLock { left in
        left -= 1
        return left >= 0
    }
    if fails {
        errno = EMFILE
        return -1
    }
    let fd = accept(listener, nil, nil)
    if fd < 0 { errno = EAGAIN }
    return fd
}
