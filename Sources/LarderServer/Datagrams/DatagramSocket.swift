import Glibc

/// A UDP socket that requests come to (`-U`). The worker that serves it closes it.
package struct DatagramSocket: Sendable {
    package let fd: Int32
    /// Whether an answer must be smaller than its request: everywhere but on loopback, unless `--udp-unsafe`
    /// says otherwise. The sender's address may be forged, and whoever it belongs to would be flooded.
    let isGuarded: Bool
    let bindingProtocol: Settings.BindingProtocol?

    package var address: SocketAddress? { SocketAddress.local(of: fd) }

    /// Opens the sockets that `settings` name, or none: one for each address of the TCP listeners.
    package static func openAll(_ settings: Settings) throws(StartupError) -> [DatagramSocket] {
        guard settings.udpPort != 0, settings.unixSocketPath == nil else { return [] }
        let addresses =
            settings.listenAddresses.isEmpty
            ? Listener.loopback.map { Settings.ListenAddress(host: $0) } : settings.listenAddresses
        var opened: [DatagramSocket] = []
        do throws(StartupError) {
            for address in addresses where HostPresence.mayListen(on: address.host, of: settings.listenAddresses) {
                // Without -l one of the two is enough, as with TCP.
                let mayBeMissing = settings.listenAddresses.isEmpty && !opened.isEmpty
                let port = address.port ?? shared(settings.udpPort, with: opened)
                opened += try open(address, port: port, mayBeMissing: mayBeMissing, settings)
            }
        } catch {
            for socket in opened { close(socket.fd) }
            throw error
        }
        return opened
    }

    /// Any free port is the same for all addresses where that can be.
    private static func shared(_ port: Int, with opened: [DatagramSocket]) -> Int {
        port < 0 ? opened.first?.address?.port ?? 0 : port
    }

    private static func open(
        _ address: Settings.ListenAddress, port: Int, mayBeMissing: Bool, _ settings: Settings
    ) throws(StartupError) -> [DatagramSocket] {
        var opened: [DatagramSocket] = []
        var missing = EADDRNOTAVAIL
        for candidate in try Listener.resolve(address.host, port: port) {
            switch bound(to: candidate) {
            case .success(let fd):
                opened.append(
                    DatagramSocket(
                        fd: fd, isGuarded: !settings.udpIsUnsafe && !candidate.isLoopback,
                        bindingProtocol: address.bindingProtocol))
            case .failure(let error) where error == EADDRNOTAVAIL || error == EAFNOSUPPORT:
                missing = error
            case .failure(let error):
                for socket in opened { close(socket.fd) }
                throw .udpSocket(port: port, error: error)
            }
        }
        if opened.isEmpty, !mayBeMissing { throw .udpSocket(port: port, error: missing) }
        return opened
    }

    /// What is asked of the system to hold for answers that are on their way: those of large values.
    private static let sendBufferBytes: Int32 = 4 << 20

    static func bound(to address: SocketAddress) -> Listener.Outcome {
        if let fd = AdoptedSockets.take(SOCK_DGRAM, address) { return .success(fd) }
        let type = Int32(SOCK_DGRAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let fd = socket(address.family, type, 0)
        guard fd >= 0 else { return .failure(errno) }
        _ = Listener.setOption(fd, SOL_SOCKET, SO_SNDBUF, sendBufferBytes)
        if address.family == AF_INET6, !Listener.setOption(fd, Int32(IPPROTO_IPV6), IPV6_V6ONLY, 1 as Int32) {
            return Listener.abandon(fd)
        }
        guard address.withSockaddr({ bind(fd, $0, $1) }) == 0 else { return Listener.abandon(fd) }
        return .success(fd)
    }
}
