import CLarderSystem
import Glibc
import LarderEventLoop
import LarderStore
import Synchronization

/// A socket that a server gives to its successor.
struct OfferedSocket: Sendable {
    enum Role: UInt8 {
        /// The server opened it.
        case own = 0
        /// The service manager opened it.
        case inherited = 1
        /// It is that of `--takeover`.
        case takeover = 2
    }
    let fd: Int32
    let role: Role
}

/// Waits at the socket of `--takeover` for a successor, in a thread of its own. It prepares the take-over; the main
/// thread carries it out.
final class SuccessorWatch: Sendable {
    /// The listening socket.
    let socket: Int32
    private let state: ServerState
    private let sockets: [OfferedSocket]
    private let stop: StopSignal
    private let prepared = Mutex<TakeoverChannel?>(nil)
    private let mayGoOn = Atomic(true)
    private let monitor = Monitor()
    private let thread = Mutex<SystemThread?>(nil)

    private static let helloMilliseconds: Int64 = 5_000
    /// A successor reads certificates and users before it is ready, and may wait for its terminal.
    private static let readyMilliseconds: Int64 = 60_000

    /// - Parameter sockets: all sockets of the server but `socket`.
    init(_ socket: Int32, _ sockets: [OfferedSocket], _ state: ServerState) throws(StartupError) {
        self.socket = socket
        self.state = state
        self.sockets = sockets + [OfferedSocket(fd: socket, role: .takeover)]
        stop = try StopSignal()
    }

    deinit { close(socket) }

    /// Starts the thread.
    /// - Parameter waker: woken when a successor is ready: see `takePrepared`.
    func start(_ waker: Waker) throws(StartupError) {
        let started = try SystemThread(name: "larder-takeover") { [self] in run(waker) }
        thread.withLock { $0 = started }
    }

    /// Ends the thread. A successor that is under way is told so.
    func end() {
        monitor.withLock { stop.send() }
        monitor.signalAll()
        thread.withLock { $0 }?.join()
    }

    /// The successor that is ready. `resume` must follow, unless the server ends.
    func takePrepared() -> TakeoverChannel? {
        prepared.withLock { prepared in
            defer { prepared = nil }
            return prepared
        }
    }

    /// There was no take-over, so that the next successor may come.
    func resume() {
        monitor.withLock { mayGoOn.store(true, ordering: .relaxed) }
        monitor.signalAll()
    }

    // MARK: In the thread

    private func run(_ waker: Waker) {
        while true {
            do throws(DumpFailure) {
                try stop.wait(for: Int16(POLLIN), of: socket, milliseconds: 60_000)
            } catch {
                if error == .stopped { return }
                continue
            }
            let fd = accept(socket, nil, nil)
            guard fd >= 0 else { continue }
            _ = fcntl(fd, F_SETFD, FD_CLOEXEC)
            let channel = TakeoverChannel(fd)
            do throws(TakeoverFailure) {
                try prepare(channel)
            } catch {
                channel.refuse(error.reason)
                Self.report(error, channel)
                continue
            }
            monitor.withLock { mayGoOn.store(false, ordering: .relaxed) }
            prepared.withLock { $0 = channel }
            waker.wake()
            monitor.lock()
            while !mayGoOn.load(ordering: .relaxed), !stop.isSent { monitor.wait() }
            monitor.unlock()
        }
    }

    private func prepare(_ channel: TakeoverChannel) throws(TakeoverFailure) {
        guard larder_peer_user(channel.fd) == Int64(geteuid()) else {
            throw TakeoverFailure(reason: "it has another user")
        }
        var body = try receive(.hello, channel, Self.helloMilliseconds).body
        guard body.text() != nil, let count = body.number(UInt16.self) else {
            throw TakeoverFailure(reason: "its first message cannot be read")
        }
        var caches: [String] = []
        for _ in 0..<count {
            guard let text = body.text() else {
                throw TakeoverFailure(reason: "its first message cannot be read")
            }
            caches.append(text)
        }
        try compare(caches, ServedCache.takeoverTexts(state.settings))
        try channel.send(offer())
        _ = try receive(.ready, channel, Self.readyMilliseconds)
    }

    private func receive(
        _ kind: TakeoverPacket.Kind, _ channel: TakeoverChannel, _ time: Int64
    ) throws(TakeoverFailure) -> ReceivedPacket {
        do throws(DumpFailure) {
            try stop.wait(for: Int16(POLLIN), of: channel.fd, milliseconds: time)
        } catch {
            throw TakeoverFailure(
                reason: error == .stopped ? "the server stops" : "it did not answer in \(time / 1000) s")
        }
        return try channel.receive(kind, withinMilliseconds: 0)
    }

    private func compare(_ theirs: [String], _ own: [String]) throws(TakeoverFailure) {
        for (text, ownText) in zip(theirs, own) where text != ownText {
            throw TakeoverFailure(reason: "cache \(text) cannot take over cache \(ownText)")
        }
        guard theirs.count == own.count else {
            throw TakeoverFailure(reason: "it has \(theirs.count) caches, and the server that serves has \(own.count)")
        }
        for cache in state.caches {
            if cache.replica != nil {
                throw TakeoverFailure(reason: "cache \(cache.name) has log=, and its log cannot be handed over")
            }
            guard cache.store.isReady else {
                throw TakeoverFailure(reason: "cache \(cache.name) still reads its file")
            }
            if cache.store.damageReport.count > 0 {
                throw TakeoverFailure(reason: "cache \(cache.name) has lost its file; restart the server")
            }
        }
    }

    private func offer() throws(TakeoverFailure) -> TakeoverPacket {
        let arenas = state.caches.compactMap(\.store.arenaDescriptor)
        guard sockets.count + arenas.count <= TakeoverPacket.descriptorsMax, arenas.count == state.caches.count else {
            throw TakeoverFailure(
                reason: "\(sockets.count) sockets and \(arenas.count) stores are more than can be handed over")
        }
        var packet = TakeoverPacket(kind: .offer)
        packet.body.add(state.clock.offsetMilliseconds)
        packet.body.add(UInt16(arenas.count))
        for socket in sockets { packet.body.add(socket.role.rawValue) }
        packet.descriptors = sockets.map(\.fd) + arenas
        return packet
    }

    /// Logs that there was no take-over.
    static func report(_ failure: TakeoverFailure, _ channel: TakeoverChannel) {
        StandardError.write(
            "larder: process \(channel.process) did not take over: \(failure.reason); this server goes on", .warning)
    }
}

extension ServedCache {
    /// A text for each cache of the settings. Two servers with equal texts can use the same arenas.
    static func takeoverTexts(_ settings: Settings) -> [String] {
        settings.orderedCaches.map { cache in
            let store = configuration(cache, settings)
            var text = "\(cache.name) (\(store.memoryBytes) bytes"
            if let bytes = store.slabBytes { text += " in slabs of \(bytes)" }
            text += store.filePath.map { ", in \($0)" } ?? ", in memory"
            if let limits = store.limits {
                text += ", \(limits.itemsMax) items, \(limits.blocksMax) blocks of \(limits.blockBytes)"
                text += limits.isBitmap ? " in a bitmap" : ""
                text += ", values of \(limits.valueBytesMax), keys of \(limits.keyBytesMax)"
                text += limits.purgesLeastRecentlyUsed ? ", purge_lru" : ""
            }
            return text + ")"
        }
    }
}
