import CLarderSystem
import Glibc

/// A socket that clients connect to. Whoever accepts from it closes it.
package struct Listener: Sendable {
    /// The listening descriptor, non-blocking.
    package let fd: Int32
    /// Whether it is a socket file.
    package let isUnixSocket: Bool
    /// The number of the cache that its clients work with.
    package var cacheNumber = 0
    /// What its clients speak; nil: what `-B` says.
    package var bindingProtocol: Settings.BindingProtocol?
    /// Whether its clients speak TLS.
    package var encryption = Settings.Encryption.off

    /// Where it listens, as the kernel tells it.
    package var address: SocketAddress? { SocketAddress.local(of: fd) }

    /// Opens every listener that `settings` name, those of the named caches included, or none.
    package static func openAll(_ settings: Settings) throws(StartupError) -> [Listener] {
        var opened: [Listener] = []
        do throws(StartupError) {
            try openMain(settings, &opened)
            try openUwsgi(settings, &opened)
            for (number, cache) in settings.orderedCaches.enumerated() {
                for place in cache.places {
                    try open(place, of: cache, number: number, settings, &opened)
                }
            }
        } catch {
            for listener in opened { close(listener.fd) }
            throw error
        }
        return opened
    }

    private static func openMain(_ settings: Settings, _ opened: inout [Listener]) throws(StartupError) {
        if !settings.inheritedSockets.isEmpty {
            opened += settings.inheritedSockets.map { Listener($0, settings) }
            return
        }
        if let path = settings.unixSocketPath {
            return opened.append(try openUnix(path: path, settings))
        }
        guard settings.tcpPort != 0 else { return }
        if settings.listenAddresses.isEmpty {
            opened += try openTCP(hosts: loopback, port: settings.tcpPort, settings)
        }
        for address in settings.listenAddresses {
            let port = address.port ?? settings.tcpPort
            guard HostPresence.mayListen(on: address.host, of: settings.listenAddresses) else {
                StandardError.write("larder: not listening on \(address.host) of -l: this machine has no IPv6")
                continue
            }
            var listeners = try openTCP(hosts: [address.host], port: port, settings)
            for index in listeners.indices { listeners[index].bindingProtocol = address.bindingProtocol }
            for index in listeners.indices where settings.tlsEnabled {
                listeners[index].encryption = address.encryption
            }
            opened += listeners
        }
    }

    /// Without an address: loopback only. A cache without a password does not offer itself to the network.
    static let loopback = ["127.0.0.1", "::1"]

    /// One place of a named cache.
    private static func open(
        _ place: CacheSettings.Place, of cache: CacheSettings, number: Int, _ settings: Settings,
        _ opened: inout [Listener]
    ) throws(StartupError) {
        let main = settings.listenAddresses.isEmpty ? loopback : settings.listenAddresses.map(\.host)
        var listeners = try open(
            place, hosts: main, settings, option: "cache \"\(cache.name)\": listen=\(place)")
        for index in listeners.indices { listeners[index].cacheNumber = number }
        opened += listeners
    }

    /// - Parameters:
    ///   - hosts: where a port without a host is.
    ///   - option: what an error names.
    static func open(
        _ place: CacheSettings.Place, hosts: [String], _ settings: Settings, option: String
    ) throws(StartupError) -> [Listener] {
        do throws(StartupError) {
            switch place {
            case .unix(let path): return [try openUnix(path: path, settings)]
            case .tcp(let host, let port):
                return try openTCP(hosts: host.map { [$0] } ?? hosts, port: port == 0 ? -1 : port, settings)
            }
        } catch {
            guard let reason = error.listeningReason else { throw error }
            throw .placeListener(option: option, reason: reason)
        }
    }

    /// Those of `--admin`, or none.
    static func openAdmin(_ settings: Settings) throws(StartupError) -> [Listener] {
        guard let place = settings.admin else { return [] }
        do throws(StartupError) {
            return try openTCP(hosts: place.host.map { [$0] } ?? loopback, port: place.port, settings)
        } catch {
            guard let reason = error.listeningReason else { throw error }
            guard place.mayBeMissing else { throw .adminListener(place.text, reason: reason) }
            StandardError.write("larder: no metrics and no health at \(place.text): \(reason)", .warning)
            return []
        }
    }

    // MARK: - TCP

    /// Listens on every address of `hosts`. Addresses that this machine does not have (the IPv6 one
    /// of a machine without IPv6) are passed over as long as one works; any other failure is final.
    private static func openTCP(
        hosts: [String], port: Int, _ settings: Settings
    ) throws(StartupError) -> [Listener] {
        var addresses: [SocketAddress] = []
        for host in hosts {
            // A name may have the same address twice.
            addresses += try resolve(host, port: port).filter { !addresses.contains($0) }
        }
        var opened: [Listener] = []
        var missing = EADDRNOTAVAIL
        for address in addresses {
            // With any free port, all addresses of a host share the first one's where they can.
            let shared = port < 0 ? opened.first?.address?.port : nil
            var result = listen(on: shared.map(address.with(port:)) ?? address, settings.listenBacklog)
            if shared != nil, result == .failure(EADDRINUSE) {
                result = listen(on: address, settings.listenBacklog)
            }
            switch result {
            case .success(let fd):
                opened.append(
                    Listener(fd: fd, isUnixSocket: false, encryption: settings.tlsEnabled ? .asConfigured : .off))
            case .failure(let error) where error == EADDRNOTAVAIL || error == EAFNOSUPPORT:
                missing = error
            case .failure(let error):
                for listener in opened { close(listener.fd) }
                throw refusal(port, error, settings)
            }
        }
        guard !opened.isEmpty else { throw refusal(port, missing, settings) }
        return opened
    }

    /// memcached's words. It, too, refuses to listen on one address under two names.
    private static func refusal(_ port: Int, _ error: Int32, _ settings: Settings) -> StartupError {
        settings.interfaces.map { .interfaces($0, error: error) } ?? .tcpListener(port: port, error: error)
    }

    static func resolve(_ host: String, port: Int) throws(StartupError) -> [SocketAddress] {
        var hints = addrinfo()
        hints.ai_flags = AI_PASSIVE
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var first: UnsafeMutablePointer<addrinfo>?
        // SAFETY: the strings live as long as the call; nil stands for every address of the machine.
        let service = String(max(port, 0))
        let status = getaddrinfo(host == "*" ? nil : host, service, &hints, &first)
        guard status == 0 else {
            let reason =
                status == EAI_SYSTEM ? describe(error: errno) : String(cString: gai_strerror(status))
            throw .unresolvedHost(port: port, host: host, reason: reason)
        }
        defer { freeaddrinfo(first) }
        var addresses: [SocketAddress] = []
        var next = first
        while let entry = next?.pointee {
            if let address = entry.ai_addr {
                // SAFETY: the list is valid until it is freed at the end of this function.
                addresses.append(SocketAddress(address, length: Int(entry.ai_addrlen)))
            }
            next = entry.ai_next
        }
        return addresses
    }

    enum Outcome: Equatable {
        case success(Int32)
        case failure(Int32)
    }

    /// Makes, sets up and binds one listening socket; the options pass on to what it accepts.
    private static func listen(on address: SocketAddress, _ backlog: Int) -> Outcome {
        if let fd = AdoptedSockets.take(SOCK_STREAM, address) {
            return Glibc.listen(fd, Int32(backlog)) == 0 ? .success(fd) : abandon(fd)
        }
        let fd = socket(address.family, socketType, 0)
        guard fd >= 0 else { return .failure(errno) }
        var ready = setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1 as Int32)
        // Each family has its own listener; without this the IPv6 one would take the IPv4 port as well.
        if address.family == AF_INET6 {
            ready = ready && setOption(fd, Int32(IPPROTO_IPV6), IPV6_V6ONLY, 1 as Int32)
        }
        ready =
            ready && setClientOptions(fd)
            && address.withSockaddr { bind(fd, $0, $1) } == 0
            && Glibc.listen(fd, Int32(backlog)) == 0
        return ready ? .success(fd) : abandon(fd)
    }

    /// Sets options that the clients of a TCP listener inherit.
    static func setClientOptions(_ fd: Int32) -> Bool {
        setOption(fd, SOL_SOCKET, SO_KEEPALIVE, 1 as Int32)
            && setOption(fd, SOL_SOCKET, SO_LINGER, linger(l_onoff: 0, l_linger: 0))
            && setOption(fd, Int32(IPPROTO_TCP), TCP_NODELAY, 1 as Int32)
    }

    // MARK: - Unix

    private static func openUnix(path: String, _ settings: Settings) throws(StartupError) -> Listener {
        guard let address = SocketAddress(unixPath: path) else {
            throw .unixListener(path: path, error: ENAMETOOLONG)
        }
        if let fd = AdoptedSockets.take(SOCK_STREAM, address) { return Listener(fd: fd, isUnixSocket: true) }
        // What a server that died left behind. Anything but a socket is somebody's file: bind fails. A server that lives
        // keeps its socket: it would lose its clients and not know why.
        if larder_is_socket(path) {
            guard !isServed(address) else { throw .unixListener(path: path, error: EADDRINUSE) }
            unlink(path)
        }
        let fd = socket(AF_UNIX, socketType, 0)
        guard fd >= 0 else { throw .unixListener(path: path, error: errno) }
        // The file gets the socket's mode, less the process's mask, and then exactly what it should have: so it
        // is never open to more, and the mask, which is every thread's, stays as it is. The file is not removed at
        // the end: by then it may be the next server's.
        let mode = mode_t(settings.unixSocketMask) & 0o777
        guard fchmod(fd, mode) == 0, address.withSockaddr({ bind(fd, $0, $1) }) == 0, chmod(path, mode) == 0 else {
            let error = errno
            close(fd)
            throw .unixListener(path: path, error: error)
        }
        guard Glibc.listen(fd, Int32(settings.listenBacklog)) == 0 else {
            let error = errno
            close(fd)
            throw .unixListener(path: path, error: error)
        }
        return Listener(fd: fd, isUnixSocket: true)
    }

    /// Whether a server accepts connections at a socket file.
    private static func isServed(_ address: SocketAddress) -> Bool {
        let fd = socket(AF_UNIX, socketType, 0)
        guard fd >= 0 else { return false }
        defer { close(fd) }
        // EAGAIN: its queue is full.
        return address.withSockaddr { connect(fd, $0, $1) } == 0 || errno == EAGAIN
    }

    // MARK: - Sockets

    private static var socketType: Int32 {
        Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
    }

    static func setOption<Value: BitwiseCopyable>(
        _ fd: Int32, _ level: Int32, _ name: Int32, _ value: Value
    ) -> Bool {
        var value = value
        // SAFETY: the kernel reads the value's own size.
        return setsockopt(fd, level, name, &value, socklen_t(MemoryLayout<Value>.size)) == 0
    }

    /// Closes what could not be made a listener; the error is read before close can change it.
    static func abandon(_ fd: Int32) -> Outcome {
        let error = errno
        close(fd)
        return .failure(error)
    }
}
