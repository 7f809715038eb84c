import Glibc

/// The addresses that this machine has.
enum HostPresence {
    /// Whether it is a loopback address, or the address of an interface. A socket bound to it would be no proof: with
    /// `net.ipv4.ip_nonlocal_bind=1` the system binds sockets to any address.
    static func isOfThisMachine(_ address: SocketAddress) -> Bool {
        if address.isLoopback { return true }
        var list: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&list) == 0 else { return false }
        defer { freeifaddrs(list) }
        var next = list
        while let one = next {
            // SAFETY: an address of these families has as many bytes; the list lives until the end of the function.
            if let own = one.pointee.ifa_addr {
                let length: Int
                switch Int32(own.pointee.sa_family) {
                case AF_INET: length = MemoryLayout<sockaddr_in>.size
                case AF_INET6: length = MemoryLayout<sockaddr_in6>.size
                default: length = 0
                }
                if length > 0, SocketAddress(own, length: length).isSameHost(as: address) { return true }
            }
            next = one.pointee.ifa_next
        }
        return false
    }

    // MARK: `-l` on a machine without IPv6, so that one list serves all machines

    /// False for an IPv6 address where the machine has no IPv6, and `hosts` names another address.
    static func mayListen(on host: String, of hosts: [Settings.ListenAddress]) -> Bool {
        !isIPv6(host) || hosts.allSatisfy { isIPv6($0.host) } || hasIPv6
    }

    private static func isIPv6(_ host: String) -> Bool { host.contains(":") }

    private static var hasIPv6: Bool {
        guard let any = try? Listener.resolve("::1", port: 0).first else { return false }
        let fd = socket(AF_INET6, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard fd >= 0 else { return false }
        defer { close(fd) }
        return any.withSockaddr { bind(fd, $0, $1) } == 0
    }
}
