import Glibc

/// A UDP socket that sends a cache's changes to other servers, or receives theirs. It is closed with the last reference
/// to it.
final class SyncSocket: Sendable {
    let fd: Int32
    let address: SocketAddress
    /// Whether other servers send to it.
    let isReceiver: Bool

    /// Room for datagrams that arrive while the worker is busy. The system may give less.
    private static let receiveBufferBytes: Int32 = 4 << 20

    /// - Returns: the socket, or the system's error number.
    static func open(_ address: SocketAddress, isReceiver: Bool) -> Result<SyncSocket, SyncSocketError> {
        switch DatagramSocket.bound(to: address) {
        case .failure(let error): return .failure(SyncSocketError(number: error))
        case .success(let fd):
            if isReceiver { _ = Listener.setOption(fd, SOL_SOCKET, SO_RCVBUF, receiveBufferBytes) }
            return .success(
                SyncSocket(fd: fd, address: SocketAddress.local(of: fd) ?? address, isReceiver: isReceiver))
        }
    }

    private init(fd: Int32, address: SocketAddress, isReceiver: Bool) {
        self.fd = fd
        self.address = address
        self.isReceiver = isReceiver
    }

    deinit { close(fd) }
}

struct SyncSocketError: Error {
    let number: Int32
}

/// The sockets and the nodes of a cache, as its settings name them.
struct SyncPlaces {
    let cache: CacheSettings
    let isOpen: Bool
    private(set) var sockets: [SyncSocket] = []
    private(set) var nodes: [SyncNode] = []
    /// The hosts that may send; empty: all hosts.
    private(set) var sources: [SocketAddress] = []

    /// - Parameter isOpen: whether the network is trusted (`--uwsgi-open`).
    init(_ cache: CacheSettings, isOpen: Bool) throws(StartupError) {
        self.cache = cache
        self.isOpen = isOpen
        for address in cache.udpAddresses { try listen(at: address) }
        for address in cache.nodes { try add(node: address) }
        // The members of a multicast group send from their own addresses, which `nodes=` does not name.
        if sources.contains(where: \.isMulticast) { sources = [] }
    }

    private mutating func listen(at place: CacheSettings.UDPAddress) throws(StartupError) {
        var missing = EADDRNOTAVAIL
        var count = 0
        for host in place.host.map({ [$0] }) ?? Listener.loopback {
            for address in try resolve(host, place.port, "udp") {
                guard address.isLoopback || isOpen || !cache.nodes.isEmpty else {
                    throw .cacheSyncIsOpen(cache: cache.name, address: place.text)
                }
                switch SyncSocket.open(address, isReceiver: true) {
                case .success(let socket):
                    sockets.append(socket)
                    count += 1
                case .failure(let error) where error.number == EADDRNOTAVAIL || error.number == EAFNOSUPPORT:
                    missing = error.number
                case .failure(let error): throw refusal("udp", place.text, describe(error: error.number))
                }
            }
        }
        if count == 0 { throw refusal("udp", place.text, describe(error: missing)) }
    }

    private mutating func add(node place: CacheSettings.UDPAddress) throws(StartupError) {
        let addresses = try resolve(place.host ?? "", place.port, "nodes")
        sources += addresses
        // uWSGI has IPv4 only.
        guard let address = addresses.first(where: { $0.family == AF_INET }) ?? addresses.first else { return }
        // All servers may have the same list, so it may contain this server.
        if isOwn(address) { return }
        nodes.append(SyncNode(address, try socket(for: address, place.text)))
    }

    /// The socket for sending to an address. A receiving socket is preferred, so that the other server finds the
    /// sender's address in its list.
    private mutating func socket(
        for address: SocketAddress, _ text: String
    ) throws(StartupError) -> SyncSocket {
        let fitting = sockets.first {
            $0.address.family == address.family
                && ($0.address.isWildcard || $0.address.isLoopback == address.isLoopback)
        }
        if let fitting { return fitting }
        let any = try resolve(address.family == AF_INET ? "0.0.0.0" : "::", 0, "nodes")
        guard let wildcard = any.first else { throw refusal("nodes", text, describe(error: EADDRNOTAVAIL)) }
        switch SyncSocket.open(wildcard, isReceiver: false) {
        case .success(let socket):
            sockets.append(socket)
            return socket
        case .failure(let error): throw refusal("nodes", text, describe(error: error.number))
        }
    }

    private func isOwn(_ address: SocketAddress) -> Bool {
        sockets.contains { socket in
            guard socket.isReceiver, socket.address.port == address.port else { return false }
            if socket.address.isSameHost(as: address) { return true }
            // The socket has all addresses of this machine.
            return socket.address.isWildcard && HostPresence.isOfThisMachine(address)
        }
    }

    private func resolve(_ host: String, _ port: Int, _ key: String) throws(StartupError) -> [SocketAddress] {
        do throws(StartupError) {
            return try Listener.resolve(host, port: port)
        } catch {
            guard case .unresolvedHost(_, _, let reason) = error else { throw error }
            throw refusal(key, host, reason)
        }
    }

    private func refusal(_ key: String, _ address: String, _ reason: String) -> StartupError {
        .cacheSync(cache: cache.name, key: key, address: address, reason: reason)
    }
}
