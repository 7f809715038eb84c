import CLarderSystem
import Glibc
import LarderStore
import Synchronization

/// The server that this one takes over from.
final class Predecessor: Sendable {
    private let channel: TakeoverChannel
    private let path: String
    /// Of the former server's clock, so that no item's life changes.
    let clockOffsetMilliseconds: Int64
    /// The arenas, in the order of the caches.
    private let arenas: [Int32]
    /// The socket of `--takeover`.
    let takeoverSocket: Int32?
    /// The listeners that the service manager opened.
    let inheritedSockets: [InheritedSocket]
    private let handovers = Mutex<[StoreHandover]>([])

    /// The process id of the former server.
    var process: Int64 { channel.process }

    private static let offerMilliseconds: Int64 = 10_000
    private static let closedMilliseconds: Int64 = 10_000

    /// Asks the server at the path of `--takeover` for its sockets and stores; nil: there is no server.
    static func find(_ settings: Settings) throws(StartupError) -> Predecessor? {
        guard let path = settings.takeoverPath, let channel = try TakeoverSocket.connect(path) else { return nil }
        do throws(TakeoverFailure) {
            var hello = TakeoverPacket(kind: .hello)
            hello.body.add(Version.larder)
            let caches = ServedCache.takeoverTexts(settings)
            hello.body.add(UInt16(clamping: caches.count))
            for text in caches { hello.body.add(text) }
            try channel.send(hello)
            return try Predecessor(channel, path, channel.receive(.offer, withinMilliseconds: offerMilliseconds))
        } catch {
            throw error.asStartupError(path, channel.process)
        }
    }

    private init(
        _ channel: TakeoverChannel, _ path: String, _ offer: ReceivedPacket
    ) throws(TakeoverFailure) {
        var body = offer.body
        let broken = TakeoverFailure(reason: "its offer cannot be read")
        guard let offset = body.number(Int64.self), let arenaCount = body.number(UInt16.self),
            body.bytesLeft + Int(arenaCount) == offer.descriptors.count
        else {
            offer.closeDescriptors()
            throw broken
        }
        var sockets: [Int32] = []
        var inherited: [InheritedSocket] = []
        var takeover: Int32?
        for fd in offer.descriptors.prefix(body.bytesLeft) {
            switch OfferedSocket.Role(rawValue: body.number(UInt8.self) ?? 0) {
            case .takeover: takeover = fd
            case .inherited:
                if let socket = InheritedSocket(fd) { inherited.append(socket) } else { close(fd) }
            case .own, nil: sockets.append(fd)
            }
        }
        self.channel = channel
        self.path = path
        clockOffsetMilliseconds = offset
        arenas = Array(offer.descriptors.suffix(Int(arenaCount)))
        takeoverSocket = takeover
        inheritedSockets = inherited
        AdoptedSockets.add(sockets)
    }

    /// The arena of a cache, by its number.
    func arena(of cache: Int) -> Int32? { arenas.indices.contains(cache) ? arenas[cache] : nil }

    // MARK: The stores

    /// Takes the stores over. Nothing of the former server has changed if this throws.
    func takeStores(_ state: ServerState) throws(StartupError) {
        do throws(TakeoverFailure) {
            try channel.send(TakeoverPacket(kind: .ready))
            var taken: [StoreHandover] = []
            var start: Int64 = 0
            for cache in state.caches {
                let packet = try channel.receive(.closed, withinMilliseconds: Self.closedMilliseconds)
                if taken.isEmpty { start = larder_milliseconds(false) }
                taken.append(try Self.handover(packet, cache))
            }
            try channel.send(TakeoverPacket(kind: .taken))
            // Without a time limit: the former server alone decides. An answer that came too late for this server would
            // leave the stores without one.
            _ = try channel.receive(.yours, withinMilliseconds: nil)
            for (cache, handover) in zip(state.caches, taken) {
                cache.store.takeOver(handover, now: state.clock.now())
                cache.store.noteClock(StoreClock(offsetMilliseconds: state.clock.offsetMilliseconds))
            }
            handovers.withLock { $0 = taken }
            let items = taken.reduce(0) { $0 + $1.items }
            let time = larder_milliseconds(false) - start
            StandardError.write("larder: took over \(items) items from process \(process) in \(time) ms")
        } catch {
            throw error.asStartupError(path, process)
        }
    }

    private static func handover(
        _ packet: ReceivedPacket, _ cache: ServedCache
    ) throws(TakeoverFailure) -> StoreHandover {
        var body = packet.body
        var words: [UInt64] = []
        while let word = body.number(UInt64.self) { words.append(word) }
        guard body.isAtEnd, let handover = cache.store.handover(of: words) else {
            throw TakeoverFailure(reason: "the numbers of cache \(cache.name) cannot be read")
        }
        return handover
    }

    // MARK: The clients

    /// Takes clients in until the former server has ended, in a thread of its own. Then the values that it was sending
    /// are no longer kept.
    func takeClients(_ state: ServerState, _ workers: [Worker]) throws(StartupError) {
        _ = try SystemThread(name: "larder-take") { [self] in
            var next = 0
            do throws(TakeoverFailure) {
                while true {
                    let packet = try channel.receive(.clients, withinMilliseconds: nil)
                    for client in Self.clients(packet, state) {
                        workers[next].perform { core in core.adopt(client) }
                        next = (next + 1) % workers.count
                    }
                }
            } catch {
                for (cache, handover) in zip(state.caches, handovers.withLock { $0 }) {
                    cache.store.dropForeignPins(handover)
                }
            }
        }
    }

    private static func clients(_ packet: ReceivedPacket, _ state: ServerState) -> [HandedClient] {
        var body = packet.body
        // Clients that had no login to pass must not get past one now.
        guard body.number(UInt8.self) == state.loginMethod.number else {
            packet.closeDescriptors()
            return []
        }
        var clients: [HandedClient] = []
        for fd in packet.descriptors {
            guard let client = HandedClient(&body, fd: fd, cacheCount: state.caches.count),
                state.connectionLimit.tryAcquire()
            else {
                close(fd)
                continue
            }
            clients.append(client)
        }
        return clients
    }
}

extension TakeoverFailure {
    fileprivate func asStartupError(_ path: String, _ process: Int64) -> StartupError {
        .takeover("larder: no take-over from process \(process) at \(path): \(reason).")
    }
}

extension ServerState {
    /// How clients log in.
    var loginMethod: LoginMethod { settings.saslEnabled ? .sasl : access.authenticator == nil ? .none : .text }
}

extension LoginMethod {
    /// In packets.
    var number: UInt8 {
        switch self {
        case .none: 0
        case .text: 1
        case .sasl: 2
        }
    }
}
