import Glibc
import LarderStore
import LarderWire
import Synchronization

/// A server to which a cache's changes are sent.
final class SyncNode: Sendable {
    let address: SocketAddress
    let socket: SyncSocket
    private let heardAt = Atomic(Int64.min)

    init(_ address: SocketAddress, _ socket: SyncSocket) {
        self.address = address
        self.socket = socket
    }

    /// A server counts as a Larder for this time after its greeting. A Larder sends a greeting once a second.
    private static let greetingMilliseconds: Int64 = 10_000

    /// Notes that the server has sent a greeting.
    func noteGreeting(now: Int64) { heardAt.store(now, ordering: .relaxed) }

    func isLarder(now: Int64) -> Bool {
        let heard = heardAt.load(ordering: .relaxed)
        return heard != Int64.min && now &- heard < Self.greetingMilliseconds
    }
}

/// The counters of a cache's copies on other servers.
enum SyncCounter: Int, CaseIterable {
    /// Datagrams.
    case sent, received
    /// Values that did not fit a datagram, so that a delete was sent.
    case tooLarge
    /// Changes that could not be sent or carried out.
    case dropped
    /// Datagrams of servers that `nodes=` does not name.
    case refused
    /// Datagrams that cannot be read.
    case malformed

    /// Its name in statistics.
    var name: String {
        switch self {
        case .sent: "sync_sent"
        case .received: "sync_received"
        case .tooLarge: "sync_too_large"
        case .dropped: "sync_dropped"
        case .refused: "sync_refused"
        case .malformed: "sync_malformed"
        }
    }
}

/// Sends a cache's changes to other servers, and counts the changes that it receives: uWSGI's `nodes=` and `udp=`.
///
/// A change is sent as the state of its key at the moment of sending: the value, or a delete. Workers send one after
/// the other, so the last datagram about a key has its last state.
///
/// SAFETY: `@unchecked Sendable` because of `room`, which is used under `turn`, and `counts`, which are atomics. Both
/// live as long as this.
final class CacheSync: @unchecked Sendable {
    let cacheName: String
    let sockets: [SyncSocket]
    let nodes: [SyncNode]
    private let sources: [SocketAddress]
    private let turn = Mutex<Void>(())
    /// Where a datagram is put together.
    private let room: UnsafeMutablePointer<UInt8>
    private let counts: UnsafeMutablePointer<Atomic<Int64>>

    init(_ places: SyncPlaces) {
        cacheName = places.cache.name
        sockets = places.sockets
        nodes = places.nodes
        sources = places.sources
        room = .allocate(capacity: SyncDatagram.lengthMax)
        counts = .allocate(capacity: SyncCounter.allCases.count)
        for counter in SyncCounter.allCases { (counts + counter.rawValue).initialize(to: Atomic(0)) }
    }

    deinit {
        room.deallocate()
        counts.deallocate()
    }

    /// Opens the sockets of all caches that have `nodes=` or `udp=`.
    static func openAll(_ settings: Settings) throws(StartupError) -> [CacheSync] {
        var all: [CacheSync] = []
        for cache in settings.orderedCaches where !cache.nodes.isEmpty || !cache.udpAddresses.isEmpty {
            all.append(CacheSync(try SyncPlaces(cache, isOpen: settings.uwsgiIsOpen)))
        }
        return all
    }

    /// The line of the log at the start.
    var summary: String {
        let receivers = sockets.filter(\.isReceiver).map(\.address.datagramText)
        let told = nodes.isEmpty ? "nobody" : nodes.map(\.address.datagramText).joined(separator: ", ")
        let heard = receivers.isEmpty ? "none" : "those that come to \(receivers.joined(separator: ", "))"
        return "cache \"\(cacheName)\" tells \(told) of its changes, and takes \(heard)"
    }

    func accepts(_ sender: SocketAddress) -> Bool {
        sources.isEmpty || sources.contains { $0.isSameHost(as: sender) }
    }

    func node(at address: SocketAddress) -> SyncNode? { nodes.first { $0.address == address } }

    // MARK: Counting

    func count(_ counter: SyncCounter, _ amount: Int = 1) {
        (counts + counter.rawValue).pointee.add(Int64(amount), ordering: .relaxed)
    }

    func value(_ counter: SyncCounter) -> Int64 { (counts + counter.rawValue).pointee.load(ordering: .relaxed) }

    func resetCounters() {
        for counter in SyncCounter.allCases { (counts + counter.rawValue).pointee.store(0, ordering: .relaxed) }
    }

    // MARK: Sending

    /// Sends the present state of a key to all nodes. Within a turn of the session.
    func sendState(of key: HashedKey, _ session: borrowing Session, now: Int64) {
        turn.withLock { _ in
            guard let item = session.find(key, now: now) else { return sendDelete(of: key) { _ in true } }
            let length = SyncEncoder.encodeStore(
                key: key.bytes, keyLength: key.length, value: item.value, valueLength: item.valueLength,
                expires: SyncExpiry.seconds(session.expiry(of: item)), clientFlags: item.clientFlags, at: room)
            // A value from a damaged file is not sent.
            guard !session.isCondemned else { return count(.dropped, nodes.count) }
            guard let length else {
                count(.tooLarge)
                return sendDelete(of: key) { _ in true }
            }
            guard item.valueLength == 0 else { return send(length) { _ in true } }
            // uWSGI ignores an empty value, and would keep the old one.
            send(length) { $0.isLarder(now: now) }
            sendDelete(of: key) { !$0.isLarder(now: now) }
        }
    }

    /// Sends a delete to the nodes that are no Larder, if the key has no item.
    func sendDelete(ofFlushed key: HashedKey, _ session: borrowing Session, now: Int64) {
        turn.withLock { _ in
            if session.find(key, now: now) == nil { sendDelete(of: key) { !$0.isLarder(now: now) } }
        }
    }

    /// - Parameter milliseconds: the time at which all items are dropped; 0: now.
    func sendClear(atMilliseconds milliseconds: Int64) {
        turn.withLock { _ in
            let length = SyncEncoder.encodeClear(atMilliseconds: milliseconds, at: room)
            send(length) { _ in true }
        }
    }

    /// Tells the nodes that this server is a Larder. Only receiving sockets send it, because the nodes know their
    /// addresses.
    func sendGreeting() {
        turn.withLock { _ in
            let length = SyncEncoder.encodeGreeting(at: room)
            for node in nodes where node.socket.isReceiver { _ = send(length, to: node) }
        }
    }

    private func sendDelete(of key: HashedKey, to isMeant: (SyncNode) -> Bool) {
        // A key that no datagram holds was never sent with a value, either.
        guard let length = SyncEncoder.encodeDelete(key: key.bytes, keyLength: key.length, at: room) else { return }
        send(length, to: isMeant)
    }

    private func send(_ length: Int, to isMeant: (SyncNode) -> Bool) {
        for node in nodes where isMeant(node) { count(send(length, to: node) ? .sent : .dropped) }
    }

    /// Does not wait. If the socket has no room, the datagram is lost.
    private func send(_ length: Int, to node: SyncNode) -> Bool {
        node.address.withSockaddr { sendto(node.socket.fd, room, length, 0, $0, $1) } == length
    }
}
