import Glibc

/// Addresses of `-l` on a machine without IPv6: one list then serves all machines.
enum HostPresence {
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
